"""One mask, from its file or its run lengths: its values, and their class ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from keras_unet.config import LossConfig
from keras_unet.data import coco, rle
from keras_unet.data.folders import opened
from keras_unet.data.images import image_shape
from keras_unet.data.mask_pixels import MaskPixels, indexed, nearest_pixels
from keras_unet.data.mask_values import GREY_STEP, coordinates
from keras_unet.data.mask_values import shown as shown
from keras_unet.data.objects import mask_files
from keras_unet.data.pair import Pair
from keras_unet.data.pillow import identified, load
from keras_unet.data_config import IGNORE, DataConfig, Reading
from keras_unet.errors import BadData, Undecodable, Unreadable
from keras_unet.model.weight_map import (
    BORDER_WIDTH,
    border_weights,
    class_balance,
    touching_borders,
    weight_levels,
)
from keras_unet.types import Image, Mask, Values


def read_mask(
    pair: Pair, data: DataConfig, size: tuple[int, int] | None = None
) -> Mask:
    """Returns the pair's mask as class ids, uint8 (h, w), by default at its own size.

    Raises:
        BadData: the mask cannot be read, or holds a value that is no class.
    """
    if data.targets == "borders":
        return target_ids(pair, read_values(pair, data), data, size)
    return class_ids(pair, read_values(pair, data, size), data)


def target_ids(
    pair: Pair, values: Values, data: DataConfig, size: tuple[int, int] | None = None
) -> Mask:
    """Returns what is learnt of a mask's values (h, w), as class ids.

    With ``data.targets`` "borders" 1 is the inside of cells and 2 the border of two,
    which is as wide as where the network sees it, whatever the size.

    Args:
        pair: whose mask it is.
        values: at the mask's own size, or at that of its record.
        data: what they mean.
        size: height and width of what is returned, by default the values'.

    Raises:
        BadData: as by ``class_ids``.
    """
    of_values = class_ids(pair, values, data)
    ids = nearest_pixels(of_values, size)
    if data.targets == "borders":
        seen = data.seen_size(values.shape)
        cells = instances_of(of_values, values, data, seen)
        border = touching_borders(cells, BORDER_WIDTH)
        ids[nearest_pixels(border, ids.shape) & (ids != IGNORE)] = 2
    return ids


def weighted(
    pair: Pair,
    values: Values,
    data: DataConfig,
    loss: LossConfig,
    size: tuple[int, int] | None = None,
) -> Mask:
    """Returns class ids and ``weight_levels`` of a mask's values (h, w), as (h, w, 2).

    Where two objects touch, background parts them, as in the paper (section 3). What
    is ignored does not count for the balance of the classes.

    Args:
        pair: whose mask it is.
        values: at the mask's own size, or at that of its record.
        data: what they mean.
        loss: says how the weights are made.
        size: height and width of what is returned, by default the values'.

    Raises:
        BadData: as by ``class_ids``.
    """
    ids = class_ids(pair, values, data)
    cells = instances_of(ids, values, data, size)
    ids = nearest_pixels(ids, size)
    parted = (cells > 0) & touching_borders(cells, width=1)
    ids[parted] = cells[parted] = 0
    balance = class_balance([cells[ids != IGNORE]])
    weights = border_weights(cells, loss.border_weight, loss.border_sigma, balance)
    return np.stack([ids, weight_levels(weights)], -1)


def instances_of(
    ids: Mask, values: Values, data: DataConfig, size: tuple[int, int] | None = None
) -> npt.NDArray[np.signedinteger[Any]]:
    """Returns the number of each pixel's object (h, w), 0 of none and of the ignored.

    That is what the values (h, w) of masks of instances say, and of others the
    4-connected piece of the foreground, by the values' ``class_ids``. Pieces are told
    apart before they are brought to ``size``, where a narrow gap may have no pixel.
    """
    inside = (ids > 0) & (ids < IGNORE)
    if data.mask_kind == "instances":
        return nearest_pixels(np.where(inside, values, 0).astype(np.int32), size)
    pieces: npt.NDArray[np.int32] = ndimage.label(inside)[0]
    return nearest_pixels(pieces, size)


def read_pair(pair: Pair, channels: int, data: DataConfig) -> tuple[Image, Mask]:
    """Returns image (h, w, channels) and class ids (h, w) at their own size.

    Raises:
        BadData: a file cannot be read, or the two differ in size.
    """
    # Behind it is TensorFlow, which a look at masks can do without.
    from keras_unet.data.resize import read_at_own_size

    image = read_at_own_size(pair.image, channels, data)
    mask = read_mask(pair, data)
    if mask.shape != image.shape[:2]:
        (height, width), (tall, wide) = mask.shape, image.shape[:2]
        raise BadData(
            f"{pair.mask} is {width}×{height}, but its image {pair.image} is "
            f"{wide}×{tall}"
        )
    return image, mask


def read_values(
    pair: Pair, data: DataConfig, size: tuple[int, int] | None = None
) -> Values:
    """Returns what each pixel of the pair's upright mask says, (h, w).

    That is at ``size``, height and width, by default the mask's own.

    Raises:
        BadData: the mask cannot be read; the message names its file.
    """
    if pair.mask is None:
        shape = image_shape(pair.image, data.max_pixels)
        return nearest_pixels(decode_runs(pair, shape, data), size)
    if pair.mask.is_dir():
        return nearest_pixels(read_objects_of(pair.mask, data), size)
    with opened(pair.mask) as file:
        return decode_mask_values(file, data, size)


def read_objects_of(folder: Path, data: DataConfig) -> Values:
    """Returns the number of each pixel's object, (h, w), of a folder of one file each.

    Objects are counted from 1, in the order of their files' names; of two that
    overlap, the later one has the pixel.

    Raises:
        Unreadable: a file cannot be read, or is no mask of one object.
    """
    # How values are read is of their numbers, not of the files.
    data = replace(data, mask_reading="auto")
    files = mask_files(folder)
    values: Values | None = None
    for number, file in enumerate(files, 1):
        with opened(file) as stream:
            mask = decode_mask_values(stream, data)
        if values is None:
            values = np.zeros(mask.shape, np.uint8 if len(files) < 256 else np.int32)
        (tall, wide), (height, width) = mask.shape, values.shape
        if mask.shape != values.shape:
            cause = f"is {wide}×{tall}, the first one {width}×{height}"
            raise Unreadable(file, cause)
        shown = np.setdiff1d(mask, [0])
        if len(shown) > 1:
            cause = f"is no mask of one object: it has {len(shown)} values but 0"
            raise Unreadable(file, cause)
        values[mask > 0] = number
    if values is None:
        raise Unreadable(folder, "holds no masks")
    return values


def decode_runs(pair: Pair, shape: tuple[int, int], data: DataConfig) -> Values:
    """Returns the values (h, w) that the pair's run lengths or annotations say.

    Raises:
        Unreadable: there are none, or they are broken; the message names the image.
    """
    if pair.run_lengths is None:
        raise Unreadable(pair.image, "has neither a mask file nor run lengths")
    try:
        if pair.coding == "coco":
            return coco.decode(pair.run_lengths, shape, data)
        columns = pair.coding == "columns"
        return rle.decode_objects(pair.run_lengths, shape, columns)
    except BadData as error:
        raise Unreadable(pair.image, f"its mask: {error}") from error


def class_ids(pair: Pair, values: Values, data: DataConfig) -> Mask:
    """Returns the class ids of values of the pair's mask.

    Raises:
        BadData: a value is no class; the message names the mask's file.
    """
    try:
        return to_class_ids(values, data)
    except BadData as error:
        raise Unreadable(pair.mask or pair.image, str(error)) from error


def decode_mask_values(
    file: BinaryIO, data: DataConfig, size: tuple[int, int] | None = None
) -> Values:
    """Returns what each pixel of the upright mask in an open file says, (h, w).

    By ``data.mask_reading`` that is the grey level, the index into a palette, the
    colour as 0xRRGGBB (0 where alpha is 0) or alpha; while that is open, it is what
    the file itself suggests. ``to_class_ids`` makes classes of it. With ``size`` only
    the pixels nearest to those of a mask of that size are looked at.

    Raises:
        Undecodable: as by ``decode_image``, a mask of fractions, or one that cannot be
            read that way.
    """
    with identified(file, data.max_pixels) as image:
        return MaskPixels(load(image), size).values(data.mask_reading)


def run_lengths_of(
    file: BinaryIO, written: npt.NDArray[np.uint8 | np.uint16] | None, data: DataConfig
) -> str:
    """Returns the run lengths of the foreground in a mask of an open file.

    Args:
        file: of a mask of background and foreground.
        written: their values in it, (2,), or RGB (2, 3); where they are not known, all
            but 0 is foreground.
        data: says the order of run lengths.

    Raises:
        Undecodable: as by ``decode_mask_values``, or there are other values.
    """
    columns = data.run_lengths == "columns"
    if written is None:
        return rle.encode(decode_mask_values(file, data) != 0, columns)
    colours = written.ndim > 1
    reading: Reading = "colours" if colours else "indices"
    found = decode_mask_values(file, replace(data, mask_reading=reading))
    levels = [int(bytes(one).hex(), 16) if colours else int(one) for one in written]
    background, foreground = (found == level for level in levels)
    if not (background | foreground).all():
        raise Undecodable(f"holds others than the values {shown(levels, data)}")
    return rle.encode(foreground, columns)


def to_class_ids(values: Values, data: DataConfig) -> Mask:
    """Returns class ids, uint8, of what ``decode_mask_values`` returned; 255: ignored.

    ``data`` has ``mask_kind`` and what belongs to it, as ``find_coding`` fills it.

    Raises:
        BadData: there is a value that belongs to no class, or ``data`` leaves it open.
    """
    if data.mask_reading == "auto":
        values = _fold_grey(values, data.class_values)
    if data.mask_kind == "classes":
        return _look_up(values, data)
    if data.mask_kind == "auto" or data.foreground_above is None:
        raise BadData(
            "what its values mean is open: data.mask_kind and data.foreground_above, "
            "which training writes to config.json, do not say it"
        )
    levels = values
    if data.mask_reading == "colours":
        levels = np.maximum(values >> 16, np.maximum(values >> 8 & 255, values & 255))
    ids = (levels > data.foreground_above).astype(np.uint8)
    for ignored in data.ignore_values:
        ids[values == ignored] = IGNORE
    return ids


def class_shares(counts: Mapping[int, int], data: DataConfig) -> tuple[float, ...]:
    """Returns the share of each class among pixels, by value, that are not ignored.

    Raises:
        BadData: as by ``to_class_ids``.
    """
    ids = to_class_ids(np.array([*counts], np.int32), data)
    pixels = np.bincount(ids, [*counts.values()], IGNORE + 1)[: len(data.class_names)]
    return tuple((pixels / max(1, pixels.sum())).tolist())


def _fold_grey(values: Values, class_values: tuple[int, ...]) -> Values:
    """Returns ``values`` with grey colours (0x808080) turned into their level (0x80).

    Colours that ``class_values`` names stay as they are.
    """
    if values.dtype == np.uint8 or not values.size or values.max() < GREY_STEP:
        return values
    folds = (values % GREY_STEP == 0) & ~np.isin(values, class_values)
    return np.where(folds, values // GREY_STEP, values)


def _look_up(values: Values, data: DataConfig) -> Mask:
    class_of = {value: id_ for id_, value in enumerate(data.class_values)}
    class_of |= dict.fromkeys(data.ignore_values, IGNORE)
    present, place = indexed(values)
    found = [class_of.get(value, -1) for value in present.tolist()]
    if data.snap_values:
        found = _snapped(present.tolist(), found, data)
    ids = np.array(found, np.int16)[place]
    if ids.size and ids.min() < 0:
        unknown = shown(np.unique(values[ids < 0]), data)
        raise BadData(
            f"unknown mask value {unknown}: the classes are "
            f"{shown(data.class_values, data)} (see --class-values, --ignore-values "
            "and --snap-values)"
        )
    classes: Mask = ids.astype(np.uint8)
    return classes


def _snapped(values: list[int], found: list[int], data: DataConfig) -> list[int]:
    """Returns the classes found, and of values without one that of the nearest."""
    known = [(v, i) for i, v in enumerate(data.class_values)]
    known += [(v, IGNORE) for v in data.ignore_values if v >= 0]
    middles = coordinates([value for value, _ in known], data.mask_reading)
    far = np.abs(coordinates(values, data.mask_reading)[:, None] - middles).sum(-1)
    nearest = [known[place][1] for place in far.argmin(1)]
    return [near if id_ < 0 else id_ for id_, near in zip(found, nearest, strict=True)]
