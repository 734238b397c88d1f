"""Objects of their own: masks of one a file (Data Science Bowl 2018), pieces of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from keras_unet.data.folders import (
    list_files,
    match_names,
    name_of,
    normal,
    opened,
    subfolders,
)
from keras_unet.data.pair import Found, Pair, Problem
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData, BadUsage, Unreadable
from keras_unet.types import Mask, Values

_IMAGES, _MASKS = "images", "masks"


def holds_objects(folder: Path) -> bool:
    """Returns whether the subfolders have images/ and masks/ of their own.

    Where they hold an image each, most of them are enough.
    """
    inside = subfolders(folder)
    fitting = [f for f in inside if (f / _IMAGES).is_dir() and (f / _MASKS).is_dir()]
    if any(len(images) > 1 for images in _images_in(folder)):
        return len(fitting) == len(inside)
    return len(fitting) > len(inside) / 2


def find_objects(folder: Path) -> Found:
    """Returns the pairs of ``<id>/images/*`` and ``<id>/masks/*``, a file an object.

    If each image has one mask, that is a mask like any other. If a folder has several
    images, their masks have their names, and the folder is their group.

    Raises:
        BadData: a folder is missing or may not be read.
    """
    pairs, problems = list[Pair](), list[Problem]()
    several = False
    if any(len(images) > 1 for images in _images_in(folder)):
        return _match_each(folder)
    for inside in subfolders(folder):
        pair, wrong = _pair(inside)
        problems += wrong
        if pair:
            pairs.append(pair)
            several |= len(object_files(inside / _MASKS)) > 1
    if several:
        says = {"mask_kind": "instances"}
        return Found(tuple(pairs), tuple(problems), says=says)
    alone = [Pair(p.image, object_files(p.mask)[0], p.group) for p in pairs if p.mask]
    return Found(tuple(alone), tuple(problems))


def _images_in(folder: Path) -> Iterator[list[Path]]:
    for inside in subfolders(folder):
        if (inside / _IMAGES).is_dir():
            yield list_files(inside / _IMAGES)[0]


def _match_each(folder: Path) -> Found:
    founds = [
        (inside, match_names(inside / _IMAGES, inside / _MASKS))
        for inside in subfolders(folder)
    ]
    return Found(
        tuple(
            replace(pair, group=normal(inside.name))
            for inside, found in founds
            for pair in found.pairs
        ),
        tuple(problem for _, found in founds for problem in found.problems),
        notes=("groups: images of one folder are kept together",),
    )


def _pair(folder: Path) -> tuple[Pair | None, list[Problem]]:
    """Returns the pair of one image's folder, and what is wrong with it."""
    problems, found = [], []
    for name in (_IMAGES, _MASKS):
        if not (folder / name).is_dir():
            return None, [Problem(folder, f"has no folder {name}/")]
        files, odd = list_files(folder / name)
        problems += odd
        found.append(files)
    images, masks = found
    if len(images) != 1:
        cause = f"holds {len(images)} images; expected one, its objects in {_MASKS}/"
        problems.append(Problem(folder / _IMAGES, cause))
    if not masks:
        problems.append(Problem(folder / _MASKS, "holds no masks"))
    if problems:
        return None, problems
    return Pair(images[0], folder / _MASKS, name_of(folder, folder.parent)), []


def object_files(folder: Path) -> list[Path]:
    """Returns the masks of the objects, sorted by name."""
    return list_files(folder)[0]


def read_objects(folder: Path, decode: Callable[[BinaryIO], Values]) -> Values:
    """Returns the number of each pixel's object, (h, w); 0 is none.

    Objects are counted from 1, in the order of their files' names; of two that
    overlap, the later one has the pixel.

    Args:
        folder: of one file an object.
        decode: returns the values of an open mask file.

    Raises:
        Unreadable: a file cannot be read, or is no mask of one object.
    """
    files = object_files(folder)
    values: Values | None = None
    for number, file in enumerate(files, 1):
        with opened(file) as stream:
            mask = decode(stream)
        if values is None:
            values = np.zeros(mask.shape, np.uint8 if len(files) < 256 else np.int32)
        if mask.shape != values.shape:
            height, width = values.shape
            cause = (
                f"is {mask.shape[1]}×{mask.shape[0]}, the first one {width}×{height}"
            )
            raise Unreadable(file, cause)
        shown = np.setdiff1d(mask, [0])
        if len(shown) > 1:
            cause = f"is no mask of one object: it has {len(shown)} values but 0"
            raise Unreadable(file, cause)
        values[mask > 0] = number
    if values is None:
        raise Unreadable(folder, "holds no masks")
    return values


def number_instances(mask: Mask, data: DataConfig) -> npt.NDArray[np.uint16]:
    """Returns the number of each pixel's object, uint16 (h, w); 0 is none.

    With ``data.targets`` "borders" the pieces of the class cell are grown over the
    borders between them; else these are the connected pieces.

    Args:
        mask: class ids (h, w) that a network predicted.
        data: of its run.

    Raises:
        BadData: there are more than 65535.
        BadUsage: scikit-image is needed and not installed.
    """
    if data.targets == "mask":
        return number_pieces(mask)
    from scipy import ndimage

    watershed = find_watershed("--instances of a run with --targets borders")
    seeds, count = ndimage.label(mask == 1)
    _require_16_bits(count)
    # Borders are higher than cells: each cell is filled before its borders are shared.
    grown: npt.NDArray[np.uint16] = watershed(
        mask, seeds.astype(np.uint16), mask=mask > 0
    ).astype(np.uint16)
    return grown


def find_watershed(what: str) -> Callable[..., npt.NDArray[Any]]:
    """Returns scikit-image's watershed.

    Args:
        what: needs it.

    Raises:
        BadUsage: it is not installed.
    """
    try:
        from skimage import segmentation
    except ImportError:
        raise BadUsage(f'{what} needs scikit-image: pip install ".[science]"') from None
    found: Callable[..., npt.NDArray[Any]] = segmentation.watershed
    return found


def number_pieces(mask: Mask) -> npt.NDArray[np.uint16]:
    """Returns the number of each pixel's connected piece, uint16 (h, w); 0 is none.

    Pixels that touch at a corner are connected, as in scikit-image and OpenCV. Pieces
    are of one class; numbers go from the top down, and on from class to class.

    Args:
        mask: class ids (h, w), of which 0 is background.

    Raises:
        BadData: there are more than 65535.
    """
    from scipy import ndimage

    numbers = np.zeros(mask.shape, np.uint16)
    count = 0
    for class_id in np.flatnonzero(np.bincount(mask.ravel())[1:]) + 1:
        pieces, more = ndimage.label(mask == class_id, np.ones((3, 3)))
        _require_16_bits(count + more)
        np.add(pieces, count, out=numbers, where=pieces > 0, casting="unsafe")
        count += more
    return numbers


def _require_16_bits(count: int) -> None:
    if count > 0xFFFF:
        raise BadData(
            f"has {count} pieces, and {0xFFFF} is the most that the 16 bits of "
            "--instances can number"
        )
