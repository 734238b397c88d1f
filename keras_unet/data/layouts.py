"""Which of the known layouts a folder has, and the pairs that are in it."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from keras_unet.data import coco
from keras_unet.data.folder_layouts import PASCALS, layouts_of, match_folders, names_in
from keras_unet.data.folders import (
    PARTS,
    by_stem,
    left_out,
    no_folder,
    normal,
    subfolders,
)
from keras_unet.data.names import about_series, match_neighbours, tenth_of
from keras_unet.data.pair import Found, Pair, Part, Problem, require_agreed
from keras_unet.data.pairs_file import find_listed, find_run_lengths
from keras_unet.data.records_index import INDEX, find_recorded, require_one_size
from keras_unet.data.rle import with_order
from keras_unet.data_config import DataConfig, find_groups
from keras_unet.errors import BadData, BadUsage

_PLACES = ("", "splits", "split", "lists", "annotations", "ImageSets", PASCALS)
_BARE: tuple[set[Part] | None, ...] = (None, {"test"})
"""The parts of images that need no mask: none, and test."""


def find(data: DataConfig, to_split: bool = True) -> Found:
    """Returns the pairs of ``data``, sorted by name, and the files that make none.

    Those whose part is known, by --validation, --test or the layout, are apart; what
    there is to say of the others' split is said if they are ``to_split``.

    Raises:
        BadData: a folder is missing, empty, of no known layout or of two; or run
            lengths may go by rows or by columns.
        BadUsage: no folder was given, --group-by is no regular expression, or records
            are to be seen at --resolution.
    """
    found = _source(data)
    if data.validation is not None:
        found = _with_given(found, "validation", find_in(data.validation))
    if data.test is not None:
        found = _with_given(found, "test", find_in(data.test))
    found = replace(found, every=tuple(sorted(found.every, key=_place)))
    if data.group_by is not None:
        found = _regroup(found, data.group_by, data)
    if to_split:
        found = replace(found, notes=(*found.notes, *_about_split(found, data)))
    if any(pair.record for pair in found.every):
        require_one_size(data)
    return with_order(found, data)


def _source(data: DataConfig) -> Found:
    if data.pairs is not None:
        return find_listed(data.pairs)
    if data.images is not None and data.masks is not None:
        found = _two_named(data.images, data.masks)
        return _with_lists(found, data.images.parent)
    if data.data is not None:
        return _with_lists(find_in(data.data), data.data)
    raise BadUsage(
        "no data: give --data DIR, or --images DIR and --masks DIR, or --pairs FILE.csv"
    )


def _two_named(images: Path, masks: Path) -> Found:
    suffix = masks.suffix.lower()
    if suffix == ".json" and masks.is_file():
        return coco.merged({masks: coco.find_annotated(masks, [images])}, {masks: ""})
    if suffix == ".csv" and masks.is_file():
        return find_run_lengths(by_stem(images), masks).grouped()
    if images.resolve() == masks.resolve():
        found = match_neighbours(images, deep=True)
        if found.pairs:
            return found
        raise BadData(
            f"{images}: is --images and --masks, but has no image with its mask beside "
            "it, such as a.jpg with a.png or a_mask.png"
        )
    return match_folders(images, masks)


def _with_lists(found: Found, folder: Path) -> Found:
    """Returns the pairs in the parts that lists in or below ``folder`` give them.

    A line is an image's name, with or without its suffix and folders; what follows a
    space or comma does not count. As in Pascal VOC, images that no list names are left
    out, and so are those of test that have no mask. Pairs that have a part keep it.

    Raises:
        BadData: a list may not be read.
    """
    lists = {} if any(pair.part for pair in found.every) else _lists(found, folder)
    if not lists:
        return found
    bare = {p.file: p for p in found.problems if p.cause.startswith("has no mask")}
    images = [*(pair.image for pair in found.every), *bare]
    parts, unknown = _parts(lists, images, folder)
    files = " ".join(str(file.relative_to(folder)) for file in lists)
    if misfit := _misfit(found, parts):
        note = f"split: {files} not followed: {misfit}"
        return replace(found, notes=(*found.notes, note))
    every = tuple(
        # Cars, if it is those, are kept together within each part.
        replace(pair, part=part, group=f"{part}/{pair.group}")
        for pair in found.every
        for part in parts.get(pair.image, ())
    )
    return Found(
        every,
        tuple(
            problem
            for problem in found.problems
            if problem.file not in bare or parts.get(problem.file) not in _BARE
        ),
        (
            *found.notes,
            f"split: its own, by {files}",
            *left_out("split: images that no list names", set(images) - parts.keys()),
            *left_out(
                "split: images without a mask, listed for test,",
                {image for image in bare if parts.get(image) == {"test"}},
            ),
            *left_out("split: listed names that are no image's", unknown),
        ),
        found.says,
    )


def _lists(found: Found, folder: Path) -> dict[Path, Part]:
    """Returns the lists in the folders from ``folder`` down to all images."""
    images = {str(pair.image.parent) for pair in found.every} or {str(folder)}
    common = Path(os.path.commonpath(images))
    roots = [r for r in (common, *common.parents) if r.is_relative_to(folder)]
    places = [root / place for root in roots for place in _PLACES]
    files = [file for place in places for file in sorted(place.glob("*.txt"))]
    words = {file: file.stem.lower() for file in files}
    wanted = {*PARTS, "trainval"}
    words = {f: word for f, word in words.items() if word in wanted and f.is_file()}
    lists = {f: PARTS[word] for word in PARTS for f in words if words[f] == word}
    if "train" in lists.values():
        return lists
    return {**{f: "train" for f in words if words[f] == "trainval"}, **lists}


def _parts(
    lists: Mapping[Path, Part], images: Iterable[Path], folder: Path
) -> tuple[dict[Path, set[Part]], list[str]]:
    """Returns the parts of the images that lists name, and names of no image."""
    named: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        name = normal(image.as_posix().removeprefix(f"{folder.as_posix()}/"))
        for end in set(_ends(name)):
            named[end].append(image)
    parts: dict[Path, set[Part]] = defaultdict(set)
    unknown = []
    for file, part in lists.items():
        for line in names_in(file):
            meant = _meant(line, named)
            unknown += [] if meant else [line]
            for image in meant:
                # Of several images of a name, which one is meant is not known.
                parts[image] |= {part} if len(meant) == 1 else {part, ""}
    return dict(parts), unknown


def _meant(line: str, named: Mapping[str, list[Path]]) -> list[Path]:
    """Returns the image that a line means, or the several that it may mean."""
    several = list[Path]()
    for way in _ways(line):
        images = named.get(way, [])
        if len(images) == 1:
            return images
        several = several or images
    return several


def _ways(line: str) -> Iterator[str]:
    """Yields what a line may call its image, the most of it first."""
    for text in (line, line.split()[0], line.split(",")[0].strip()):
        yield from _ends(text.replace("\\", "/"))


def _ends(name: str) -> Iterator[str]:
    """Yields the ends of a path, with its suffix and then without it."""
    start, _, suffix = name.rpartition(".")
    bare = start if start and "/" not in suffix else name
    for whole in (name, bare):
        parts = whole.strip("/").split("/")
        yield from ("/".join(parts[first:]) for first in range(len(parts)))


def _misfit(found: Found, parts: Mapping[Path, set[Part]]) -> str:
    """Returns why the lists are no split of the pairs, if they are none."""
    for image, several in parts.items():
        if len(several) > 1:
            known = sorted(filter(None, several))
            twice = f"is in those for {' and '.join(known)}"
            return f"{image.name} {twice if known[1:] else 'is the name of several'}"
    count = Counter(part for p in found.every for part in parts.get(p.image, ()))
    if count["train"] and (count["validation"] or count["test"]):
        return ""
    return (
        "a split takes train.txt and val.txt or test.txt; they name "
        f"{count['train']} pairs for training, {count['validation']} for validation "
        f"and {count['test']} for test"
    )


def find_in(path: Path) -> Found:
    """Returns the pairs of a folder in a known layout, or of a CSV file of pairs.

    Raises:
        BadData: it is missing, or of another layout, or of two.
    """
    if path.suffix.lower() == ".csv" and not path.is_dir():
        return find_listed(path)
    try:
        return _look_into(path)
    except OSError as error:
        raise no_folder(path, error) from error


def _place(pair: Pair) -> tuple[bool, bool, str, str]:
    """Returns what pairs are sorted by: their part, and their image's name."""
    names = normal(pair.image.name), normal(str(pair.image))
    return pair.part == "test", pair.part == "validation", *names


