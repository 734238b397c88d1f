"""What lies in a folder, and a file of it opened."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from keras_unet.data.pair import Part, Problem
from keras_unet.errors import BadData, Undecodable, Unreadable

BESIDE_IMAGES = {
    *(".csv", ".db", ".html", ".ini", ".json", ".log", ".mat", ".md", ".txt"),
    *(".jgw", ".pdf", ".pgw", ".prj", ".tfw", ".wld", ".xml", ".yaml", ".yml", ".zip"),
}
"""Suffixes of files that commonly lie between images and are none."""
_SYSTEMS = ("__macosx", "icon\r", "thumbs.db", "$recycle.bin", "@eadir", "#recycle")
"""How names of what macOS, Windows and network drives put between images begin."""

IMAGES = {"images", "image", "imgs", "img", "photos", "pictures", "inputs", "input"}
"""Names of folders of images."""
PARTS: dict[str, Part] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""The words by which folders and lists are called, and the part that each means."""

Stems = dict[str, list[Path]]
"""Files by a name that they share."""


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


def by_stem(folder: Path) -> Stems:
    """Returns the files right in the folder by their stem, in one spelling of accents.

    Hidden files and those that are plainly no image are left out.

    Raises:
        BadData: the folder is missing, may not be read or holds no image.
    """
    if stems := by_name(folder, deep=False)[0]:
        return stems
    raise BadData(f"{folder}: holds no images")


def by_name(
    folder: Path, deep: bool = True, beside: Path | None = None
) -> tuple[Stems, list[Problem]]:
    """Returns the files that may be images by their name, and what is no file at all.

    Of those in ``beside``, where that lies within ``folder``, none is.

    Raises:
        BadData: the folder is missing, may not be read or holds no image.
    """
    files, problems = list_files(folder, deep)
    if beside and folder in beside.parents:
        files = [file for file in files if beside not in file.parents]
    if not files and not problems:
        raise BadData(f"{folder}: holds no images")
    names: Stems = defaultdict(list)
    for file in files:
        names[name_of(file, folder)].append(file)
    return dict(names), problems


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
            shown = [e for e in entries if not is_hidden(e.name)]
    except OSError as error:
        raise no_folder(folder, error) from error
    return sorted(shown, key=lambda entry: entry.name)


def is_hidden(name: str) -> bool:
    """Returns whether a file or folder is hidden, or one of a system's own."""
    return name.startswith(".") or is_of_system(name)


def is_of_system(name: str) -> bool:
    """Returns whether a system put the file or folder there, such as thumbnails."""
    return name.lower().startswith(_SYSTEMS)


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


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Gives the open file; what is wrong with it or its content gets its name.

    Raises:
        Unreadable: the file is missing or forbidden, or what is done with it within
            the block raises Undecodable.
    """
    if kind := kind_of(path):
        raise Unreadable(path, f"is {kind}, not a file")
    try:
        # Given a name, Pillow 13 maps the file and reads turned TIFF images wrongly.
        file = path.open("rb")
    except PermissionError as error:
        raise Unreadable(path, "may not be read (no permission)") from error
    except FileNotFoundError as error:
        cause = "is a broken link" if path.is_symlink() else "is not there"
        raise Unreadable(path, cause) from error
    except OSError as error:
        raise Unreadable(path, f"cannot be opened ({error.strerror})") from error
    with file:
        try:
            yield file
        except Undecodable as error:
            raise Unreadable(path, str(error)) from error
        except OSError as error:
            raise Unreadable(path, f"cannot be read ({error.strerror})") from error


def no_folder(path: Path, error: OSError) -> BadData:
    """Returns why there is nothing to be had from ``path``, by what opening it gave."""
    if isinstance(error, PermissionError):
        return BadData(f"{path}: may not be read (no permission)")
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        return BadData(f"{path}: cannot be opened ({error.strerror})")
    if path.is_file():
        return BadData(f"{path}: is a file, not a folder")
    return BadData(f"{path}: there is no such folder")


def left_out(what: str, names: Iterable[Path | str]) -> tuple[str, ...]:
    """Returns the note on files of a kind that are no part of the set, if any are."""
    files = sorted(Path(name).name for name in names)
    return (f"{what} are left out: {len(files)} ({files[0]})",) if files else ()


def beside(
    images: Collection[Path], known: Iterable[Path], what: str
) -> tuple[str, ...]:
    """Returns the note on files beside images, of their suffixes and not ``known``."""
    kinds = {image.suffix.lower() for image in images}
    places = {image.parent for image in images}
    files = {file for place in places for file in list_files(place, deep=False)[0]}
    others = files - {*images, *known}
    return left_out(what, (file for file in others if file.suffix.lower() in kinds))
