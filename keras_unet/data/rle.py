"""Masks as Kaggle writes them: run lengths, row by row or column by column, from 1.

By hand, because pycocotools goes column by column and its text is another one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from keras_unet.errors import BadData
from keras_unet.types import Mask, Values


def encode(mask: Mask, columns: bool = False) -> str:
    """Returns "start length start length ..." of the non-zero pixels of (h, w).

    An empty mask is the empty string.

    Args:
        mask: any value but 0 is foreground.
        columns: go down the columns instead of along the rows.
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

    Runs may come in any order and may touch.

    Args:
        text: start and length of each run, starts counted from 1.
        height: of the mask.
        width: of the mask.
        columns: the runs go down the columns instead of along the rows.

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
    starts, lengths = numbers[::2] - 1, numbers[1::2]
    return starts, lengths


def _refuse(wrong: npt.NDArray[np.bool_], at: npt.NDArray[np.int64], must: str) -> None:
    if wrong.any():
        raise BadData("runs must be " + must.format(at[wrong.argmax()]))
