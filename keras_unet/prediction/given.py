"""An image as a caller has it, as the pixels that are read of its file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from keras_unet import types
from keras_unet.config import DataConfig
from keras_unet.data.images import Undecodable, pixels_of, read_image
from keras_unet.errors import BadData, BadUsage

Given = str | Path | Image.Image | npt.NDArray[Any]
"""A file, one of Pillow's images, or an array, as ``Segmenter.probability`` says."""


def read_all(
    images: Sequence[Given], channels: int, data: DataConfig
) -> list[types.Image]:
    """Returns the upright pixels of each image, uint8 (h, w, channels).

    Raises:
        BadUsage: these are not several images, or one of them is none.
        BadData: one cannot be read, or is too large.
    """
    is_one = isinstance(images, str | Path | Image.Image)
    if is_one or (isinstance(images, np.ndarray) and images.ndim != 4):
        raise BadUsage(
            "probabilities takes a list of images, or an array (b, h, w, c): "
            "give a single image to probability"
        )
    return [_read(image, channels, data) for image in images]


def _read(image: Given, channels: int, data: DataConfig) -> types.Image:
    if isinstance(image, str | Path):
        return read_image(Path(image), channels, data.max_pixels)
    if not isinstance(image, Image.Image):
        image = Image.fromarray(_whole(np.asarray(image)))
    elif image.width * image.height > data.max_pixels:
        raise BadData(
            f"the image's {image.width}×{image.height} pixels are more than "
            f"--max-pixels {data.max_pixels} allows"
        )
    try:
        return pixels_of(image, channels)
    except Undecodable as error:
        raise BadData(f"the image {error}") from error


def _whole(array: npt.NDArray[Any]) -> types.Image:
    """Returns grey (h, w) or RGB (h, w, 3) in 8 bits.

    Raises:
        BadUsage: the array is no image.
    """
    shape = array.shape
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (1, 3, 4)):
        raise BadUsage(
            "an image's shape must be (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), "
            f"not {shape}"
        )
    if array.size == 0:
        raise BadUsage(f"an image must have pixels, found none in the shape {shape}")
    if array.dtype.kind != "u" or array.dtype.itemsize > 2:
        raise BadUsage(
            f"an image's numbers must be uint8 or uint16, not {array.dtype}: "
            f"{_way_out(array)}"
        )
    if array.dtype.itemsize == 2:
        array = (array >> 8).astype(np.uint8)
    grey = array.ndim == 2 or shape[2] == 1
    return array.reshape(shape[:2]) if grey else array[..., :3]


def _way_out(array: npt.NDArray[Any]) -> str:
    if array.dtype.kind not in "biuf":
        return "give a path, one of Pillow's images or an array of numbers"
    if array.dtype.kind in "fb" and array.min() >= 0 and array.max() <= 1:
        return "multiply by 255 what is in 0..1, and .astype('uint8')"
    return "bring them to 0..255, and .astype('uint8')"
