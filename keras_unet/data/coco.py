"""COCO's annotations: polygons and run lengths of objects, in one JSON file."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_unet.console import how_to_install, is_installed
from keras_unet.data.class_list import BACKGROUND
from keras_unet.data.folders import IMAGES, PARTS, beside, name_of, opened, subfolders
from keras_unet.data.pair import Found, Pair, Part, Problem, require_agreed
from keras_unet.data_config import IGNORE, DataConfig
from keras_unet.errors import BadData, quoted
from keras_unet.types import Values

_SNIFFED = 1 << 16
_SMALL = 1 << 24
_FARTHEST = 100_000
"""Coordinates beyond it, pycocotools would take gigabytes to draw, or crash."""
_KEYS = re.compile(rb'"(?:annotations|images)"\s*:\s*\[')


def is_annotations(file: Path) -> bool:
    """Returns whether a JSON file begins like COCO's annotations.

    Raises:
        BadData: it may not be read.
    """
    if not file.is_file():
        return False
    with opened(file) as stream:
        if not _KEYS.search(stream.read(_SNIFFED)):
            return False
    if file.stat().st_size > _SMALL:
        return True
    with contextlib.suppress(BadData):
        content = _read(file)
        keys = {"annotations", "categories", "images"}
        return isinstance(content, dict) and keys <= content.keys()
    return False


def find_annotated(file: Path, *folders: Sequence[Path]) -> Found:
    """Returns the pairs of the images that ``file`` annotates.

    Values are the ids of COCO's categories. Of objects that overlap, the later one has
    the pixel. Regions of crowds count for nothing: they have the value 255 or, where
    that is a category, one above all.

    Args:
        file: the annotations.
        folders: where the images may lie; of the first ones that hold any of them, one
            must hold them all.

    Raises:
        BadData: the file is damaged, images of its names lie in two folders that come
            alike, or pycocotools is not installed.
    """
    if not is_installed("pycocotools"):
        install = how_to_install("coco")
        raise BadData(f"{file}: COCO's annotations need pycocotools: {install}")
    content = _read(file)
    try:
        return _found(file, folders, content)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, BadData):
            raise
        raise BadData(
            f"{file}: is no list of COCO's annotations ({error!r})"
        ) from error


def _found(file: Path, folders: Sequence[Sequence[Path]], content: Any) -> Found:
    annotations = content["annotations"]
    names = {int(c["id"]): str(c["name"]) for c in content["categories"]}
    if any("segments_info" in annotation for annotation in annotations):
        raise BadData(
            f"{file}: is of COCO's panoptic kind, whose masks are images: write them "
            "as one value a class, for --images and --masks"
        )
    used = {int(a["category_id"]) for a in annotations}
    if len(names) < len(content["categories"]):
        raise BadData(f"{file}: has two categories of one id")
    if used - names.keys():
        raise BadData(f"{file}: has no category {min(used - names.keys())}")
    # 0 is the background: some tools count categories from 0, or have a root there,
    # which is what others say that they are of, and which has no object of its own.
    of_0 = [c for c in content["categories"] if int(c["id"])]
    roots = {str(c.get("supercategory")) for c in of_0}
    is_class = 0 in names and names[0].lower() not in BACKGROUND
    first = 1 if is_class and (0 in used or names[0] not in roots) else 0
    names = {i + first: name for i, name in sorted(names.items()) if i + first > 0}
    crowd = IGNORE if IGNORE not in names else max(names) + 1
    listed = {image["id"] for image in content["images"]}
    objects, problems = _objects(file, annotations, listed, first, crowd)
    pairs, missing = _pairs(file, folders, content["images"], objects)
    says: dict[str, Any] = {
        "mask_kind": "classes",
        "class_values": (0, *names),
        "class_names": ("background", *names.values()),
    }
    shifted = "its categories are counted from 0: class values are one higher"
    notes = [shifted] * first
    if crowds := sum(bool(a.get("iscrowd")) for a in annotations):
        says["ignore_values"] = (crowd,)
        notes.append(
            f"{file}: {crowds} of {len(annotations)} annotations are crowds (iscrowd "
            "1), and ignored; if objects, as CVAT's brush paints, set iscrowd to 0"
        )
        if crowds == len(annotations):
            raise BadData(notes[-1])
    return Found(tuple(pairs), (*problems, *missing), tuple(notes), says)


def _objects(
    file: Path, annotations: Iterable[Any], listed: Set[Any], first: int, crowd: int
) -> tuple[dict[Any, list[Any]], list[Problem]]:
    """Returns value and outline of each image's objects, crowds before the others."""
    objects = defaultdict[Any, list[Any]](list)
    problems = []
    for annotation in annotations:
        outline = annotation.get("segmentation")
        place = f"annotation {annotation.get('id')}"
        if not outline:
            problems.append(Problem(file, "has no outline (segmentation)", place))
        elif not _is_outline(outline):
            cause = "has an outline that is neither polygons of numbers nor run lengths"
            problems.append(Problem(file, cause, place))
        elif annotation["image_id"] not in listed:
            cause = "is of an image whose id (image_id) is none of those listed"
            problems.append(Problem(file, cause, place))
        elif annotation.get("iscrowd"):
            objects[annotation["image_id"]].insert(0, [crowd, outline])
        else:
            value = int(annotation["category_id"]) + first
            objects[annotation["image_id"]].append([value, outline])
    return objects, problems


