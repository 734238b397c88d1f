"""Pairs from a folder of images and a folder of masks, matched by their names."""

from __future__ import annotations

import itertools
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from keras_unet.data.found import Found, Problem
from keras_unet.data.pair import Pair
from keras_unet.errors import BadData

BESIDE_PICTURES = {
    *(".csv", ".db", ".html", ".ini", ".json", ".log", ".md", ".txt"),
    *(".xml", ".yaml", ".yml", ".zip"),
}
"""Suffixes of files that commonly lie between pictures and are none."""

_MASK_SUFFIX = "_mask"
Stems = dict[str, list[Path]]


def find(images: Path, masks: Path, group_of: Callable[[Path], str]) -> Found:
    """Returns the pairs of an image and a mask of the same name.

    A mask's stem is its image's, or that and ``_mask``. Where no two stems are alike,
    what all images and all masks begin and end with is left out of the comparison:
    ``t001`` and ``man_seg001`` are a pair if all their neighbours are called so.

    Args:
        images: folder of the images.
        masks: folder of the masks.
        group_of: returns the group of an image file.

    Raises:
        BadData: a folder is missing or holds no picture.
    """
    image_of, mask_of = by_stem(images), by_stem(masks)
    mask_of = _named_as_images(image_of, mask_of)
    if not image_of.keys() & mask_of.keys():
        image_of, mask_of = _without_affixes(image_of), _without_affixes(mask_of)
    problems = [
        *_unmatched(image_of, mask_of, f"has no mask in {masks}"),
        *_unmatched(mask_of, image_of, f"has no image in {images}"),
    ]
    pairs = []
    for stem in sorted(image_of.keys() & mask_of.keys()):
        several = _several(image_of[stem]) + _several(mask_of[stem])
        problems += several
        if not several:
            image = image_of[stem][0]
            pairs.append(Pair(image, mask_of[stem][0], group_of(image)))
    return Found(tuple(pairs), tuple(problems))


def by_stem(folder: Path) -> Stems:
    """Returns the folder's files by their stem, in one spelling of accents.

    Hidden files and those that are plainly no picture are left out.

    Raises:
        BadData: the folder is missing, may not be read or holds no picture.
    """
    stems: Stems = defaultdict(list)
    for path in sorted(_files(folder)):
        stems[unicodedata.normalize("NFC", path.stem)].append(path)
    if not stems:
        raise BadData(f"{folder}: holds no pictures")
    return dict(stems)


def _files(folder: Path) -> Iterable[Path]:
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise no_folder(folder, error) from error
    return [
        Path(entry.path)
        for entry in entries
        if not entry.name.startswith((".", "Thumbs.db"))
        and not _is_folder(entry)
        and Path(entry.name).suffix.lower() not in BESIDE_PICTURES
    ]


def no_folder(path: Path, error: OSError) -> BadData:
    """Returns why there is nothing to be had from ``path``, by what opening it gave."""
    if isinstance(error, PermissionError):
        return BadData(f"{path}: may not be read (no permission)")
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        return BadData(f"{path}: cannot be opened ({error.strerror})")
    if path.is_file():
        return BadData(f"{path}: is a file, not a folder")
    return BadData(f"{path}: there is no such folder")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link in a circle, or to where we may not look: reported when it is opened.
        return False


def _named_as_images(image_of: Stems, mask_of: Stems) -> Stems:
    """Returns the masks by their images' stems: ``_mask`` goes where it must."""
    renamed: Stems = defaultdict(list)
    for stem, paths in mask_of.items():
        short = stem.removesuffix(_MASK_SUFFIX)
        renamed[short if stem not in image_of else stem] += paths
    return dict(renamed)


def _without_affixes(stems: Stems) -> Stems:
    """Returns the stems less what all of them share before and after the digits."""
    start = re.sub(r"\d+$", "", _shared_start(stems))
    end = re.sub(r"\d+$", "", _shared_start(stem[::-1] for stem in stems))[::-1]
    shortened: Stems = defaultdict(list)
    for stem, paths in stems.items():
        # A folder of one file has nothing but shared letters.
        short = stem.removeprefix(start).removesuffix(end) or stem
        shortened[short] += paths
    return dict(shortened)


def _shared_start(texts: Iterable[str]) -> str:
    ordered = sorted(texts)
    both = zip(ordered[0], ordered[-1], strict=False)
    same = itertools.takewhile(lambda letters: letters[0] == letters[1], both)
    return "".join(first for first, _ in same)


def _unmatched(stems: Stems, others: Stems, cause: str) -> list[Problem]:
    return [
        Problem(path, cause)
        for stem in sorted(stems.keys() - others.keys())
        for path in stems[stem]
    ]


def _several(paths: list[Path]) -> list[Problem]:
    if len(paths) == 1:
        return []
    names = ", ".join(path.name for path in paths[1:])
    return [Problem(paths[0], f"has the same name as {names}; which one is meant?")]
