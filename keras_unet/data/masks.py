"""The mask of a pair at its own size, from its file or from its run lengths."""

from __future__ import annotations

from keras_unet.config import DataConfig
from keras_unet.data import decode, rle
from keras_unet.data.decode import Pixels, Values
from keras_unet.data.pair import Pair
from keras_unet.data.picture_file import Unreadable
from keras_unet.errors import BadData


def read_values(pair: Pair, max_pixels: int) -> Values:
    """Returns what each pixel of the pair's upright mask says, (h, w).

    Raises:
        BadData: the mask cannot be read; the message names its file.
    """
    if pair.mask is not None:
        return decode.read_mask_values(pair.mask, max_pixels)
    height, width = decode.image_shape(pair.image, max_pixels)
    try:
        return rle.decode(pair.run_lengths or "", height, width)
    except BadData as error:
        raise Unreadable(pair.image, f"its mask: {error}") from error


def read_mask(pair: Pair, data: DataConfig) -> Pixels:
    """Returns the pair's mask as class ids, uint8 (h, w), at its own size.

    Raises:
        BadData: the mask cannot be read, or holds a value that is no class.
    """
    values = read_values(pair, data.max_pixels)
    try:
        return decode.to_class_ids(values, data)
    except BadData as error:
        raise Unreadable(pair.mask or pair.image, str(error)) from error
