"""A probability at its image's own size, a few rows at a time.

All of it, of the largest image that is read, would be gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_unet.model.head import most_probable
from keras_unet.types import Mask, Probability

STRIP = 4_000_000
"""Numbers of a probability that are at hand at a time."""


def strips(
    probability: Probability, size: tuple[int, int]
) -> Iterator[tuple[slice, Probability]]:
    """Yields rows and the probability in them, (rows, w, classes).

    They are those of ``tf.image.resize``, to the bit: bilinear, pixels taken as areas.

    Args:
        probability: at the network's size, (h', w', classes).
        size: (h, w), the image's own.
    """
    height, width = size
    above, below, share = _neighbours(probability.shape[0], height)
    step = max(1, STRIP // (width * probability.shape[-1]))
    for top in range(0, height, step):
        rows = slice(top, min(top + step, height))
        first, last = above[rows][0], below[rows][-1] + 1
        part = tf.image.resize(probability[first:last], (last - first, width)).numpy()
        upper, lower = part[above[rows] - first], part[below[rows] - first]
        yield rows, upper + (lower - upper) * share[rows, None, None]


def mask_of(probability: Probability, size: tuple[int, int]) -> Mask:
    """Returns the class ids (h, w) at ``size`` of a probability (h', w', classes)."""
    mask = np.empty(size, np.uint8)
    for rows, strip in strips(probability, size):
        mask[rows] = most_probable(strip)
    return mask


def _neighbours(
    old: int, new: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Returns the rows above and below each new row, and the share of the one below."""
    # In float32 and in this order, as TensorFlow's own kernel.
    scale, half = np.float32(old) / np.float32(new), np.float32(0.5)
    place = (np.arange(new, dtype=np.float32) + half) * scale - half
    start = np.floor(place)
    above = np.maximum(start, 0).astype(np.int32)
    below = np.minimum(np.ceil(place), old - 1).astype(np.int32)
    return above, below, place - start
