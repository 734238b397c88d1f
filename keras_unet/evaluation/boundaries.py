"""Scores of the boundary of one class in one image: boundary IoU, Hausdorff distance.

By hand, because MONAI and torchmetrics bring PyTorch. Distances are found among the
pixels of the edges alone, in a k-d tree: a distance transform of the whole image takes
twenty times as long.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from keras_unet.data_config import IGNORE
from keras_unet.types import Mask

Pixels = npt.NDArray[np.bool_]
"""Where (h, w) a class is."""

BOUNDARY = 0.02
"""Width of the boundary as a share of the image's diagonal."""


def boundary_scores(mask: Mask, prediction: Mask, class_id: int) -> tuple[float, float]:
    """Returns a class's boundary IoU, and its Hausdorff distance (95 %) in pixels.

    * Boundary IoU (Cheng et al. 2021, https://arxiv.org/abs/2103.16562) is the IoU of
      the pixels of each mask that are no farther from its contour, along rows and
      columns, than 2 % of the image's diagonal, one pixel at least. The image's border
      is a contour. A class that is in neither mask has 1.
    * The Hausdorff distance is MONAI's: of each mask's edge (pixels with one of another
      kind above, below, left or right, or at the image's border), the 95th percentile
      of the distances to the other's edge; of the two percentiles the larger one. A
      class that is in neither mask has 0; one that is in only one of them has NaN,
      which means over images leave out.

    It takes up to ten bytes a pixel around the class, and forty for each pixel of an
    edge.

    Args:
        mask: class ids (h, w); pixels that are 255 are taken out of both masks, so that
            both have an edge around them.
        prediction: class ids (h, w).
        class_id: the class.
    """
    true = mask == class_id
    predicted = (prediction == class_id) & (mask != IGNORE)
    # As Python rounds, which is what the paper's code does.
    width = max(1, round(BOUNDARY * math.hypot(*mask.shape)))
    true, predicted = _around(true, predicted)
    return _boundary_iou(true, predicted, width), _hausdorff(true, predicted)


def _around(true: Pixels, predicted: Pixels) -> tuple[Pixels, Pixels]:
    """Returns both within the smallest rectangle that has all of them."""
    either = true | predicted
    window = tuple(
        slice(places[0], places[-1] + 1) if len(places) else slice(0)
        for places in (np.flatnonzero(either.any(axis)) for axis in (1, 0))
    )
    return true[window], predicted[window]


def _boundary_iou(true: Pixels, predicted: Pixels, width: int) -> float:
    one, other = (mask & ~_eroded(mask, width) for mask in (true, predicted))
    either = np.count_nonzero(one | other)
    both = np.count_nonzero(one & other)
    return float(both / either) if either else 1.0


def _eroded(mask: Pixels, distance: int) -> Pixels:
    """Returns the pixels around which all are set, ``distance`` rows and columns far.

    Outside of the image none is set.
    """
    for _ in ("rows", "columns"):
        mask = np.pad(mask, [(distance, distance), (0, 0)])
        span, wanted = 1, 2 * distance + 1
        # Each row stands for all of ``span`` rows from there on.
        while span < wanted:
            step = min(span, wanted - span)
            mask = mask[:-step] & mask[step:]
            span += step
        mask = mask.T
    return mask


def _hausdorff(true: Pixels, predicted: Pixels) -> float:
    edges = _edge(true), _edge(predicted)
    found = [edge.any() for edge in edges]
    if not all(found):
        return math.nan if any(found) else 0.0
    return max(_percentile(*edges), _percentile(*edges[::-1]))


def _edge(mask: Pixels) -> Pixels:
    wide = np.pad(mask, 1)
    rows, columns = wide[:, 1:-1], wide[1:-1]
    inside = rows[:-2] & rows[2:] & columns[:, :-2] & columns[:, 2:]
    return mask & ~inside


def _percentile(edge: Pixels, other: Pixels) -> float:
    """Returns the 95th percentile of the distances from one edge to the other."""
    distances = np.zeros(np.count_nonzero(edge))
    apart = np.argwhere(edge & ~other)
    if len(apart):
        tree = cKDTree(np.argwhere(other), compact_nodes=False, balanced_tree=False)
        distances[: len(apart)] = tree.query(apart)[0]
    return float(np.percentile(distances, 95))
