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
    flat = np.zeros(mask.size + 2, np.bool_)
    np.not_equal((mask.T if columns else mask).ravel(), 0, out=flat[1:-1])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    edges[1::2] -= edges[::2]
    edges[::2] += 1
    return " ".join(map(str, edges.tolist()))


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
