"""Pictures made a few pixels wider or higher, in a fourth of TensorFlow's time for it.

A JPEG that is decoded at half its size often comes out a little short: 959 pixels for
half of Carvana's 1918, where 960 are wanted.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_unet.data.warp import compiled
from keras_unet.types import Tensor

# Each pixel that is added makes the program longer, and each shape has one of its own.
_LARGEST = 0.02
_LOCK = threading.Lock()


def is_small(shape: tuple[int, ...], size: tuple[int, int]) -> bool:
    """Returns whether one side of (h, w, c) stays and the other grows by up to 2 %."""
    changes = [(old, new) for old, new in zip(shape, size, strict=False) if old != new]
    if len(changes) != 1:
        return False
    ((old, new),) = changes
    return old < new <= old + _LARGEST * new


def stretch(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns an image, uint8 (h, w, c), at ``size``: ``resize_image``'s, rounded."""
    # Of the threads that need a program first, one makes it for all.
    with _LOCK:
        program = _program(tuple(image.shape), size)
    return program(image)


@functools.cache
def _program(shape: tuple[int, int, int], size: tuple[int, int]) -> Any:
    axis = 0 if shape[0] != size[0] else 1

    @compiled
    def stretched(image: Tensor) -> Tensor:
        values = math.prod(shape[axis + 1 :])
        rows = tf.reshape(image, (-1, shape[axis] * values))
        parts = [
            _between(rows, below * values, above * values, np.repeat(shares, values))
            for below, above, shares in _runs(shape[axis], size[axis])
        ]
        return tf.reshape(tf.concat(parts, 1), (*size, shape[2]))

    return stretched


def _between(
    rows: Tensor, below: int, above: int, shares: npt.NDArray[np.float32]
) -> Tensor:
    lower, upper = (
        tf.cast(rows[:, start : start + len(shares)], tf.float32)
        for start in (below, above)
    )
    return tf.cast(lower + (upper - lower) * shares + 0.5, tf.uint8)


def _runs(old: int, new: int) -> Iterator[tuple[int, int, npt.NDArray[np.float32]]]:
    """Yields the runs of pixels whose neighbours are runs of pixels, too.

    Each is given by its first pixel's lower and upper neighbour, and by how far each
    of its pixels is from the lower one to the upper one.
    """
    # In float32, as TensorFlow's own kernel has it: ties are then rounded alike.
    scale = np.float32(old) / np.float32(new)
    place = (np.arange(new, dtype=np.float32) + np.float32(0.5)) * scale
    place -= np.float32(0.5)
    corner = np.floor(place)
    below, above = (
        np.clip(corner + step, 0, old - 1).astype(np.int64) for step in (0, 1)
    )
    breaks = np.flatnonzero((np.diff(below) != 1) | (np.diff(above) != 1)) + 1
    for run in np.split(np.arange(new), breaks):
        yield int(below[run[0]]), int(above[run[0]]), (place - corner)[run]
