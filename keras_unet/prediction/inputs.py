"""The image files that are meant by files and folders, and where their masks belong."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_unet.data.folders import BESIDE_IMAGES, no_folder
from keras_unet.errors import BadData, BadUsage


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
