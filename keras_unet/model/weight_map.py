"""The U-Net paper's weight of each pixel's loss (arXiv 1505.04597, equation 2).

w(x) = w_c(x) + w0 · exp(−(d1(x) + d2(x))² / 2σ²), where d1 and d2 are the distances to
the nearest and the second nearest cell, teaches the network narrow gaps between cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Floats = npt.NDArray[np.float32]

# A border weight below this share of w0 is left out: float32 would not keep it.
_NEGLIGIBLE = 1e-8


def border_weights(
    instances: npt.NDArray[Any],
    w0: float = 10.0,
    sigma: float = 5.0,
    class_weights: tuple[float, float] | None = None,
) -> Floats:
    """Returns the weight of each pixel, (h, w); cells have only their class weight.

    Args:
        instances: cell ids (h, w), 0 for background.
        w0: border weight of a background pixel that touches two cells.
        sigma: width of the border in pixels.
        class_weights: w_c of background and cells, by default this image's balance;
            the paper has that of the whole training set: ``class_balance``.
    """
    background, cell = class_weights or class_balance([instances])
    reach = sigma * math.sqrt(-2.0 * math.log(_NEGLIGIBLE))
    nearest, second = _distances(instances, math.ceil(reach))
    border = w0 * np.exp(-((nearest + second) ** 2) / (2.0 * sigma**2))
    weights = np.where(instances > 0, cell, background + border)
    return weights.astype(np.float32)


BORDER_WIDTH = 2
"""Of the class border. Four pixels over two cells that touch: one pooling keeps them,
and a border that is predicted a pixel too narrow on either side still parts cells."""


def touching_borders(instances: npt.NDArray[Any], width: int) -> npt.NDArray[np.bool_]:
    """Returns from which pixels (h, w) two cells lie within ``width`` pixels.

    Where cells touch, that is a line of 2 · ``width`` pixels over both of them.

    Args:
        instances: cell ids (h, w) from 0, which is background.
        width: radius of the disc that is looked at.
    """
    side = np.arange(-width, width + 1)
    disc = side[:, None] ** 2 + side**2 < (width + 0.5) ** 2
    last = instances.max(initial=0)
    highest = ndimage.maximum_filter(instances, footprint=disc)
    # Background is none of the two: it counts as the highest id.
    lowest = ndimage.minimum_filter(
        np.where(instances == 0, last, instances), footprint=disc
    )
    return np.asarray(lowest < highest)


_LOWEST, _OCTAVES = 0.5, 8
WEIGHT_OF_LEVEL = _LOWEST * np.exp2(
    _OCTAVES * np.arange(256, dtype=np.float32) / 255, dtype=np.float32
)
"""The weight, 0.5 to 128, that each byte of ``weight_levels`` stands for."""


def weight_levels(weights: Floats) -> npt.NDArray[np.uint8]:
    """Returns weights as bytes, with an error of at most 1.1 %.

    No weight of ``border_weights`` is below 0.5, and what is above 128 counts as 128:
    cells that are less than 0.4 % of their image weigh less than the rest of it.
    """
    octaves = np.log2(np.maximum(weights, _LOWEST) / _LOWEST)
    levels = np.rint(octaves * (255 / _OCTAVES))
    return np.minimum(levels, 255).astype(np.uint8)


def class_balance(masks: Iterable[npt.NDArray[Any]]) -> tuple[float, float]:
    """Returns weights of background and foreground that give both the same total.

    Their mean over the masks' pixels is 1; without one of the two both are 1.

    Args:
        masks: arrays of any shape, foreground above 0.
    """
    pixels = foreground = 0
    for mask in masks:
        pixels += mask.size
        foreground += int(np.count_nonzero(mask > 0))
    if foreground in (0, pixels):
        return 1.0, 1.0
    return pixels / (2 * (pixels - foreground)), pixels / (2 * foreground)


def _distances(instances: npt.NDArray[Any], reach: int) -> tuple[Floats, Floats]:
    """Returns the distances to the nearest two cells, infinite beyond ``reach``."""
    nearest = np.full(instances.shape, np.inf, np.float32)
    second = nearest.copy()
    # find_objects makes a list as long as the largest id: number the cells afresh.
    values, cells = np.unique(instances, return_inverse=True)
    cells = cells.reshape(instances.shape) + int(values[0] > 0)
    for cell, box in enumerate(ndimage.find_objects(cells), start=1):
        # Within the window the whole cell is in sight: its distances are exact.
        window = tuple(
            slice(max(side.start - reach, 0), side.stop + reach) for side in box
        )
        distance = ndimage.distance_transform_edt(cells[window] != cell)
        farther = np.maximum(nearest[window], distance)
        second[window] = np.minimum(second[window], farther)
        nearest[window] = np.minimum(nearest[window], distance)
    return nearest, second
