"""One pair of files read at the network's size, as uint8."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, UnidentifiedImageError

from keras_unet.config import DataConfig
from keras_unet.data import decode, resize, rle
from keras_unet.data.pair import Pair
from keras_unet.errors import BadData

_ORIENTATION = 0x0112


def read_image(path: Path, channels: int, data: DataConfig) -> np.ndarray:
    """Returns the image as uint8 (h, w, channels) at ``data.image_size``, upright.

    Raises:
        BadData: the file cannot be read; the message names it.
    """
    with tf.device("CPU"):
        image = _decode_plain_jpeg(path, channels, data)
        if image is None:
            image = decode.read_image(path, channels, data.max_pixels)
        resized = resize.resize_image(image, data.image_size)
        return np.asarray(tf.cast(resized + 0.5, tf.uint8))


def read_mask(pair: Pair, data: DataConfig) -> np.ndarray:
    """Returns the mask as class ids, uint8 (h, w), at ``data.image_size``.

    Raises:
        BadData: the file cannot be read, or holds a value that is no class.
    """
    if pair.run_lengths is not None:
        height, width = decode.image_shape(pair.image)
        mask = rle.decode(pair.run_lengths, height, width)
        return resize.nearest_pixels(mask, data.image_size)
    if pair.mask is None:
        raise BadData(f"{pair.image} has neither a mask file nor run lengths")
    values = decode.read_mask_values(pair.mask, data.max_pixels)
    return decode.to_class_ids(resize.nearest_pixels(values, data.image_size), data)


def _decode_plain_jpeg(path: Path, channels: int, data: DataConfig) -> tf.Tensor | None:
    content = _content(path)
    if not content.startswith(b"\xff\xd8\xff"):
        return None
    size = _plain_jpeg_size(content, data.max_pixels)
    if size is None:
        return None
    try:
        return tf.io.decode_jpeg(content, channels, _ratio(size, data.image_size))
    except tf.errors.InvalidArgumentError as error:
        raise BadData(f"{path} is a broken JPEG: {error.message}") from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadData(f"{path} cannot be read: {error.strerror}") from error


def _plain_jpeg_size(content: bytes, max_pixels: int) -> tuple[int, int] | None:
    """Returns (height, width) of an upright grey or RGB JPEG, of no other."""
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as header:
            plain = header.mode in ("L", "RGB") and header.width * header.height
            upright = header.getexif().get(_ORIENTATION, 1) == 1
            fits = plain and upright and plain <= max_pixels
            return (header.height, header.width) if fits else None
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError):
        return None


def _ratio(size: tuple[int, int], target: tuple[int, int]) -> int:
    """Returns by how much the decoder may shrink: a side may end 2 % short."""
    for ratio in (8, 4, 2):
        # The 2 % are for odd sides: half of Carvana's 1918 is 959, wanted is 960.
        if all(-(-old // ratio) >= 0.98 * new for old, new in zip(size, target)):
            return ratio
    return 1