def _is_outline(outline: Any) -> bool:
    if isinstance(outline, dict):
        return {"counts", "size"} <= outline.keys()
    # Four numbers would be taken for a box.
    return isinstance(outline, list) and all(
        isinstance(points, list)
        and len(points) >= 6
        and len(points) % 2 == 0
        and max(map(abs, points)) <= _FARTHEST
        # With NaN among them, the maximum may be any of the others.
        and math.isfinite(sum(points))
        for points in outline
    )


def _pairs(
    file: Path,
    folders: Sequence[Sequence[Path]],
    images: Sequence[Any],
    objects: Mapping[Any, list[Any]],
) -> tuple[list[Pair], list[Problem]]:
    # Label Studio on Windows writes images\\a.jpg.
    names = [str(image["file_name"]).replace("\\", "/") for image in images]
    folder = _folder_of(file, folders, names)
    times, ids = Counter(names), Counter(image["id"] for image in images)
    pairs, problems = [], []
    for image, name in zip(images, names, strict=True):
        path = folder / name
        if not path.is_file():
            problems.append(Problem(path, f"is not there, but named in {file}"))
        elif times[name] > 1:
            problems.append(Problem(path, f"is named {times[name]} times in {file}"))
        elif ids[image["id"]] > 1:
            cause = f"has the id {image['id']} of another image in {file}"
            problems.append(Problem(path, cause))
        elif not path.is_relative_to(folder):
            problems.append(Problem(path, f"is named in {file}, but not in {folder}"))
        else:
            size = [int(image["height"]), int(image["width"])]
            text = json.dumps({"size": size, "objects": objects.get(image["id"], [])})
            group = name_of(path, folder)
            pairs.append(Pair(path, None, group, text, coding="coco", table=file))
    return pairs, problems


def _folder_of(
    file: Path, folders: Sequence[Sequence[Path]], names: Sequence[str]
) -> Path:
    """Returns the folder of the images, by whether files of their names are there."""
    for alike in folders:
        holding = [f for f in alike if any((f / name).is_file() for name in names)]
        if len(holding) > 1:
            whole = [f for f in holding if all((f / n).is_file() for n in names)]
            holding = whole or holding
        if len(holding) > 1:
            raise BadData(
                f"{file}: are its images those of {holding[0]} or of {holding[1]}? "
                f"Both hold such names: give one, --images DIR --masks {quoted(file)}"
            )
        if holding:
            return holding[0]
    return folders[0][0]


def merged(founds: Mapping[Path, Found], parts: Mapping[Path, Part]) -> Found:
    """Returns the pairs of one or more files of annotations, each with its part.

    Raises:
        BadData: their categories differ.
    """
    pairs, problems, says = list[Pair](), list[Problem](), dict[str, Any]()
    for file, found in founds.items():
        pairs += [replace(pair, part=parts[file]) for pair in found.every]
        problems += found.problems
        require_agreed(says, found.says, file)
        says |= found.says
    if any(f.says["class_values"] != says["class_values"] for f in founds.values()):
        files = " and ".join(map(str, founds))
        raise BadData(f"{files}: have different categories")
    images, known = [pair.image for pair in pairs], [p.file for p in problems]
    notes = dict.fromkeys(note for f in founds.values() for note in f.notes)
    more = beside(images, known, "images that the annotations do not name")
    return Found(tuple(pairs), tuple(problems), (*notes, *more), says).by_source()


