"""Masks as Kaggle writes them: run lengths, row by row, counted from 1.

By hand, because pycocotools goes column by column.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from keras_unet.errors import BadData
from keras_unet.types import Mask


def encode(mask: Mask) -> str:
    """Returns "start length start length ..." of the non-zero pixels of (h, w).

    An empty mask is the empty string.
    """
    flat = np.zeros(mask.size + 2, np.bool_)
    np.not_equal(mask.ravel(), 0, out=flat[1:-1])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    edges[1::2] -= edges[::2]
    edges[::2] += 1
    return " ".join(map(str, edges.tolist()))


def decode(text: str, height: int, width: int) -> Mask:
    """Returns the 0/1 mask (height, width) that ``text`` describes.

    Runs may come in any order and may touch.

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
    values = np.arange(len(counts)) % 2
    return np.repeat(values.astype(np.uint8), counts).reshape(height, width)


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
