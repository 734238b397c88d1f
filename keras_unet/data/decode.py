"""One picture file → one array, through Pillow: upright, checked, never guessed at.

Images lose their alpha channel and, where they have 16 bits, their lower 8: so does
TensorFlow's decoder, and a served picture must look like a training picture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from keras_unet.config import IGNORE, DataConfig
from keras_unet.data.gif import read_long_strings
from keras_unet.data.nearest import nearest_pixels
from keras_unet.data.palette import grey_levels
from keras_unet.data.picture_file import (
    MAX_PIXELS,
    Unreadable,
    load,
    opened,
    read_header,
    read_palette,
)
from keras_unet.errors import BadData

Pixels = npt.NDArray[np.uint8]
Values = npt.NDArray[np.uint8] | npt.NDArray[np.int32]

GREY_STEP = 0x010101
"""Distance between the packed colours of two neighbouring greys."""


def image_shape(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Returns (height, width) of the upright picture from its header.

    Raises:
        Unreadable: the file is no picture.
    """
    return read_header(path, max_pixels).shape


def read_image(path: Path, channels: int, max_pixels: int) -> Pixels:
    """Returns the upright picture, uint8 (h, w, channels).

    Raises:
        Unreadable: missing, forbidden, damaged, no picture, too large, or of a kind
            whose brightness has no known scale.
    """
    with opened(path, max_pixels) as image:
        pixels = np.asarray(_to_8_bits(path, load(path, image), channels))
    return np.array(pixels.reshape((*pixels.shape[:2], channels)))


def read_mask_values(
    path: Path, max_pixels: int, size: tuple[int, int] | None = None
) -> Values:
    """Returns what each pixel of the upright mask says, (h, w), uint8 or int32.

    That is the grey level, the index into a palette with colours, or the colour as
    0xRRGGBB; alpha counts for nothing. ``to_class_ids`` makes classes of it. With
    ``size`` only the pixels nearest to those of a mask of that size are looked at.

    Raises:
        Unreadable: as by ``read_image``, and a mask of fractions.
    """
    with opened(path, max_pixels) as image:
        mask = read_long_strings(image, size) or load(path, image)
        if mask.mode == "1":
            mask = mask.convert("L")
        if mask.mode in ("LA", "La"):
            mask = mask.getchannel(0)
        if mask.mode in ("P", "L"):
            return _levels(mask, _picked(mask, size))
        if mask.mode[0] in "IF":
            return _whole_numbers(path, _picked(mask, size))
        return _packed(_picked(_convert(path, mask, "RGB"), size))


def to_class_ids(values: Values, data: DataConfig) -> Pixels:
    """Returns class ids, uint8, of what ``read_mask_values`` returned; 255: ignored.

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


def _to_8_bits(path: Path, image: Image.Image, channels: int) -> Image.Image:
    if image.mode == "F":
        raise Unreadable(path, "holds fractions; write it with 8 or 16 bits a channel")
    if image.mode.startswith("I"):
        values = _whole_numbers(path, np.asarray(image))
        if values.size and (values.min() < 0 or values.max() > 0xFFFF):
            raise Unreadable(path, "has more than 16 bits a channel")
        image = Image.fromarray((values >> 8).astype(np.uint8))
    return _convert(path, image, "L" if channels == 1 else "RGB")


def _convert(path: Path, image: Image.Image, mode: str) -> Image.Image:
    # Transparency is dropped in any case; of palettes Pillow warns that it is.
    image.info.pop("transparency", None)
    try:
        return image.convert(mode)
    except ValueError as error:
        raise Unreadable(path, f"has colours of a kind not read ({error})") from error


def _whole_numbers(path: Path, values: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    with np.errstate(invalid="ignore"):
        whole = values.astype(np.int32)
    if (whole != values).any():
        raise Unreadable(path, "holds fractions; a mask's values are whole numbers")
    return whole


def _picked(mask: Image.Image, size: tuple[int, int] | None) -> npt.NDArray[Any]:
    pixels = np.asarray(mask)
    return pixels if size is None else nearest_pixels(pixels, size)


def _levels(mask: Image.Image, pixels: Pixels) -> Pixels:
    """Returns the pixels of one byte, where the palette has no colours its levels."""
    levels = None if mask.mode == "L" else grey_levels(read_palette(mask))
    if levels is None:
        return np.array(pixels)
    # Ten times as fast as an index with bytes, which NumPy widens to 64 bits.
    translated = bytearray(pixels.tobytes().translate(levels))
    return np.frombuffer(translated, np.uint8).reshape(pixels.shape)


def _packed(colours: Pixels) -> npt.NDArray[np.int32]:
    red, green, blue = np.moveaxis(colours.astype(np.int32), -1, 0)
    packed: npt.NDArray[np.int32] = (red << 16) | (green << 8) | blue
    return packed


def _look_up(values: Values, data: DataConfig) -> Pixels:
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
    classes: Pixels = ids.astype(np.uint8)
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
