"""Which pixels a mask of another size is made of, in NumPy."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Pixels = TypeVar("Pixels", bound=npt.NDArray[Any])


def nearest_pixels(mask: Pixels, size: tuple[int, int] | None) -> Pixels:
    """Returns the mask (h, w, ...) at ``size``, each pixel the one nearest to it.

    Without a size, the mask is returned as it is.
    """
    if size is None or size == mask.shape[:2]:
        return mask
    rows, columns = (
        # In whole numbers: floats would round ties one way here, another in TensorFlow.
        ((2 * np.arange(new) + 1) * old) // (2 * new)
        for old, new in zip(mask.shape[:2], size, strict=True)
    )
    sampled: Pixels = mask.take(rows, 0).take(columns, 1)
    return sampled
