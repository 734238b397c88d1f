"""What callers give: files and folders of images, or an image as they have it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from keras_unet import types
from keras_unet.data.folders import BESIDE_IMAGES, no_folder
from keras_unet.data.images import pixels_of, read_image, to_8_bits
from keras_unet.data.opening import Undecodable
from keras_unet.data_config import DataConfig
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
        return read_image(Path(image), channels, data)
    if not isinstance(image, Image.Image):
        image = Image.fromarray(_whole(np.asarray(image), data))
    elif image.width * image.height > data.max_pixels:
        raise BadData(
            f"the image's {image.width}×{image.height} pixels are more than "
            f"--max-pixels {data.max_pixels} allows"
        )
    try:
        return pixels_of(image, channels, data)
    except Undecodable as error:
        raise BadData(f"the image {error}") from error


def _whole(array: npt.NDArray[Any], data: DataConfig) -> types.Image:
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
    levels = to_8_bits(array, data.white)
    grey = array.ndim == 2 or shape[2] == 1
    return levels.reshape(shape[:2]) if grey else levels[..., :3]


def _way_out(array: npt.NDArray[Any]) -> str:
    if array.dtype.kind not in "biuf":
        return "give a path, one of Pillow's images or an array of numbers"
    if array.dtype.kind in "fb" and array.min() >= 0 and array.max() <= 1:
        return "multiply by 255 what is in 0..1, and .astype('uint8')"
    return "bring them to 0..255, and .astype('uint8')"


@dataclass(frozen=True)
class Input:
    """One image file.

    Attributes:
        file: the file.
        place: its path within the folder that was given; of a file that was given, its
            name.
    """

    file: Path
    place: Path


def list_inputs(
    inputs: Sequence[Path], output: Path | None = None
) -> tuple[list[Input], list[BadData]]:
    """Returns the files that are meant, each once, and why other inputs give none.

    A folder's files are sorted, those of its folders among them. Hidden ones and those
    that are plainly no image are left out.

    Args:
        inputs: images, and folders of images.
        output: a folder that is not looked into if it lies within one of the inputs.

    Raises:
        BadUsage: there are no inputs.
        BadData: no input gives a file.
    """
    if not inputs:
        raise BadUsage("INPUT is missing: give images, or folders of images")
    files: dict[Path, Input] = {}
    failed: list[BadData] = []
    for path in inputs:
        passed = {real(output)} if output else set()
        for found in _inputs_of(path, passed):
            if isinstance(found, BadData):
                failed.append(found)
            else:
                files.setdefault(real(found.file), found)
    if not files:
        none = f"none of the {len(failed)} inputs can be used; the first: "
        raise BadData((none if len(failed) > 1 else "") + str(failed[0]))
    return list(files.values()), failed


def real(path: Path) -> Path:
    """Returns the path without links; equal ones are equal as the system has them."""
    # Not Path.resolve: it raises at a link in a circle.
    return Path(os.path.realpath(path))


def _inputs_of(path: Path, passed: set[Path]) -> Iterator[Input | BadData]:
    try:
        # Not Path.is_dir: from Python 3.14 on it does not tell what is wrong.
        mode = path.stat().st_mode
    except PermissionError:
        yield BadData(f"{path}: may not be read (no permission)")
        return
    except OSError:
        yield BadData(f"{path}: there is no such file or folder")
        return
    if not stat.S_ISDIR(mode):
        yield _input(path, Path(path.name), mode)
        return
    found = list(_within(path, Path(), passed))
    yield from found or [BadData(f"{path}: holds no images")]


def _within(folder: Path, place: Path, passed: set[Path]) -> Iterator[Input | BadData]:
    """Yields what lies in a folder; ``passed`` are those not to be looked into."""
    passed.add(real(folder))
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        yield no_folder(folder, error)
        return
    for path in paths:
        if path.name.startswith((".", "Thumbs.db")):
            continue
        mode = _mode(path)
        if not stat.S_ISDIR(mode):
            if path.suffix.lower() not in BESIDE_IMAGES:
                yield _input(path, place / path.name, mode)
        elif real(path) not in passed:
            yield from _within(path, place / path.name, passed)


def _input(path: Path, place: Path, mode: int) -> Input | BadData:
    if not stat.S_ISREG(mode):
        # Opening it could wait for ever.
        return BadData(f"{path}: is a pipe, socket or device, not a file")
    return Input(path, place)


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        # A broken link, or to where we may not look: reported when it is opened.
        return stat.S_IFREG
