"""What lies in a folder, a file of it opened, and which make pairs by their names."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from keras_unet.data.pair import MASK_SUFFIX, Found, Pair, Part, Problem
from keras_unet.errors import BadData, Undecodable, Unreadable

BESIDE_IMAGES = {
    *(".csv", ".db", ".html", ".ini", ".json", ".log", ".mat", ".md", ".txt"),
    *(".jgw", ".pdf", ".pgw", ".prj", ".tfw", ".wld", ".xml", ".yaml", ".yml", ".zip"),
}
"""Suffixes of files that commonly lie between images and are none."""

IMAGES = {"images", "image", "imgs", "img", "photos", "pictures", "inputs", "input"}
"""Names of folders of images."""
PARTS: dict[str, Part] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""The words by which folders and lists are called, and the part that each means."""

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


def by_stem(folder: Path) -> Stems:
    """Returns the files right in the folder by their stem, in one spelling of accents.

    Hidden files and those that are plainly no image are left out.

    Raises:
        BadData: the folder is missing, may not be read or holds no image.
    """
    if stems := _by_name(folder, deep=False)[0]:
        return stems
    raise BadData(f"{folder}: holds no images")


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
            shown = [e for e in entries if not e.name.startswith((".", "__MACOSX"))]
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


MASK_WORDS = (
    *("mask", "masks", "label", "labels", "labelids", "seg", "segmentation"),
    *("gt", "groundtruth", "ground_truth", "annotation", "annot", "target", "matte"),
)
"""What the name of a mask has before or after its image's, side by side in a folder."""

_AROUND = r"(.+)[_\-. ](?:{0})|(?:{0})[_\-. ](.+)"
_MASKS = re.compile(_AROUND.format("|".join(MASK_WORDS)), re.IGNORECASE)
_IMAGES = re.compile(_AROUND.format("sat|image|img|rgb|photo"), re.IGNORECASE)
_PHOTOS = {".jpg", ".jpeg", ".jpe", ".jfif"}


def match_names(images: Path, masks: Path, deep: bool = True) -> Found:
    """Returns the pairs of an image, ``deep`` in its folder, and a mask of its name.

    A name is the path within the folder, without the suffix. A mask's is its image's,
    or that and ``_mask``. Where no two names are alike, what all images and all masks
    begin and end with is left out of the comparison: ``t001`` and ``man_seg001`` are a
    pair if all their neighbours are called so. The group of an image is its name.

    Raises:
        BadData: a folder is missing or holds no image.
    """
    image_of, problems = _by_name(images, deep, beside=masks)
    mask_of, odd = _by_name(masks, beside=images)
    mask_of = _named_as_images(image_of, mask_of)
    if not image_of.keys() & mask_of.keys():
        image_of, mask_of = _without_affixes(image_of), _without_affixes(mask_of)
    problems += [
        *odd,
        *_unmatched(image_of, mask_of, f"has no mask in {masks}"),
        *_unmatched(mask_of, image_of, f"has no image in {images}"),
    ]
    pairs = []
    for name in sorted(image_of.keys() & mask_of.keys()):
        several = _several(image_of[name]) + _several(mask_of[name])
        problems += several
        if not several:
            image = image_of[name][0]
            pairs.append(Pair(image, mask_of[name][0], name_of(image, images)))
    return Found(tuple(pairs), tuple(problems))


def _by_name(
    folder: Path, deep: bool = True, beside: Path | None = None
) -> tuple[Stems, list[Problem]]:
    files, problems = list_files(folder, deep)
    if beside and folder in beside.parents:
        files = [file for file in files if beside not in file.parents]
    if not files and not problems:
        raise BadData(f"{folder}: holds no images")
    names: Stems = defaultdict(list)
    for file in files:
        names[name_of(file, folder)].append(file)
    return dict(names), problems


def _named_as_images(image_of: Stems, mask_of: Stems) -> Stems:
    """Returns the masks by their images' names: ``_mask`` goes where it must."""
    renamed: Stems = defaultdict(list)
    for name, paths in mask_of.items():
        short = name.removesuffix(MASK_SUFFIX)
        renamed[short if name not in image_of else name] += paths
    return dict(renamed)


def _without_affixes(names: Stems) -> Stems:
    """Returns the names less what all of them share before and after the digits."""
    if not names:
        return names
    start = re.sub(r"\d+$", "", _shared_start(names))
    end = re.sub(r"\d+$", "", _shared_start(name[::-1] for name in names))[::-1]
    shortened: Stems = defaultdict(list)
    for name, paths in names.items():
        # A folder of one file has nothing but shared letters.
        short = name.removeprefix(start).removesuffix(end) or name
        shortened[short] += paths
    return dict(shortened)


def _shared_start(texts: Iterable[str]) -> str:
    return os.path.commonprefix([*texts])  # noqa: RUF071, letters are meant


def _unmatched(names: Stems, others: Stems, cause: str) -> list[Problem]:
    return [
        Problem(path, cause)
        for name in sorted(names.keys() - others.keys())
        for path in names[name]
    ]


def _several(paths: list[Path]) -> list[Problem]:
    if len(paths) == 1:
        return []
    names = ", ".join(path.name for path in paths[1:])
    return [Problem(paths[0], f"has the same name as {names}; which one is meant?")]


def match_neighbours(folder: Path, deep: bool = False) -> Found:
    """Returns the pairs of a folder in which images and masks lie side by side.

    ``a.jpg`` and ``a.png`` are a pair, and so are ``a.jpg`` (or ``a_sat.jpg``) and
    ``a_mask.png`` or ``mask_a.png``, whatever the suffixes. Of two files of one name
    and none of them a JPEG, which one is the mask is not guessed.

    Raises:
        BadData: the folder is missing or may not be read.
    """
    files, problems = list_files(folder, deep)
    names = {file: name_of(file, folder) for file in files}
    image_by = {_less(name, _IMAGES): name for name in names.values()}
    image_by |= {name: name for name in names.values()} | {"": ""}
    image_of: Stems = defaultdict(list)
    mask_of: Stems = defaultdict(list)
    for file, name in names.items():
        if image := image_by.get(_less(name, _MASKS)):
            mask_of[image].append(file)
        else:
            image_of[name].append(file)
    pairs = []
    for name, images in sorted(image_of.items()):
        pair = _neighbours(images, mask_of.get(name, []), folder)
        if isinstance(pair, Pair):
            pairs.append(pair)
        else:
            problems.append(pair)
    return Found(tuple(pairs), tuple(problems)).grouped()


def _less(name: str, words: re.Pattern[str]) -> str:
    """Returns the name less one of the words, or nothing where it has none."""
    path = PurePosixPath(name)
    match = words.fullmatch(path.name)
    return (path.parent / (match[1] or match[2])).as_posix() if match else ""


def _neighbours(images: list[Path], masks: list[Path], folder: Path) -> Pair | Problem:
    """Returns the pair of files of one name, or why they are none."""
    if not masks and len(images) == 2:
        photos = [file for file in images if file.suffix.lower() in _PHOTOS]
        if len(photos) != 1:
            cause = "is an image and its mask, but which of them is the mask?"
            both = " and ".join(sorted(file.name for file in images))
            return Problem(folder / both, cause)
        images, masks = photos, [file for file in images if file not in photos]
    if len(images) > 1 or len(masks) > 1:
        return _several(images if len(images) > 1 else masks)[0]
    if not masks:
        return Problem(images[0], "has no mask beside it, such as a_mask.png of a.jpg")
    return Pair(images[0], masks[0], name_of(images[0], folder))
