"""Kaggle's tables of run lengths, and which way the runs go."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from keras_unet.data import rle
from keras_unet.data.folders import normal
from keras_unet.data.images import image_shape, read_image
from keras_unet.data.pair import Coding, Found, Pair, Problem
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData
from keras_unet.types import Mask

_SHOWN = 30
"""Letters of a table's line that are shown."""
_NAMES = {"img", "image", "id", "imageid", "image_id", "image_name", "name", "filename"}
_RUNS = {"rle_mask", "rle", "mask", "encodedpixels", "encoded_pixels", "run_lengths"}
_OF_OBJECTS = {"encodedpixels", "encoded_pixels"}
"""Headings of tables in which each row is an object; others have a row an image."""
_EMPTY = {"", "-1", "nan"}


def is_table(file: Path) -> bool:
    """Returns whether a CSV file's header is that of a table of run lengths."""
    with file.open("rb") as stream:
        line = stream.readline(1000).decode("utf-8-sig", errors="replace")
    words = {word.strip('" \r\n').lower() for word in line.split(",")}
    return bool(words & _NAMES and words & (_RUNS - {"mask"}))


def find_run_lengths(
    images: Mapping[str, list[Path]], table: Path, group: Callable[[Path], str]
) -> Found:
    """Returns the pairs of images whose masks are run lengths in ``table``.

    Several rows for one image are its objects, if the heading is EncodedPixels.

    Args:
        images: the image files by stem, at least one.
        table: a header, then ``<image>,<runs>``, such as Kaggle's train_masks.csv.
        group: returns the group of an image file.

    Raises:
        BadData: the table cannot be read.
    """
    rows, problems = _read_table(table, images)
    pairs = []
    for stem, paths in sorted(images.items()):
        if len(paths) > 1:
            problems.append(Problem(paths[0], f"has the same name as {paths[1].name}"))
        elif stem in rows:
            runs = "\n".join(rows[stem])
            image = paths[0]
            pairs.append(Pair(image, None, group(image), runs, table=table))
        else:
            problems.append(Problem(paths[0], f"has no row in {table}"))
    folder = next(iter(images.values()))[0].parent
    problems += [
        Problem(table, f"has no image in {folder}", f"row {stem}")
        for stem in sorted(rows.keys() - images.keys())
    ]
    several = any(len(runs) > 1 for runs in rows.values())
    says = {"mask_kind": "instances"} if several else {}
    return Found(tuple(pairs), tuple(problems), says=says)


def _read_table(
    table: Path, images: Mapping[str, list[Path]]
) -> tuple[dict[str, list[str]], list[Problem]]:
    try:
        lines = table.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(f"{table}: cannot be read ({error})") from error
    turned, of_objects = _read_header(table, lines[0] if lines else "")
    rows: dict[str, list[str]] = {}
    problems = []
    for number, line in enumerate(lines[1:], 2):
        cells = line.partition(",")[:: -1 if turned else 1]
        name, comma, runs = (cell.strip('" ') for cell in cells)
        stem = _stem(name, images)
        place = f"line {number} ({line[:_SHOWN]})"
        runs = "" if runs.lower() in _EMPTY else runs
        if not comma:
            problems.append(Problem(table, "has no comma", place))
        elif stem in rows and not (of_objects and runs and all(rows[stem])):
            problems.append(Problem(table, "is one more for the same image", place))
        else:
            rows.setdefault(stem, []).append(runs)
    return rows, problems


def _read_header(table: Path, line: str) -> tuple[bool, bool]:
    """Returns whether the runs come first, and whether each row is an object."""
    words = [word.strip('" ').lower() for word in line.split(",")]
    if len(words) < 2 or words[1][:1].isdigit():
        raise BadData(f"{table}: must begin with a header such as img,rle_mask")
    if len(words) > 2:
        raise BadData(
            f"{table}: has the columns {line}; expected two, an image and its run "
            "lengths, such as img,rle_mask. A table of several classes is not read: "
            "write the masks as image files"
        )
    turned = words[0] in _RUNS and words[1] in _NAMES
    return turned, bool(_OF_OBJECTS.intersection(words))


def _stem(name: str, images: Mapping[str, list[Path]]) -> str:
    # An id may have dots.
    whole = normal(name)
    return whole if whole in images else normal(PurePosixPath(name).stem)


_SAMPLE = 32
_FEWEST = 3
_PIECES, _BORDER = 2.0, 1.3
"""What masks have this many times more of when they are read the wrong way, at least.

Of 12,000 random sets of discs, rectangles, lines, noise and checks, those that passed
were read as they were written, but for some of nothing but stripes one pixel wide.
"""
_STEADY = 6
"""Least number of masks, and of standard errors that their images speak clearly by."""


