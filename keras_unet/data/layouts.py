"""Which folders hold pairs: names matched, Kaggle's sets, records."""

from __future__ import annotations

import itertools
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from keras_unet.config import DataConfig
from keras_unet.console import load_tensorflow
from keras_unet.data.groups import find_groups
from keras_unet.data.pair import INDEX, Found, Pair, Problem
from keras_unet.errors import BadData, BadUsage


def find(data: DataConfig) -> Found:
    """Returns the pairs of ``data``, sorted by name, and the files that make none.

    Those of --validation are apart from the rest.

    Raises:
        BadData: a folder is missing, empty or of no known layout.
        BadUsage: no folder was given, or --group-by is no regular expression.
    """
    if data.images is not None and data.masks is not None:
        found = match_names(data.images, data.masks, stem_of)
    elif data.data is not None:
        found = _look_into(data.data)
    else:
        raise BadUsage("no data: give --data DIR, or --images DIR and --masks DIR")
    if data.group_by is not None:
        found = _regroup(found, data.group_by)
    pairs = tuple(sorted(found.pairs, key=lambda pair: normal(pair.image.name)))
    if data.validation is None:
        return Found(pairs, found.problems)
    given = find(_validation_of(data))
    return Found(pairs, found.problems + given.problems, given.pairs)


def _validation_of(data: DataConfig) -> DataConfig:
    return replace(data, data=data.validation, images=None, masks=None, validation=None)


def _regroup(found: Found, group_by: str) -> Found:
    groups = find_groups(group_by, [normal(pair.image.name) for pair in found.pairs])
    pairs, problems = [], list(found.problems)
    for pair, group in zip(found.pairs, groups, strict=True):
        if group:
            pairs.append(replace(pair, group=group))
        else:
            cause = f"--group-by {group_by} finds nothing in its name"
            problems.append(Problem(pair.image, cause))
    return Found(tuple(pairs), tuple(problems))


def _look_into(data: Path) -> Found:
    """Returns the pairs of a folder in one of the layouts that are known.

    Raises:
        BadData: the folder is missing, or of another layout.
    """
    try:
        return _by_layout(data)
    except OSError as error:
        raise no_folder(data, error) from error


def _by_layout(data: Path) -> Found:
    if (data / INDEX).is_file():
        # Behind it is TensorFlow, which a look at files can do without.
        load_tensorflow()
        from keras_unet.data.records import find_recorded

        return find_recorded(data)
    images, masks, table = (
        data / name for name in ("train", "train_masks", "train_masks.csv")
    )
    if images.is_dir() and masks.is_dir():
        return match_names(images, masks, car_of)
    if images.is_dir() and table.is_file():
        return find_run_lengths(by_stem(images), table, car_of)
    if (data / "images").is_dir() and (data / "masks").is_dir():
        return match_names(data / "images", data / "masks", stem_of)
    raise BadData(
        f"{data}: {_contents(data)}; expected images/ and masks/, or Kaggle's train/ "
        "and train_masks/ (or train_masks.csv); --images and --masks name any others"
    )


def _contents(data: Path) -> str:
    names = sorted(path.name + "/" * path.is_dir() for path in data.iterdir())
    more = " …" if len(names) > 6 else ""
    return f"holds {', '.join(names[:6])}{more}" if names else "is empty"


def stem_of(image: Path) -> str:
    """Returns the image's name without its suffix, in one spelling of accents."""
    return normal(image.stem)


def normal(name: str) -> str:
    """Returns the name in one spelling of accents."""
    # macOS stores accents apart from their letters, other systems as they came.
    return unicodedata.normalize("NFC", name)


BESIDE_IMAGES = {
    *(".csv", ".db", ".html", ".ini", ".json", ".log", ".md", ".txt"),
    *(".xml", ".yaml", ".yml", ".zip"),
}
"""Suffixes of files that commonly lie between images and are none."""

_MASK_SUFFIX = "_mask"
Stems = dict[str, list[Path]]


def match_names(images: Path, masks: Path, group_of: Callable[[Path], str]) -> Found:
    """Returns the pairs of an image and a mask of the same name.

    A mask's stem is its image's, or that and ``_mask``. Where no two stems are alike,
    what all images and all masks begin and end with is left out of the comparison:
    ``t001`` and ``man_seg001`` are a pair if all their neighbours are called so.

    Args:
        images: folder of the images.
        masks: folder of the masks.
        group_of: returns the group of an image file.

    Raises:
        BadData: a folder is missing or holds no image.
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

    Hidden files and those that are plainly no image are left out.

    Raises:
        BadData: the folder is missing, may not be read or holds no image.
    """
    stems: Stems = defaultdict(list)
    for path in sorted(_files(folder)):
        stems[stem_of(path)].append(path)
    if not stems:
        raise BadData(f"{folder}: holds no images")
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
        and Path(entry.name).suffix.lower() not in BESIDE_IMAGES
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


_SHOWN = 30
"""Letters of a table's line that are shown."""


def car_of(image: Path) -> str:
    """Returns the car of ``<car>_<view>.jpg``; without a view, the whole stem."""
    return re.sub(r"_\d+$", "", stem_of(image))


def find_run_lengths(
    images: Mapping[str, list[Path]], table: Path, group: Callable[[Path], str]
) -> Found:
    """Returns the pairs of images whose masks are run lengths in ``table``.

    Args:
        images: the image files by stem, at least one.
        table: Kaggle's train_masks.csv: a header, then ``<car>_<view>.jpg,<runs>``.
        group: returns the group of an image file.

    Raises:
        BadData: the table cannot be read.
    """
    runs, problems = _read_table(table)
    pairs = []
    for stem, paths in sorted(images.items()):
        if len(paths) > 1:
            problems.append(Problem(paths[0], f"has the same name as {paths[1].name}"))
        elif stem in runs:
            pairs.append(Pair(paths[0], None, group(paths[0]), runs[stem]))
        else:
            problems.append(Problem(paths[0], f"has no row in {table}"))
    folder = next(iter(images.values()))[0].parent
    problems += [
        Problem(table, f"has no image in {folder}", f"row {stem}")
        for stem in sorted(runs.keys() - images.keys())
    ]
    return Found(tuple(pairs), tuple(problems))


def _read_table(table: Path) -> tuple[dict[str, str], list[Problem]]:
    try:
        lines = table.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(f"{table}: cannot be read ({error})") from error
    if not lines or "," not in lines[0]:
        raise BadData(f"{table}: must begin with a header such as img,rle_mask")
    runs: dict[str, str] = {}
    problems = []
    for number, line in enumerate(lines[1:], 2):
        name, comma, lengths = line.partition(",")
        stem = PurePosixPath(name.strip('" ')).stem
        place = f"line {number} ({line[:_SHOWN]})"
        if not comma:
            problems.append(Problem(table, "has no comma", place))
        elif stem in runs:
            problems.append(Problem(table, "is one more for the same image", place))
        else:
            runs[stem] = lengths.strip('" ')
    return runs, problems
