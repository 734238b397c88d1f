"""Which of the known layouts a folder has: by the names of what lies in it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from keras_unet.data import coco, objects
from keras_unet.data.folders import (
    IMAGES,
    PARTS,
    by_stem,
    holds_files,
    left_out,
    list_files,
    normal,
    opened,
    stem_of,
    subfolders,
)
from keras_unet.data.names import match_names, match_neighbours
from keras_unet.data.pair import Found, Part, Problem
from keras_unet.data.pairs_file import find_run_lengths, is_table

_MASKS = {
    *("masks", "mask", "labels", "label", "annotations", "annotation", "annot"),
    *("annots", "gt", "gts", "groundtruth", "ground_truth", "truth", "targets"),
    *("target", "segmentations", "segmentation", "seg"),
    # Of retinas, whose mask/ is the field of view.
    *("manual", "manual1", "manual2", "1st_manual", "2nd_manual", "vessel", "vessels"),
}
_NNUNETS: dict[str, tuple[Part, str]] = {
    **{"imagestr": ("train", "images"), "labelstr": ("train", "labels")},
    **{"imagests": ("test", "images"), "labelsts": ("test", "labels")},
}
PASCALS = "ImageSets/Segmentation"


class Layout(NamedTuple):
    """A layout that a folder fits: how it is called, and what finds its pairs."""

    name: str
    find: Callable[[], Found]


def layouts_of(folder: Path) -> list[Layout]:
    """Returns the layouts that a folder fits, or else its only subfolder does."""
    inside = subfolders(folder)
    fitting = [*_in_folders(folder), *_voc(folder)]
    fitting += [Layout(name, find) for name, find in coco.layouts_in(folder)]
    fitting += [] if fitting else _tables(folder)
    if not fitting and objects.holds_objects(folder):
        name = "a folder for each image, with images/ and masks/"
        fitting = [Layout(name, functools.partial(_find_objects, folder))]
    fitting += _side_by_side(folder, deep=False)
    fitting += [] if fitting else _among_images(folder)
    if not fitting and len(inside) == 1:
        within = layouts_of(inside[0])
        fitting = [Layout(f"{inside[0].name}/: {name}", f) for name, f in within]
    return fitting or list(_side_by_side(folder, deep=True))


def _among_images(folder: Path) -> Iterator[Layout]:
    """Yields the layout of images and, among them, a folder of their masks."""
    masks = [f for f in subfolders(folder) if _meaning(f.name)[1] in _MASKS]
    if len(masks) == 1 and holds_files(masks[0]) and list_files(folder, deep=False)[0]:
        found = match_names(folder, masks[0], deep=False)
        if found.pairs:
            name = f"images, and {masks[0].name}/ beside them"
            yield Layout(name, found.grouped)


class _Sides(NamedTuple):
    """Folders of the images and of the masks of one part."""

    part: Part
    images: Path
    masks: Path


def _in_folders(folder: Path) -> Iterator[Layout]:
    """Yields layouts of a folder of images and one of masks, perhaps for each part."""
    sides = [*_named_sides(folder), *_divided_sides(folder)]
    whole = [side for side in sides if side.part == ""]
    parts = [side for side in sides if side.part]
    for side in whole:
        yield _layout(folder, *_divided(side))
    if any(side.part == "train" for side in parts):
        doubled = len({side.part for side in parts}) < len(parts)
        for several in [[side] for side in parts] if doubled else [parts]:
            yield _layout(folder, several)


def _named_sides(folder: Path) -> Iterator[_Sides]:
    """Yields images/ and masks/, train/ and train_masks/, val/ and valannot/, ..."""
    images, masks = list[tuple[Part, Path]](), list[tuple[Part, Path]]()
    for inside in subfolders(folder):
        part, kind = _meaning(inside.name)
        if kind in _MASKS:
            masks.append((part, inside))
        elif kind in IMAGES or (part and not kind):
            images.append((part, inside))
    for part, image in images:
        for same, mask in masks:
            if same == part and holds_files(image) and holds_files(mask):
                yield _Sides(part, image, mask)


def _meaning(name: str) -> tuple[Part, str]:
    """Returns the part and the rest that a folder's name consists of."""
    name = name.lower()
    if name in _NNUNETS:
        return _NNUNETS[name]
    start, end = name, ""
    for word in sorted(PARTS, key=len, reverse=True):
        if name.startswith(word):
            return PARTS[word], name.removeprefix(word).lstrip("_-. ")
        if name.endswith(f"_{word}") and not end:
            start, end = name.removesuffix(f"_{word}"), word
    return (PARTS[end], start) if end else ("", name)