def layouts_in(folder: Path) -> Iterator[tuple[str, Callable[[], Found]]]:
    """Yields name and pairs of each layout: one file, or one for each part."""
    places = [folder, folder / "annotations", *subfolders(folder)]
    files = {
        file: _part_in(file.relative_to(folder))
        for place in dict.fromkeys(places)
        if place.is_dir()
        for file in sorted(place.glob("*.json"))
        if is_annotations(file)
    }
    of_objects = {f: p for f, p in files.items() if f.name.startswith("instances")}
    files = of_objects or files
    parts = set(files.values())
    split = len(parts) == len(files) > 1 and "train" in parts and "" not in parts
    for group in [files] if split else [dict[Path, Part]({file: ""}) for file in files]:
        names = " ".join(str(file.relative_to(folder)) for file in group)
        own = ", with their own split" if split else ""
        name = f"COCO's annotations in {names}{own}"
        yield name, functools.partial(_find_parts, folder, group)


def _part_in(path: Path) -> Part:
    """Returns the part that a path speaks of, such as instances_val2017.json."""
    words = re.findall("[a-z]+", str(path).lower())
    known: list[Part] = [PARTS[word] for word in words if word in PARTS]
    return known[0] if known else ""


def _find_parts(folder: Path, files: Mapping[Path, Part]) -> Found:
    inside = subfolders(folder)
    founds = {}
    for file, part in files.items():
        named = [f for f in inside if f.name.lower() in IMAGES]
        deeper = [g for f in named for g in subfolders(f)]
        own = [
            [f for f in alike if part and _part_in(Path(f.name)) == part]
            for alike in (inside, deeper)
        ]
        places = [file.parent], *own, named, deeper, [folder], inside
        founds[file] = find_annotated(file, *places)
    return merged(founds, files)


def decode(text: str, shape: tuple[int, int], data: DataConfig) -> Values:
    """Returns the values (h, w) of an image's annotations, as ``find_annotated`` says.

    Where instances are wanted, each object has a number of its own instead.

    Raises:
        BadData: the image has another size, or an outline is damaged.
    """
    content = json.loads(text)
    height, width = content["size"]
    if (height, width) != shape:
        raise BadData(f"is of {width}×{height}, the image is {shape[1]}×{shape[0]}")
    objects = content["objects"]
    if data.mask_kind == "instances":
        ignored = data.ignore_values  # Crowds have one of these.
        numbers = (n for n in itertools.count(1) if n not in ignored)
        objects = [(v if v in ignored else next(numbers), o) for v, o in objects]
    widest = max([0, *(value for value, _ in objects)])
    values = np.zeros(shape, np.uint8 if widest < 256 else np.int32)
    for value, outline in objects:
        values[_drawn(outline, shape) > 0] = value
    return values


def _drawn(outline: Any, shape: tuple[int, int]) -> Any:
    from pycocotools import mask as masks

    if isinstance(outline, list):
        return masks.decode(masks.merge(masks.frPyObjects(outline, *shape)))
    size, counts = outline["size"], outline["counts"]
    if size != [*shape]:
        raise BadData(f"an outline's size is {size}, the image's is {[*shape]}")
    try:
        if isinstance(counts, str):
            counts = _unpacked(counts)
        # Of too few, pycocotools would leave pixels to chance.
        if not _fill(counts, math.prod(shape)):
            wanted = f"whole numbers that add up to {math.prod(shape)} pixels"
            raise ValueError(f"they are not {wanted}")
        return masks.decode(masks.frPyObjects({"size": size, "counts": counts}, *shape))
    except (ValueError, TypeError, OverflowError) as error:
        raise BadData(f"an outline's run lengths are damaged ({error})") from error


def _unpacked(text: str) -> list[int]:
    """Returns run lengths of which each character holds five bits, the lowest first.

    From the fourth on each is the difference from the last but one.
    """
    counts, count, bits = list[int](), 0, 0
    for code in text.encode():
        count |= (code - 48 & 31) << bits
        bits += 5
        if not code - 48 & 32:
            count -= (code - 48 & 16) << bits - 4
            counts.append(count + (counts[-2] if len(counts) > 2 else 0))
            count, bits = 0, 0
    return counts


def _fill(counts: Sequence[Any], pixels: int) -> bool:
    whole = all(isinstance(count, int) and count >= 0 for count in counts)
    return whole and sum(counts) == pixels


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        raise BadData(f"{file}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise BadData(f"{file}: is no JSON file ({error})") from error
