"""One image file read at the network's size, as uint8."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_unet.config import DataConfig
from keras_unet.data import decode, resize, stretch
from keras_unet.data.compiled import compiled
from keras_unet.data.picture_file import Header, Unreadable, read_header

# Symbolic and eager tensors have no common public type on both stacks.
Tensor = Any
Pixels = npt.NDArray[np.uint8]


def read_image(path: Path, channels: int, data: DataConfig) -> Pixels:
    """Returns the upright image at ``data.image_size``, uint8 (h, w, channels).

    A large JPEG is decoded at a half, a quarter or an eighth of its size.

    Raises:
        BadData: the file cannot be read; the message names it.
    """
    header = read_header(path, data.max_pixels)
    if _is_plain_jpeg(header):
        image = _decode_jpeg(path, channels, header, data)
    else:
        image = decode.read_image(path, channels, data.max_pixels)
    return at_size(image, data.image_size)


def at_size(image: Tensor, size: tuple[int, int]) -> Pixels:
    """Returns an image, uint8 (h, w, c), at ``size``."""
    if image.shape[:2] == size:
        return np.asarray(image)
    # On the CPU, whatever the network is on: the pictures are needed here.
    with tf.device("CPU"):
        if stretch.is_small(image.shape, size):
            return np.asarray(stretch.stretch(image, size))
        return np.asarray(_resizer(size)(image))


@functools.cache
def _resizer(size: tuple[int, int]) -> Any:
    # One graph for pictures of all sizes: a third faster than one step at a time.
    @tf.function(
        input_signature=[tf.TensorSpec((None, None, None), tf.uint8)], autograph=False
    )
    def resized(image: Tensor) -> Tensor:
        return _rounded(resize.resize_image(image, size))

    return resized


# In one pass, which TensorFlow would take two for.
@compiled
def _rounded(image: Tensor) -> Tensor:
    return tf.cast(image + 0.5, tf.uint8)


def _is_plain_jpeg(header: Header) -> bool:
    upright = header.orientation == 1
    return header.format == "JPEG" and header.mode in ("L", "RGB") and upright


def _decode_jpeg(path: Path, channels: int, header: Header, data: DataConfig) -> Tensor:
    ratio = _ratio(header.shape, data.image_size)
    try:
        with tf.device("CPU"):
            return tf.io.decode_jpeg(path.read_bytes(), channels, ratio)
    except tf.errors.InvalidArgumentError as error:
        raise Unreadable(path, "is truncated or damaged") from error


def _ratio(size: tuple[int, int], target: tuple[int, int]) -> int:
    """Returns by how much the decoder may shrink: a side may end 2 % short."""
    sides = list(zip(size, target, strict=True))
    for ratio in (8, 4, 2):
        # The 2 % are for odd sides: half of Carvana's 1918 is 959, wanted is 960.
        if all(-(-old // ratio) >= 0.98 * new for old, new in sides):
            return ratio
    return 1
