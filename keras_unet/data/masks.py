"""One mask, from its file or its run lengths: its values, and their class ids."""

from __future__ import annotations

from typing import Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from keras_unet.config import IGNORE, DataConfig
from keras_unet.data import coco, rle
from keras_unet.data.images import (
    Unreadable,
    convert,
    grey_levels,
    identified,
    image_shape,
    load,
    opened,
    read_palette,
    whole_numbers,
)
from keras_unet.data.objects import read_objects
from keras_unet.data.pair import Pair
from keras_unet.errors import BadData
from keras_unet.types import Mask, Values

_Pixels = TypeVar("_Pixels", bound=npt.NDArray[Any])


def read_mask(
    pair: Pair, data: DataConfig, size: tuple[int, int] | None = None
) -> Mask:
    """Returns the pair's mask as class ids, uint8 (h, w).

    Args:
        pair: whose mask.
        data: what its values mean.
        size: height and width of the result, by default the mask's own.

    Raises:
        BadData: the mask cannot be read, or holds a value that is no class.
    """
    return class_ids(pair, read_values(pair, data.max_pixels, size), data)


def read_values(
    pair: Pair, max_pixels: int, size: tuple[int, int] | None = None
) -> Values:
    """Returns what each pixel of the pair's upright mask says, (h, w).

    Args:
        pair: whose mask.
        max_pixels: the largest image that is opened.
        size: height and width of the result, by default the mask's own.

    Raises:
        BadData: the mask cannot be read; the message names its file.
    """
    if pair.mask is None:
        shape = image_shape(pair.image, max_pixels)
        return nearest_pixels(decode_runs(pair, shape), size)
    if pair.mask.is_dir():
        values = read_objects(pair.mask, lambda f: decode_mask_values(f, max_pixels))
        return nearest_pixels(values, size)
    with opened(pair.mask) as file:
        return decode_mask_values(file, max_pixels, size)


def decode_runs(pair: Pair, shape: tuple[int, int]) -> Values:
    """Returns the values (h, w) that the pair's run lengths or annotations say.

    Raises:
        Unreadable: there are none, or they are broken; the message names the image.
    """
    if pair.run_lengths is None:
        raise Unreadable(pair.image, "has neither a mask file nor run lengths")
    try:
        if pair.coding == "coco":
            return coco.decode(pair.run_lengths, shape)
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


GREY_STEP = 0x010101
"""Distance between the packed colours of two neighbouring greys."""


def decode_mask_values(
    file: BinaryIO, max_pixels: int, size: tuple[int, int] | None = None
) -> Values:
    """Returns what each pixel of the upright mask in an open file says, (h, w).

    That is the grey level, the index into a palette with colours, or the colour as
    0xRRGGBB; alpha counts for nothing. ``to_class_ids`` makes classes of it. With
    ``size`` only the pixels nearest to those of a mask of that size are looked at.

    Raises:
        Undecodable: as by ``decode_image``, and a mask of fractions.
    """
    with identified(file, max_pixels) as image:
        mask = load(image)
        if mask.mode == "1":
            mask = mask.convert("L")
        if mask.mode in ("LA", "La"):
            mask = mask.getchannel(0)
        if mask.mode in ("P", "L"):
            return _levels(mask, _picked(mask, size))
        if mask.mode[0] in "IF":
            return whole_numbers(_picked(mask, size))
        return _packed(_picked(convert(mask, "RGB"), size))


def nearest_pixels(mask: _Pixels, size: tuple[int, int] | None) -> _Pixels:
    """Returns the mask (h, w, ...) at ``size``, each pixel the one nearest to it.

    Without a size, the mask is returned as it is.
    """
    if size is None or size == mask.shape[:2]:
        return mask
    rows, columns = (
        # In whole numbers: floats would round ties one way here, another in TensorFlow.
        ((2 * np.arange(new) + 1) * old) // (2 * new)
        for old, new in zip(mask.shape[:2], size, strict=True)
    )
    sampled: _Pixels = mask.take(rows, 0).take(columns, 1)
    return sampled


def to_class_ids(values: Values, data: DataConfig) -> Mask:
    """Returns class ids, uint8, of what ``decode_mask_values`` returned; 255: ignored.

    Args:
        values: integers of any shape.
        data: with ``mask_kind`` and what belongs to it, as ``find_coding`` fills it.

    Raises:
        BadData: there is a value that belongs to no class.
    """
    values = fold_grey(values, data.class_values)
    if data.mask_kind == "classes":
        return _look_up(values, data)
    if data.mask_kind == "auto" or data.foreground_above is None:
        raise ValueError("what the mask's values mean is open: call find_coding first")
    ids = (values > data.foreground_above).astype(np.uint8)
    if data.ignore_value is not None:
        ids[values == data.ignore_value] = IGNORE
    return ids


def fold_grey(values: Values, class_values: tuple[int, ...] = ()) -> Values:
    """Returns ``values`` with grey colours (0x808080) turned into their level (0x80).

    Colours that ``class_values`` names stay as they are.
    """
    if values.dtype == np.uint8 or not values.size or values.max() < GREY_STEP:
        return values
    folds = (values % GREY_STEP == 0) & ~np.isin(values, class_values)
    return np.where(folds, values // GREY_STEP, values)


def _picked(mask: Image.Image, size: tuple[int, int] | None) -> npt.NDArray[Any]:
    pixels = np.asarray(mask)
    return pixels if size is None else nearest_pixels(pixels, size)


def _levels(mask: Image.Image, pixels: Mask) -> Mask:
    """Returns the pixels of one byte, where the palette has no colours its levels."""
    levels = None if mask.mode == "L" else grey_levels(read_palette(mask))
    if levels is None:
        return np.array(pixels)
    # Ten times as fast as an index with bytes, which NumPy widens to 64 bits.
    translated = bytearray(pixels.tobytes().translate(levels))
    return np.frombuffer(translated, np.uint8).reshape(pixels.shape)


def _packed(colours: Mask) -> npt.NDArray[np.int32]:
    red, green, blue = np.moveaxis(colours.astype(np.int32), -1, 0)
    packed: npt.NDArray[np.int32] = (red << 16) | (green << 8) | blue
    return packed


def _look_up(values: Values, data: DataConfig) -> Mask:
    class_of = {value: id_ for id_, value in enumerate(data.class_values)}
    if data.ignore_value is not None:
        class_of[data.ignore_value] = IGNORE
    present, place = _indexed(values)
    table = np.array([class_of.get(value, -1) for value in present.tolist()], np.int16)
    ids = table[place]
    if ids.size and ids.min() < 0:
        raise BadData(
            f"unknown mask value {shown(np.unique(values[ids < 0]))}: the classes are "
            f"{shown(data.class_values)} (see --class-values and --ignore-value)"
        )
    classes: Mask = ids.astype(np.uint8)
    return classes


def _indexed(values: Values) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Returns an array of values and each pixel's index into it."""
    if values.dtype == np.uint8:
        return np.arange(256), values
    present = np.unique(values)
    return present, np.searchsorted(present, values)


def shown(values: Any) -> str:
    """Returns mask values as text; colours as 0xRRGGBB, and of many only the first."""
    texts = [f"0x{v:06x}" if v > 0xFFFF else str(v) for v in values]
    return " ".join(texts[:8]) + (f" … ({len(texts)} in all)" if len(texts) > 8 else "")
