"""What callers give: files, folders, patterns, lists, or an image as they have it."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from keras_unet import types
from keras_unet.data.folders import BESIDE_IMAGES, is_hidden, is_of_system, no_folder
from keras_unet.data.images import pixels_of, to_8_bits
from keras_unet.data.resize import read_at_own_size
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData, BadUsage, Undecodable, Unreadable

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
        return read_at_own_size(Path(image), channels, data)
    if isinstance(image, Image.Image) and image.width * image.height > data.max_pixels:
        raise BadData(
            f"the image's {image.width}×{image.height} pixels are more than "
            f"--max-pixels {data.max_pixels} allows"
        )
    try:
        if not isinstance(image, Image.Image):
            image = Image.fromarray(_whole(np.asarray(image), data))
        return pixels_of(image, channels, data)
    except Undecodable as error:
        raise BadData(f"the image {error}") from error


def _whole(array: npt.NDArray[Any], data: DataConfig) -> types.Image:
    """Returns grey (h, w), RGB (h, w, 3) or, where bands are picked, all of 8 bits.

    Raises:
        BadUsage: the array is no image.
        Undecodable: as by ``to_8_bits``.
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
    if grey:
        return levels.reshape(shape[:2])
    return levels if data.bands else levels[..., :3]


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
        place: where its masks go within the output: its path within the folder, or
            below the first wildcard of the pattern, that was given; as it stands in a
            list; of a file that was given, its name.
    """

    file: Path
    place: Path


_T = TypeVar("_T")


@dataclass(frozen=True)
class Shard:
    """One of several processes that do a share of the inputs each.

    Attributes:
        number: from 1 on.
        count: how many there are.
    """

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Returns what a text such as 3/16 says.

        Raises:
            BadUsage: it says no shard.
        """
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        shard = cls(int(found[1]), int(found[2])) if found else cls(0)
        if not 1 <= shard.number <= shard.count:
            raise BadUsage(
                "--shard must be a number from 1 on and how many there are, such as "
                f"3/16, not {text}"
            )
        return shard

    def of(self, items: Sequence[_T]) -> Sequence[_T]:
        """Returns this shard's items; those of all shards, in order, are the items."""
        first, last = (
            len(items) * number // self.count
            for number in (self.number - 1, self.number)
        )
        return items[first:last]

    def name(self, file: Path) -> Path:
        """Returns the name of this shard's part of a file, such as a-03-of-16.csv."""
        if self.count == 1:
            return file
        number = f"{self.number:0{len(str(self.count))}}"
        return file.with_name(f"{file.stem}-{number}-of-{self.count}{file.suffix}")


def list_inputs(
    inputs: Sequence[Path], output: Path | None = None
) -> tuple[list[Input], list[Unreadable]]:
    """Returns the files that are meant, each once, and why other inputs give none.

    A folder's files are sorted, those of its folders among them, and so are those of a
    pattern; a list's keep their order. In folders and patterns, hidden files and those
    that are plainly no image are left out. Nearly no file is looked at on its own.

    Args:
        inputs: images, folders of images, patterns such as ``in/**/*.jpg``, and lists
            such as ``@list.txt``: a text file with a path of a file or folder in each
            line, counted from the list's own folder. What is there under the very name
            that is given is neither pattern nor list.
        output: a folder that is not looked into if it lies within one of the inputs.

    Raises:
        BadUsage: there are no inputs.
        BadData: no input gives a file.
    """
    if not inputs:
        raise BadUsage("INPUT is missing: give images, or folders of images")
    files: list[Input] = []
    failed: list[Unreadable] = []
    for path in inputs:
        for found in _inputs_of(path, {_real(output)} if output else set()):
            if isinstance(found, Unreadable):
                failed.append(found)
            else:
                files.append(found)
    if not files:
        none = f"none of the {len(failed)} inputs can be used; the first: "
        raise BadData((none if len(failed) > 1 else "") + str(failed[0]))
    each: dict[str, Input] = {}
    for name, one in zip(real_names(one.file for one in files), files, strict=True):
        each.setdefault(name, one)
    return list(each.values()), failed


def real_names(files: Iterable[Path | str], follow: bool = True) -> Iterator[str]:
    """Yields the names without links; equal ones are equal as the system has them.

    Args:
        files: any; the folders that they share are looked at once.
        follow: False leaves the files themselves as they are, links or not.
    """
    folders: dict[str, str] = {}
    for file in files:
        # Making paths of texts would take as long as all the rest.
        if follow and os.path.islink(file):  # noqa: PTH114
            yield os.path.normcase(_real(Path(file)))
            continue
        folder, name = os.path.split(file)
        if folder not in folders:
            folders[folder] = _real(Path(folder))
        yield os.path.normcase(f"{folders[folder]}{os.sep}{name}")