def _with_given(found: Found, part: Part, given: Found) -> Found:
    """Returns what was found, and in ``part`` nothing but what was given."""
    others = [pair for pair in found.every if pair.part != part]
    own = len(found.every) - len(others)
    left_out = f"{own} {part} images of the data's own split are left out: --{part}"
    require_agreed(found.says, given.says, f"--{part}")
    return Found(
        (*others, *(replace(pair, part=part) for pair in given.every)),
        found.problems + given.problems,
        (*found.notes, *([f"{left_out} is given"] if own else [])),
        {**given.says, **found.says},
    )


def _regroup(found: Found, group_by: str, data: DataConfig) -> Found:
    groups = groups_of(found.every, group_by, data)
    pairs, problems = [], list(found.problems)
    for pair, group in zip(found.every, groups, strict=True):
        if group:
            pairs.append(replace(pair, group=group))
        else:
            cause = f"--group-by {group_by} finds nothing in its name"
            problems.append(Problem(pair.image, cause))
    return replace(found, every=tuple(pairs), problems=tuple(problems))


def groups_of(
    pairs: Sequence[Pair], group_by: str, data: DataConfig
) -> list[str | None]:
    """Returns what --group-by finds in each image's name or, if in none, in its path.

    Paths begin within the folder that ``data`` names.

    Raises:
        BadUsage: as by ``find_groups``.
    """
    groups = find_groups(group_by, [normal(pair.image.name) for pair in pairs])
    if any(groups):
        return groups
    return find_groups(group_by, _within(pairs, data))