def with_order(found: Found, data: DataConfig) -> Found:
    """Returns the pairs whose run lengths are known to go by rows or by columns.

    Where neither ``data.run_lengths`` nor the masks tell, that is a problem.
    """
    runs = [pair for pair in found.every if _has_runs(pair)]
    if not runs:
        return found
    order: Coding | None = runs[0].coding
    said = ""
    if data.run_lengths != "auto":
        order = data.run_lengths
    elif not runs[0].record:
        order, said = _decide(runs, data)
    if order is None:
        # Those that there are may be why the masks do not tell.
        table = runs[0].table or runs[0].image
        return replace(found, problems=found.problems or (Problem(table, said),))

    def ordered(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
        return tuple(replace(p, coding=order) if _has_runs(p) else p for p in pairs)

    return replace(
        found,
        pairs=ordered(found.pairs),
        validation=ordered(found.validation),
        test=ordered(found.test),
        notes=(*found.notes, said) if said else found.notes,
        says={**found.says, "run_lengths": order},
    )


def _has_runs(pair: Pair) -> bool:
    return pair.run_lengths is not None and pair.coding != "coco"


class _BothWays(NamedTuple):
    """One mask read both ways: an array of 0 and 1 by rows, and one by columns."""

    pair: Pair
    rows: Mask
    columns: Mask


def _decide(runs: Sequence[Pair], data: DataConfig) -> tuple[Coding | None, str]:
    """Returns the order and a note; without an order, why it cannot be told."""
    read = list(_read_both_ways(runs, data.max_pixels))
    if not read:
        # Empty masks, full ones, or broken ones, which are told of later.
        return "rows", ""
    rows, columns = (
        (sum(map(_pieces, masks)), sum(map(_border, masks)))
        for masks in zip(*(mask[1:] for mask in read), strict=True)
    )
    seen = (
        f"{len(read)} masks are of {rows[0]} pieces row by row, {columns[0]} column by "
        "column"
    )
    order = _order_of_less(rows, columns) if len(read) >= _FEWEST else None
    if not order:
        # Of a square mask, the one is the other turned.
        contrasts = _contrasts(read, data)
        order = _order_of_edges(contrasts)
        change = 100 * math.expm1(float(np.mean(contrasts or [0])))
        seen += f"; read row by row, images change {change:+.0f} % at their borders"
    if not order:
        return None, (
            f"has run lengths whose order cannot be told ({seen}): give --run-lengths "
            "rows (as Kaggle's Carvana set) or --run-lengths columns (as most others)"
        )
    words = {"rows": "row by row", "columns": "column by column"}
    other = "columns" if order == "rows" else "rows"
    said = f"run lengths: {words[order]} ({seen}; if not: --run-lengths {other})"
    return order, said


def _read_both_ways(runs: Sequence[Pair], max_pixels: int) -> Iterator[_BothWays]:
    """Yields a sample of the masks that are not the same both ways."""
    filled = [pair for pair in runs if pair.run_lengths]
    places = np.linspace(0, len(filled) - 1, min(_SAMPLE, len(filled)))
    for pair in (filled[round(place)] for place in places):
        text = pair.run_lengths or ""
        try:
            shape = image_shape(pair.image, max_pixels)
            rows, columns = (
                (rle.decode_objects(text, shape, turned) > 0).astype(np.uint8)
                for turned in (False, True)
            )
        except BadData:
            continue
        if (rows != columns).any():
            yield _BothWays(pair, rows, columns)


def _order_of_less(rows: tuple[int, int], columns: tuple[int, int]) -> Coding | None:
    """Returns the order by which pieces and border are clearly less."""
    both: tuple[tuple[Coding, tuple[int, int], tuple[int, int]], ...] = (
        ("rows", rows, columns),
        ("columns", columns, rows),
    )
    for order, this, other in both:
        if other[0] >= _PIECES * this[0] and other[1] >= _BORDER * this[1]:
            return order
    return None


def _pieces(mask: Mask) -> int:
    from scipy.ndimage import label

    return int(label(mask, np.ones((3, 3)))[1])


def _border(mask: Mask) -> int:
    below, beside = _edges(mask)
    return int(below.sum() + beside.sum())


def _edges(mask: Mask) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Returns where a pixel differs from the one below, and from the one beside it."""
    return mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]


def _order_of_edges(contrasts: Sequence[float]) -> Coding | None:
    """Returns the order by which the images clearly change at the masks' borders."""
    count = len(contrasts)
    if count < _STEADY:
        return None
    mean, error = float(np.mean(contrasts)), float(np.std(contrasts)) / math.sqrt(count)
    if abs(mean) < max(_STEADY * error, math.log(_BORDER)):
        return None
    return "rows" if mean > 0 else "columns"


def _contrasts(read: Sequence[_BothWays], data: DataConfig) -> list[float]:
    """Returns how much more the images change at the borders of rows, as logarithm."""
    ratios = []
    for pair, *masks in read:
        try:
            image = read_image(pair.image, 1, data)[..., 0].astype(np.float32)
        except BadData:
            # It is told of later.
            continue
        rows, columns = (_contrast(image, mask) for mask in masks)
        ratios.append(math.log((rows + 1) / (columns + 1)))
    return ratios


def _contrast(image: npt.NDArray[np.float32], mask: Mask) -> float:
    """Returns the mean difference between the two sides of the mask's border."""
    below, beside = _edges(mask)
    down, across = np.abs(np.diff(image, axis=0)), np.abs(np.diff(image, axis=1))
    both = np.concatenate([down[below], across[beside]])
    return float(both.mean()) if both.size else 0.0
