"""Masks as Kaggle writes them: run lengths, row by row or column by column, from 1.

By hand, because pycocotools goes column by column and its text is another one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from keras_unet.data.folders import opened
from keras_unet.data.images import decode_values, image_shape
from keras_unet.data.pair import Coding, Found, Pair, Problem
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData, BadUsage
from keras_unet.types import Mask, Values

HEADER = ("img", "rle_mask")
"""Of a submission."""


def require_table(file: Path) -> None:
    """Refuses a submission that would take the place of anything but an earlier one.

    Raises:
        BadUsage: it has not the name of a CSV file, or is there with other rows.
    """
    if file.suffix.lower() != ".csv" or file.is_dir():
        raise BadUsage(f"--submission must be a file to write, NAME.csv, not {file}")
    if not file.exists():
        return
    with file.open("rb") as stream:
        first = stream.readline(80).decode("utf-8", "replace").strip()
    # Of several shards, the first one's alone has the header.
    if not re.fullmatch(f"{','.join(HEADER)}|.*,[0-9 ]*|", first):
        raise BadUsage(
            f"--submission {file} holds something else already (its first line is "
            f"{first}): give another name, or move it away"
        )


def encode(mask: Mask, columns: bool = False) -> str:
    """Returns "start length start length ..." of the non-zero pixels of (h, w).

    They go along the rows, or down the columns; an empty mask is the empty string.
    """
    pixels = np.ascontiguousarray(mask if mask.itemsize == 1 else mask != 0)
    flat = pixels.view(np.uint8).ravel()
    edges = _down_the_columns(pixels) if columns else _changes(flat, 1)
    if flat[:1].any():
        edges = np.append(0, edges)
    if len(edges) % 2:
        edges = np.append(edges, mask.size)
    edges[1::2] -= edges[::2]
    edges[::2] += 1
    return ("%d " * len(edges) % tuple(edges.tolist()))[:-1]


def _changes(flat: npt.NDArray[np.uint8], step: int) -> npt.NDArray[np.int64]:
    """Returns the places at which zero or not differs from ``step`` places before."""
    before, after = flat[:-step], flat[step:]
    whole = after.size // 8 * 8
    # Eight bytes at a time: nearly everywhere there is no change.
    eights = before[:whole].view(np.uint64), after[:whole].view(np.uint64)
    differ = np.flatnonzero(np.not_equal(*eights))
    old, new = (
        np.append(words[differ].view(np.uint8), side[whole:]) != 0
        for words, side in zip(eights, (before, after), strict=True)
    )
    found = np.flatnonzero(old != new)
    starts = np.append(8 * differ, whole)
    return step + starts[found // 8] + found % 8


def _down_the_columns(mask: Mask) -> npt.NDArray[np.int64]:
    """Returns the places, counted down the columns, at which a run begins or ends."""
    height, width = mask.shape
    rows, columns = np.divmod(_changes(mask.ravel(), width), width)
    # A column's first pixel comes after the last one of the column before.
    tops = 1 + np.flatnonzero((mask[:1, 1:] != 0) != (mask[-1:, :-1] != 0))
    return np.sort(np.append(columns * height + rows, tops * height))


def decode_objects(text: str, shape: tuple[int, int], columns: bool = False) -> Values:
    """Returns the mask (h, w) of several objects, each on a line of ``text``.

    A pixel has the number of its object, counted from 1; of two objects, the later one.

    Raises:
        BadData: as by ``decode``.
    """
    lines = text.split("\n")
    if len(lines) == 1:
        return decode(text, *shape, columns=columns)
    values = np.zeros(shape, np.uint8 if len(lines) < 256 else np.int32)
    for number, line in enumerate(lines, 1):
        values[decode(line, *shape, columns=columns) > 0] = number
    return values


def decode(text: str, height: int, width: int, columns: bool = False) -> Mask:
    """Returns the 0/1 mask (height, width) that ``text`` describes.

    The text is start and length of each run, starts counted from 1. Runs may come in
    any order and may touch; with ``columns`` they go down the columns.

    Raises:
        BadData: no whole numbers, half a run, or runs outside the image or of no
            length, or overlapping.
    """
    starts, lengths = _runs(text)
    order = np.argsort(starts, kind="stable")
    starts, lengths = starts[order], lengths[order]
    pixels = height * width
    _refuse(lengths < 1, lengths, "of 1 pixel or more, not {}")
    inside = (starts >= 0) & (starts < pixels) & (lengths <= pixels - starts)
    image = f"inside the {height}×{width} image: not from pixel {{}}"
    _refuse(~inside, starts + 1, image)
    gaps = np.diff(starts, prepend=0, append=pixels)
    gaps[1:] -= lengths
    _refuse(gaps[1:-1] < 0, starts[1:] + 1, "apart: two share pixel {}")
    counts = np.append(np.stack([gaps[:-1], lengths], axis=1).ravel(), gaps[-1])
    values = np.repeat((np.arange(len(counts)) % 2).astype(np.uint8), counts)
    if columns:
        return np.ascontiguousarray(values.reshape(width, height).T)
    return values.reshape(height, width)


def _runs(text: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    try:
        numbers = np.array(text.split(), dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise BadData(
            f"run lengths must be whole numbers parted by spaces: {error}"
        ) from error
    if len(numbers) % 2:
        raise BadData(
            "run lengths come in pairs (start, length), "
            f"but there are {len(numbers)} numbers"
        )
    return numbers[::2] - 1, numbers[1::2]


def _refuse(wrong: npt.NDArray[np.bool_], at: npt.NDArray[np.int64], must: str) -> None:
    if wrong.any():
        raise BadData("runs must be " + must.format(at[wrong.argmax()]))


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

    coded = (replace(p, coding=order) if _has_runs(p) else p for p in found.every)
    notes = (*found.notes, said) if said else found.notes
    says = {**found.says, "run_lengths": order}
    return replace(found, every=tuple(coded), notes=notes, says=says)


def _has_runs(pair: Pair) -> bool:
    return pair.run_lengths is not None and pair.coding != "coco"


_BothWays = tuple[Pair, Mask, Mask]
"""A pair, its mask of 0 and 1 read by rows, and by columns."""


def _decide(runs: Sequence[Pair], data: DataConfig) -> tuple[Coding | None, str]:
    """Returns the order and a note; without an order, why it cannot be told."""
    read = list(_read_both_ways(runs, data.max_pixels))
    if not read:
        # Empty masks, full ones, or broken ones, which are told of later.
        return "rows", ""
    rows, columns = (
        (sum(map(_pieces, masks)), sum(int(e.sum()) for m in masks for e in _edges(m)))
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
                (decode_objects(text, shape, turned) > 0).astype(np.uint8)
                for turned in (False, True)
            )
        except BadData:
            continue
        if (rows != columns).any():
            yield pair, rows, columns


def _order_of_less(rows: tuple[int, int], columns: tuple[int, int]) -> Coding | None:
    """Returns the order by which pieces and border are clearly less."""

    def is_less(this: tuple[int, int], other: tuple[int, int]) -> bool:
        return other[0] >= _PIECES * this[0] and other[1] >= _BORDER * this[1]

    if is_less(rows, columns):
        return "rows"
    return "columns" if is_less(columns, rows) else None


def _pieces(mask: Mask) -> int:
    from scipy.ndimage import label

    return int(label(mask, np.ones((3, 3)))[1])


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
            # Not of 8 bits: which of 16 are used is not known yet.
            with opened(pair.image) as file:
                image = decode_values(file, data).mean(-1, dtype=np.float32)
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