def _real(path: Path) -> str:
    # Not Path.resolve: it raises at a link in a circle.
    return os.path.realpath(path)


def _inputs_of(path: Path, passed: set[str]) -> Iterator[Input | Unreadable]:
    text = str(path)
    if not os.path.lexists(path):
        if text.startswith("@"):
            yield from _listed(Path(text[1:]), passed)
            return
        if glob.has_magic(text):
            yield from _matching(path, passed)
            return
    yield from _found(path, None, passed)


def _found(
    path: Path, place: Path | None, passed: set[str]
) -> Iterator[Input | Unreadable]:
    """Yields the file, or what lies in the folder; of neither, why."""
    try:
        # Not Path.is_dir: from Python 3.14 on it does not tell what is wrong.
        mode = path.stat().st_mode
    except PermissionError:
        yield Unreadable(path, "may not be read (no permission)")
        return
    except (OSError, ValueError):
        yield Unreadable(path, "there is no such file or folder")
        return
    if not stat.S_ISDIR(mode):
        yield _input(path, place or Path(path.name), mode)
        return
    found = list(_within(path, place or Path(), passed))
    yield from found or [Unreadable(path, "holds no images")]


def _listed(file: Path, passed: set[str]) -> Iterator[Input | Unreadable]:
    """Yields what the lines of a list name; what is wrong with one has its number."""
    try:
        text = file.read_text("utf-8-sig", errors="surrogateescape")
    except OSError as error:
        yield Unreadable(file, f"the list cannot be read ({error.strerror})")
        return
    lines = [line.strip() for line in text.splitlines()]
    if not any(lines):
        yield Unreadable(file, "the list names no files")
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        path = file.parent / line
        for found in _found(path, _place_of(line, path), passed):
            if isinstance(found, Unreadable):
                where = f"{file}, line {number}"
                found = Unreadable(found.file, f"{found.cause} ({where})")
            yield found


def _place_of(line: str, path: Path) -> Path:
    """Returns a list's path as it stands there; of one from the root, without that."""
    place = Path(os.path.normpath(line))
    if place.parts[:1] == ("..",):
        place = Path(os.path.normpath(Path.cwd() / path))
    return place.relative_to(place.anchor)


def _matching(pattern: Path, passed: set[str]) -> Iterator[Input | Unreadable]:
    """Yields what a pattern matches: files, and what lies in folders."""
    start = Path()
    for part in pattern.parts:
        if glob.has_magic(part):
            break
        start /= part
    nothing = True
    seen: dict[Path, bool] = {}
    # Unlike Path.glob, it leaves out what is hidden.
    matches = glob.glob(str(pattern), recursive=True)  # noqa: PTH207
    for match in map(Path, sorted(matches)):
        folder = match if match.is_dir() else match.parent
        if folder not in seen:
            real = Path(_real(folder))
            seen[folder] = not passed.isdisjoint(map(str, (real, *real.parents)))
        place = match.relative_to(start)
        is_none = any(map(is_of_system, place.parts))
        if seen[folder] or is_none or match.suffix.lower() in BESIDE_IMAGES:
            continue
        for found in _found(match, place, passed):
            nothing = False
            yield found
    if nothing:
        yield Unreadable(pattern, "matches no images")


def _within(
    folder: Path, place: Path, passed: set[str]
) -> Iterator[Input | Unreadable]:
    """Yields what lies in a folder; ``passed`` are those not to be looked into."""
    passed.add(_real(folder))
    try:
        with os.scandir(folder) as opened:
            entries = sorted(opened, key=lambda entry: entry.name)
    except OSError as error:
        cause = str(no_folder(folder, error)).removeprefix(f"{folder}: ")
        yield Unreadable(folder, cause)
        return
    for entry in entries:
        if is_hidden(entry.name):
            continue
        path, mode = folder / entry.name, _mode(entry)
        if not stat.S_ISDIR(mode):
            if path.suffix.lower() not in BESIDE_IMAGES:
                yield _input(path, place / entry.name, mode)
        elif _real(path) not in passed:
            yield from _within(path, place / entry.name, passed)


def _input(path: Path, place: Path, mode: int) -> Input | Unreadable:
    if not stat.S_ISREG(mode):
        # Opening it could wait for ever.
        return Unreadable(path, "is a pipe, socket or device, not a file")
    return Input(path, place)


def _mode(entry: os.DirEntry[str]) -> int:
    # What the folder itself tells, without looking at the file.
    if entry.is_file(follow_symlinks=False):
        return stat.S_IFREG
    try:
        return entry.stat().st_mode
    except OSError:
        # A broken link, or to where we may not look: reported when it is opened.
        return stat.S_IFREG
