"""What lies in a folder: the files that may be images, by name, and its subfolders."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from keras_unet.data.pair import Problem
from keras_unet.errors import BadData

BESIDE_IMAGES = {
    *(".csv", ".db", ".html", ".ini", ".json", ".log", ".mat", ".md", ".txt"),
    *(".xml", ".yaml", ".yml", ".zip"),
}
"""Suffixes of files that commonly lie between images and are none."""

Stems = dict[str, list[Path]]


def stem_of(image: Path) -> str:
    """Returns the image's name without its suffix, in one spelling of accents."""
    return normal(image.stem)


def name_of(file: Path, folder: Path) -> str:
    """Returns the file's path in ``folder`` without its suffix, in one spelling."""
    path = file.relative_to(folder)
    return normal((path.parent / path.stem).as_posix())


def normal(name: str) -> str:
    """Returns the name in one spelling of accents."""
    # macOS stores accents apart from their letters, other systems as they came.
    return unicodedata.normalize("NFC", name)


def by_stem(folder: Path, deep: bool = False) -> Stems:
    """Returns the folder's files by their stem, in one spelling of accents.

    Hidden files and those that are plainly no image are left out.

    Args:
        folder: where to look.
        deep: also in its subfolders, whose names then belong to the stem.

    Raises:
        BadData: the folder is missing, may not be read or holds no image.
    """
    stems: Stems = defaultdict(list)
    for path in list_files(folder, deep)[0]:
        stems[name_of(path, folder)].append(path)
    if not stems:
        raise BadData(f"{folder}: holds no images")
    return dict(stems)


def list_files(folder: Path, deep: bool = True) -> tuple[list[Path], list[Problem]]:
    """Returns the files that may be images, sorted, and what is no file at all.

    Raises:
        BadData: the folder is missing or may not be read.
    """
    files, problems = [], []
    for path in sorted(_walk(folder, deep, frozenset())):
        if kind := kind_of(path):
            problems.append(Problem(path, f"is {kind}, not a file"))
        else:
            files.append(path)
    return files, problems


def holds_files(folder: Path) -> bool:
    """Returns whether a file that may be an image lies in ``folder`` or below."""
    return any(True for _ in _walk(folder, True, frozenset()))


def _walk(folder: Path, deep: bool, above: frozenset[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    for entry in _entries(folder):
        path = Path(entry.path)
        if _is_folder(entry):
            # A link to a folder above would never end.
            if deep and real not in above:
                yield from _walk(path, deep, above | {real})
        elif path.suffix.lower() not in BESIDE_IMAGES:
            yield path


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            shown = [e for e in entries if not e.name.startswith((".", "Thumbs.db"))]
    except OSError as error:
        raise no_folder(folder, error) from error
    return sorted(shown, key=lambda entry: entry.name)


def subfolders(folder: Path) -> list[Path]:
    """Returns the folders in ``folder`` that are not hidden, sorted.

    Raises:
        BadData: the folder is missing or may not be read.
    """
    return [Path(entry.path) for entry in _entries(folder) if _is_folder(entry)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link in a circle, or to where we may not look: reported when it is opened.
        return False


def kind_of(path: Path) -> str:
    """Returns what ``path`` is if neither a file nor a folder: opening it may hang."""
    try:
        mode = path.stat().st_mode
    except OSError:
        # Opening it says what is wrong.
        return ""
    if stat.S_ISFIFO(mode):
        return "a pipe (FIFO)"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "" if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else "a device"


def no_folder(path: Path, error: OSError) -> BadData:
    """Returns why there is nothing to be had from ``path``, by what opening it gave."""
    if isinstance(error, PermissionError):
        return BadData(f"{path}: may not be read (no permission)")
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        return BadData(f"{path}: cannot be opened ({error.strerror})")
    if path.is_file():
        return BadData(f"{path}: is a file, not a folder")
    return BadData(f"{path}: there is no such folder")