def _within(pairs: Sequence[Pair], data: DataConfig) -> list[str]:
    """Returns each image's path in the folder that was given, or else all of it."""
    given = data.places.values()
    folders = [place if place.is_dir() else place.parent for place in given]
    # The deepest one first.
    starts = sorted((f"{f.as_posix()}/" for f in folders), key=len, reverse=True)
    paths = [pair.image.as_posix() for pair in pairs]
    found = [next((s for s in starts if path.startswith(s)), "") for path in paths]
    pairs_of = zip(paths, found, strict=True)
    return [normal(path.removeprefix(start)) for path, start in pairs_of]


def _about_split(found: Found, data: DataConfig) -> Iterator[str]:
    """Yields what is to be said of the pairs that are yet to be split."""
    missing = [part for part in ("validation", "test") if not getattr(found, part)]
    pairs, groups = found.pairs, {pair.group for pair in found.pairs}
    what = "images" if len(groups) == len(pairs) else "groups"
    if len(missing) == 1 and len(groups) > 1:
        yield (
            f"split: {missing[0]} has no images of its own and takes "
            f"{tenth_of(len(groups))} of the {len(groups)} {what} for training "
            f"(--{missing[0]} DIR gives it others)"
        )
    if missing and data.group_by is None and what == "images":
        yield from about_series(_within(pairs, data))


def _look_into(folder: Path) -> Found:
    if (folder / INDEX).is_file():
        return find_recorded(folder)
    fitting = layouts_of(folder)
    if len(fitting) > 1:
        names = "; ".join(layout.name for layout in fitting)
        raise BadData(
            f"{folder}: fits {len(fitting)} layouts: {names}. Which one is meant? Give "
            "--images and --masks of it, or --pairs FILE.csv, which lists the pairs"
        )
    if fitting:
        found = fitting[0].find()
        return replace(found, notes=(f"layout: {fitting[0].name}", *found.notes))
    inside = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
    more = " …" if len(inside) > 6 else ""
    contents = f"holds {', '.join(inside[:6])}{more}" if inside else "is empty"
    raise BadData(
        f"{folder}: {contents}; expected images/ and masks/, or Kaggle's "
        "train/ and train_masks/ (or train_masks.csv), or a layout like those of "
        "CamVid, Pascal VOC, COCO or Data Science Bowl 2018; --images and --masks name "
        "any two folders, and --pairs FILE.csv lists any other files"
        f"{_about_yolo(folder)}"
    )


def _about_yolo(folder: Path) -> str:
    labels = [place / "labels" for place in (folder, *subfolders(folder))]
    if not any(file for place in labels for file in place.rglob("*.txt")):
        return ""
    return ". Outlines in text files, as YOLO has in labels/, are not read: draw masks"