def _are_parts(names: Collection[str]) -> bool:
    """Returns whether folders are called by parts, and are alike but for that word.

    ``train2017`` and ``val2017`` are, and ``train_set`` and ``test_set``.
    """
    parts, rests = ({meant[i] for meant in map(_meaning, names)} for i in (0, 1))
    return "train" in parts and "" not in parts and len(rests) == 1


def _about_parts(names: Collection[str]) -> tuple[str, ...]:
    """Returns the note that folders are no split, where some are called like one."""
    parts = {name: _meaning(name)[0] for name in sorted(names)}
    if not {"train"} < {*parts.values()} - {""} or _are_parts(names):
        return ()
    first, more = "/ ".join(list(parts)[:4]), " …" * (len(parts) > 4)
    return (
        f"split: {first}/{more} are pooled: not all are parts, alike but for that word "
        "(--validation and --test name such)",
    )


def _divided_sides(folder: Path) -> Iterator[_Sides]:
    """Yields train/images and train/masks, val/images and val/masks, ..."""
    inside = subfolders(folder)
    parts = [f for f in inside if not _meaning(f.name)[1]]
    if not parts and len(inside) > 1 and _are_parts([f.name for f in inside]):
        parts = inside
    for one in parts:
        for side in _named_sides(one):
            if side.part == "":
                yield side._replace(part=_meaning(one.name)[0])


def _divided(side: _Sides) -> tuple[list[_Sides], tuple[str, ...]]:
    """Returns images/train and masks/train, ... if images/ consists of parts, or all.

    Also returns what is to be said of it.
    """
    images, masks = (
        {_meaning(inside.name): inside for inside in subfolders(parent)}
        for parent in side[1:]
    )
    names = [inside.name for inside in images.values()]
    sides = [_Sides(key[0], images[key], masks[key]) for key in images if key in masks]
    if not _are_parts(names) or not any(side.part == "train" for side in sides):
        return [side], _about_parts(names)
    bare = [image for key, image in images.items() if key not in masks]
    return sides, tuple(f"{image}: has no masks, and is left out" for image in bare)


def match_folders(images: Path, masks: Path) -> Found:
    """Returns the pairs of two folders, by part where both consist of parts.

    Raises:
        BadData: as by ``match_names``.
    """
    whole = _Sides("", images, masks)
    sides, notes = _divided(whole)
    if len(sides) > 1:
        names = " ".join(f"{side.images.name}/" for side in sides)
        notes = (f"split: its own, by {names}", *notes)
    elif sides != [whole]:
        sides, notes = [whole], ()
    found = _match_sides(sides)
    return replace(found, notes=(*found.notes, *notes))


def _layout(folder: Path, sides: list[_Sides], notes: tuple[str, ...] = ()) -> Layout:
    order: list[Part] = ["", "train", "validation", "test"]
    sides = sorted(sides, key=lambda side: order.index(side.part))
    names = [path.relative_to(folder) for side in sides for path in side[1:]]
    split = ", with its own split" if len(sides) > 1 else ""
    name = f"{' '.join(f'{name}/' for name in names)}{split}"
    kaggles = [path.name for path in sides[0][1:]] == ["train", "train_masks"]

    def find() -> Found:
        found = _match_sides(sides, known=kaggles)
        return replace(found, notes=(*found.notes, *notes))

    return Layout(name, find)


def _match_sides(sides: list[_Sides], known: bool = False) -> Found:
    if len(sides) == 1:
        return match_names(*sides[0][1:]).grouped(known)
    founds = [match_names(side.images, side.masks) for side in sides]
    pairs = [
        # Names of the parts' own: 0001.png of train/ is not that of val/.
        replace(pair, part=side.part, group=f"{side.part}/{pair.group}")
        for side, found in zip(sides, founds, strict=True)
        for pair in found.pairs
    ]
    problems = tuple(p for found in founds for p in found.problems)
    notes = dict.fromkeys(note for found in founds for note in found.notes)
    return Found(tuple(pairs), problems, tuple(notes)).by_source()


def _tables(folder: Path) -> Iterator[Layout]:
    """Yields each table of run lengths beside a folder of images."""
    tables = [
        file
        for file in sorted(folder.glob("*.csv"))
        if "submission" not in file.name.lower() and file.is_file() and is_table(file)
    ]
    for inside in subfolders(folder):
        part, kind = _meaning(inside.name)
        if part in ("", "train") and (kind in IMAGES or (part and not kind)):
            for table in tables:
                yield _table(folder, inside, table)


