"""The mask of a pair, from its file or from its run lengths."""

from __future__ import annotations

from keras_unet.config import DataConfig
from keras_unet.data import decode, rle
from keras_unet.data.decode import Pixels, Values
from keras_unet.data.nearest import nearest_pixels
from keras_unet.data.pair import Pair
from keras_unet.data.picture_file import Unreadable
from keras_unet.errors import BadData


def read_mask(
    pair: Pair, data: DataConfig, size: tuple[int, int] | None = None
) -> Pixels:
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
        max_pixels: the largest picture that is opened.
        size: height and width of the result, by default the mask's own.

    Raises:
        BadData: the mask cannot be read; the message names its file.
    """
    if pair.mask is not None:
        return decode.read_mask_values(pair.mask, max_pixels, size)
    if pair.run_lengths is None:
        raise Unreadable(pair.image, "has neither a mask file nor run lengths")
    height, width = decode.image_shape(pair.image, max_pixels)
    try:
        mask = rle.decode(pair.run_lengths, height, width)
    except BadData as error:
        raise Unreadable(pair.image, f"its mask: {error}") from error
    return nearest_pixels(mask, size)


def class_ids(pair: Pair, values: Values, data: DataConfig) -> Pixels:
    """Returns the class ids of values of the pair's mask.

    Raises:
        BadData: a value is no class; the message names the mask's file.
    """
    try:
        return decode.to_class_ids(values, data)
    except BadData as error:
        raise Unreadable(pair.mask or pair.image, str(error)) from error
