"""Which images and masks make pairs by their names, and which may be of a series."""

from __future__ import annotations

import operator
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from keras_unet.data.folders import Stems, by_name, list_files, name_of
from keras_unet.data.pair import MASK_SUFFIX, Found, Pair, Problem
from keras_unet.errors import quoted

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
    pair if all their neighbours are called so, which a note says; it is a problem if
    what was left out may tell two patients or dates. The group of an image is its name.

    Raises:
        BadData: a folder is missing or holds no image.
    """
    image_of, problems = by_name(images, deep, beside=masks)
    mask_of, odd = by_name(masks, beside=images)
    mask_of = _named_as_images(image_of, mask_of)
    around = list[tuple[str, str]]()
    if not image_of.keys() & mask_of.keys():
        around = [_affixes(image_of), _affixes(mask_of)]
        image_of, mask_of = map(_without, (image_of, mask_of), around)
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
    if not around or not pairs:
        return Found(tuple(pairs), tuple(problems))
    one, other = map("*".join, around)
    note = f"images are called {one}, masks {other}, and paired by what stands for *"
    if any(map(_may_be_two, *around)):
        way = "if they do, data check with --output DIR writes pairs.csv, for --pairs"
        problems.append(Problem(masks, f"{note}: do such belong together? {way}"))
        return Found(tuple(pairs), tuple(problems))
    return Found(tuple(pairs), tuple(problems), (note,))


def _named_as_images(image_of: Stems, mask_of: Stems) -> Stems:
    """Returns the masks by their images' names: ``_mask`` goes where it must."""
    renamed: Stems = defaultdict(list)
    for name, paths in mask_of.items():
        short = name.removesuffix(MASK_SUFFIX)
        renamed[short if name not in image_of else name] += paths
    return dict(renamed)


def _affixes(names: Iterable[str]) -> tuple[str, str]:
    """Returns what all names share before and after the digits."""
    start = re.sub(r"\d+$", "", _shared_start(names))
    rest = [name.removeprefix(start)[::-1] for name in names]
    return start, re.sub(r"\d+$", "", _shared_start(rest))[::-1]


def _without(names: Stems, affixes: tuple[str, str]) -> Stems:
    start, end = affixes
    shortened: Stems = defaultdict(list)
    for name, paths in names.items():
        # A folder of one file has nothing but shared letters.
        short = name.removeprefix(start).removesuffix(end) or name
        shortened[short] += paths
    return dict(shortened)


def _may_be_two(one: str, other: str) -> bool:
    """Returns whether what names share may be of two patients, runs or dates."""
    one, other = one.casefold(), other.casefold()
    if one != other and re.sub(r"\d+", "", one) == re.sub(r"\d+", "", other):
        return True
    if len(one) != len(other) or len(one) <= _SHORT:
        return False
    differ = [pair for pair in zip(one, other, strict=True) if operator.ne(*pair)]
    # x and y are what is seen and what is learnt.
    return len(differ) == 1 and sorted(differ[0]) != ["x", "y"]


_SHORT = 3
"""Letters of what may be no more than a word for images, and one for masks."""


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


_SERIES = {
    "images lie in {} folders": r"([^/]+)/[^/]*$",
    "images have {} names, each with several numbers": r"(.+\D)\d+\D*\.",
}
"""Expressions that find what images of one film or patient may have in common."""
_SEVERAL, _ALMOST, _SHARE = 3, 0.9, 0.1


def about_series(paths: Sequence[str]) -> Iterator[str]:
    """Yields the one note on images that may be too like their neighbours to be split.

    It is a question: folders may be classes as well.
    """
    for what, expression in _SERIES.items():
        matches = [re.search(expression, path) for path in paths]
        counts = Counter(match[1] for match in matches if match)
        several = [count for count in counts.values() if count > 1]
        if len(several) >= _SEVERAL and sum(several) >= _ALMOST * len(paths):
            yield (
                f"{what.format(len(several))}: if those of one are alike, such as "
                "frames of a film or slices of a patient, keep them together with "
                f"--group-by {quoted(expression)}"
            )
            return


def tenth_of(groups: int) -> int:
    """Returns how many of the groups are for test, or for validation, where none is."""
    return max(1, round(_SHARE * groups))