def _table(folder: Path, images: Path, table: Path) -> Layout:
    name = f"{images.relative_to(folder)}/ and run lengths in {table.name}"
    kaggles = (images.name, table.name) == ("train", "train_masks.csv")

    def find() -> Found:
        return find_run_lengths(by_stem(images), table).grouped(known=kaggles)

    return Layout(name, find)


def _voc(folder: Path) -> Iterator[Layout]:
    images, masks = folder / "JPEGImages", folder / "SegmentationClass"
    if images.is_dir() and masks.is_dir():
        name = "Pascal VOC's JPEGImages/ SegmentationClass/ ImageSets/Segmentation/"
        yield Layout(name, lambda: _find_voc(folder, images, masks))


def _find_voc(folder: Path, images: Path, masks: Path) -> Found:
    """Returns the pairs of Pascal VOC's lists; most images there have no mask."""
    files = {f.stem.lower(): f for f in sorted((folder / PASCALS).glob("*.txt"))}
    found = match_names(images, masks)
    pair_of = {stem_of(pair.image): pair for pair in found.pairs}
    bare = {p.file for p in found.problems if p.cause.startswith("has no mask")}
    problems = [p for p in found.problems if p.file not in bare]
    listed: dict[Part, list[str]] = {"train": [], "validation": [], "test": []}
    for word, part in PARTS.items():
        listed[part] = listed[part] or _first_words(files.get(word))
    both = _first_words(files.get("trainval"))
    if not listed["validation"]:
        listed["train"] = listed["train"] or both
    # The masks of VOC's own test images were never published.
    listed["test"] = [name for name in listed["test"] if name in pair_of]
    if not listed["train"] or not (listed["validation"] or listed["test"]):
        listed = {"": both or listed["train"]}
    notes = () if any(listed.values()) else left_out("images without a mask", bare)
    listed = listed if any(listed.values()) else {"": list(pair_of)}
    pairs = []
    cause = "is listed in ImageSets/Segmentation, but is no pair or is twice"
    for part, names in listed.items():
        for name in names:
            if pair := pair_of.pop(name, None):
                pairs.append(replace(pair, part=part))
            else:
                problems.append(Problem(images / f"{name}.jpg", cause))
    return Found(tuple(pairs), tuple(problems), notes)


def _first_words(file: Path | None) -> list[str]:
    return [line.split()[0] for line in names_in(file)] if file else []


def names_in(file: Path) -> list[str]:
    """Returns the lines of a list that are not empty, in one spelling of accents.

    Raises:
        BadData: the file may not be read.
    """
    with opened(file) as content:
        text = content.read().decode("utf-8-sig", "replace")
    return [normal(line.strip()) for line in text.splitlines() if line.strip()]


def _find_objects(folder: Path) -> Found:
    return _with_parts(objects.find_objects(folder), folder)


def _side_by_side(folder: Path, deep: bool) -> Iterator[Layout]:
    found = match_neighbours(folder, deep)
    if found.pairs:
        pair = found.pairs[0]
        example = f"{pair.image.name} and {pair.mask.name if pair.mask else ''}"
        found = _with_parts(_less_bare_parts(found, folder), folder)
        split = ", with its own split" if any(p.part for p in found.every) else ""
        name = f"images and masks side by side, such as {example}{split}"
        yield Layout(name, lambda: found)


def _place(file: Path, folder: Path) -> str:
    """Returns the name of the subfolder that a file lies in or below, if in any."""
    path = file.relative_to(folder)
    return path.parts[0] if len(path.parts) > 1 else ""


def _less_bare_parts(found: Found, folder: Path) -> Found:
    """Returns the pairs without images of test/ or valid/, if none there has a mask."""
    of_pairs = {_place(pair.image, folder) for pair in found.every}
    bare = {
        problem.file: place
        for problem in found.problems
        if problem.cause.startswith("has no mask")
        and (place := _place(problem.file, folder)) not in of_pairs
        and _meaning(place)[0] in ("validation", "test")
    }
    what = f"images of {' '.join(f'{name}/' for name in sorted({*bare.values()}))}"
    return replace(
        found,
        problems=tuple(p for p in found.problems if p.file not in bare),
        notes=(*found.notes, *left_out(f"{what}, where none has a mask,", bare)),
    )


def _with_parts(found: Found, folder: Path) -> Found:
    """Returns the pairs with their parts where train/, valid/, ... hold them all."""
    places = [_place(pair.image, folder) for pair in found.every]
    if len({*places}) < 2 or not _are_parts({*places}):
        return replace(found, notes=(*found.notes, *_about_parts({*places})))
    both = zip(found.every, places, strict=True)
    pairs = tuple(replace(pair, part=_meaning(place)[0]) for pair, place in both)
    return replace(found, every=pairs)
