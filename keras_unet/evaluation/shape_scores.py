"""Scores of shapes: of a class's boundary, and of pieces that thin gaps keep apart.

V_Rand and V_Info are those of the ISBI 2012 challenge (Arganda-Carreras et al. 2015,
doi 10.3389/fnana.2015.00142, "Evaluation of segmentation"): restricted to the pixels
that are inside a cell in truth, after the border of the prediction was thinned, both
with equal weight of splits and mergers. SEG is that of the Cell Tracking Challenge
(Maška et al. 2014, doi 10.1093/bioinformatics/btu080) and of the U-Net paper's table 2.

By hand, because scikit-image's ``adapted_rand_error`` takes the border for one more
piece where the challenge takes each of its pixels for a piece of its own, and MONAI and
torchmetrics, which have scores of boundaries, bring PyTorch.
"""

from __future__ import annotations

import functools
import heapq
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from keras_unet.data.objects import find_skimage
from keras_unet.data_config import IGNORE
from keras_unet.types import Mask

Ids = npt.NDArray[Any]
"""Numbers of pieces (h, w), 0 between them."""

Bools = npt.NDArray[np.bool_]
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


def _around(true: Bools, predicted: Bools) -> tuple[Bools, Bools]:
    """Returns both within the smallest rectangle that has all of them."""
    either = true | predicted
    window = tuple(
        slice(places[0], places[-1] + 1) if len(places) else slice(0)
        for places in (np.flatnonzero(either.any(axis)) for axis in (1, 0))
    )
    return true[window], predicted[window]


def _boundary_iou(true: Bools, predicted: Bools, width: int) -> float:
    one, other = (mask & ~_eroded(mask, width) for mask in (true, predicted))
    either = np.count_nonzero(one | other)
    both = np.count_nonzero(one & other)
    return float(both / either) if either else 1.0


def _eroded(mask: Bools, distance: int) -> Bools:
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


def _hausdorff(true: Bools, predicted: Bools) -> float:
    edges = _edge(true), _edge(predicted)
    found = [edge.any() for edge in edges]
    if not all(found):
        return math.nan if any(found) else 0.0
    return max(_percentile(*edges), _percentile(*edges[::-1]))


def _edge(mask: Bools) -> Bools:
    wide = np.pad(mask, 1)
    rows, columns = wide[:, 1:-1], wide[1:-1]
    inside = rows[:-2] & rows[2:] & columns[:, :-2] & columns[:, 2:]
    return mask & ~inside


def _percentile(edge: Bools, other: Bools) -> float:
    """Returns the 95th percentile of the distances from one edge to the other."""
    distances = np.zeros(np.count_nonzero(edge))
    apart = np.argwhere(edge & ~other)
    if len(apart):
        tree = cKDTree(np.argwhere(other), compact_nodes=False, balanced_tree=False)
        distances[: len(apart)] = tree.query(apart)[0]
    return float(np.percentile(distances, 95))


THRESHOLDS = (*(round(0.1 * step, 1) for step in range(1, 10)), 0.95)
"""The challenge's tenths, and one above, where a sure network's membranes close."""


MembraneScores = dict[str, list[float]]
"""Of an image, each score at each of the ``THRESHOLDS``."""


def at_thresholds(
    inside: npt.NDArray[np.floating[Any]], truth: Bools, counted: Bools | None = None
) -> MembraneScores:
    """Returns what the challenge says of an image.

    Args:
        inside: the probability (h, w) that a pixel is inside a cell; what is above a
            threshold counts as inside.
        truth: whether it is.
        counted: which pixels are looked at, by default all.

    Raises:
        BadUsage: scikit-image, the extra science, is not installed.
    """
    if counted is None:
        counted = np.ones(truth.shape, bool)
    rows = [
        _scores_at((inside > threshold) & counted, truth & counted, counted.sum())
        for threshold in THRESHOLDS
    ]
    return {name: [row[name] for row in rows] for name in rows[0]}


def membrane_scores(images: Sequence[MembraneScores]) -> dict[str, Any]:
    """Returns what the challenge says of a stack of images, and thresholds of the best.

    Each is the mean over the images at its best threshold, of the first three over
    those with a true cell: v_rand and v_info (1 is perfect), rand_error (1 − V_Rand
    without thinning, the challenge's first score),
    warping_error (share of pixels that no change of shape explains: gaps, holes, splits
    and mergers, Jain et al. 2010), pixel_error (share of pixels on the wrong side).

    Args:
        images: of each of them what ``at_thresholds`` returned.
    """
    found = {name: _mean_of_known([one[name] for one in images]) for name in images[0]}
    best = {
        name: int(
            np.argmax(values) if name in ("v_rand", "v_info") else np.argmin(values)
        )
        for name, values in found.items()
    }
    scores: dict[str, Any] = {name: float(found[name][at]) for name, at in best.items()}
    return scores | {"thresholds": {name: THRESHOLDS[at] for name, at in best.items()}}


def _mean_of_known(rows: Sequence[Sequence[float]]) -> npt.NDArray[np.float64]:
    """Returns the mean of the rows (n) that are not NaN, or NaN (n)."""
    known = [row for row in rows if not np.isnan(row).any()]
    means: npt.NDArray[np.float64] = np.mean(known or rows, axis=0)
    return means


def _scores_at(inside: Bools, truth: Bools, counted: int) -> dict[str, float]:
    cells, pieces = cells_of(truth), cells_of(inside)
    v_rand, v_info = agreement(parted(pieces), cells)
    as_they_are, _ = agreement(pieces, cells)
    return {
        "v_rand": v_rand,
        "v_info": v_info,
        "rand_error": 1 - as_they_are,
        "warping_error": warping_error(inside, truth) * truth.size / max(1, counted),
        "pixel_error": float((inside != truth).sum() / max(1, counted)),
    }


def cells_of(inside: Bools) -> Ids:
    """Returns the 4-connected pieces of ``inside``: membranes may run over corners."""
    cells: Ids = ndimage.label(inside)[0]
    return cells


def parted(pieces: Ids) -> Ids:
    """Returns pieces (h, w) grown, by the same distance each, until a line parts them.

    Of two that touch, the left or upper one gives its pixels for the line.

    Raises:
        BadUsage: scikit-image, the extra science, is not installed.
    """
    watershed = find_skimage("--membranes").watershed
    seeds = pieces.copy()
    # A watershed draws no line through what it grows from.
    for here, other, left in (
        (pieces[:, :-1], pieces[:, 1:], seeds[:, :-1]),
        (pieces[:-1], pieces[1:], seeds[:-1]),
    ):
        left[(here != other) & (other != 0)] = 0
    grown: Ids = watershed(seeds == 0, seeds, connectivity=1, watershed_line=True)
    return grown


def agreement(pieces: Ids, truth: Ids) -> tuple[float, float]:
    """Returns V_Rand and V_Info, 0 to 1, of pieces against the true ones.

    Pixels that are 0 in ``truth`` do not count; each that is 0 in ``pieces`` is a piece
    of its own. Without a true piece both are NaN.

    Args:
        pieces: ids (h, w).
        truth: ids of the same shape.
    """
    counted = truth != 0
    total = int(counted.sum())
    if not total:
        return math.nan, math.nan
    loose = int((pieces[counted] == 0).sum())
    both = counted & (pieces != 0)
    # The share of pixels in each pair of pieces, in each true one, in each found one.
    joint = _counts(truth[both].astype(np.int64) << 32 | pieces[both]) / total
    true, found = _counts(truth[counted]) / total, _counts(pieces[both]) / total
    alone = loose / total / total
    squares = [float((share**2).sum()) for share in (joint, found, true)]
    v_rand = 2 * (squares[0] + alone) / (squares[1] + alone + squares[2])
    of_loose = loose / total * np.log(total)
    joint_bits, found_bits = (
        of_loose - float((share * np.log(share)).sum()) for share in (joint, found)
    )
    true_bits = -float((true * np.log(true)).sum())
    if true_bits + found_bits == 0:
        return v_rand, 1.0
    mutual = true_bits + found_bits - joint_bits
    return v_rand, max(0.0, 2 * mutual / (true_bits + found_bits))


def _counts(ids: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    counts: npt.NDArray[np.int64] = np.unique(ids, return_counts=True)[1]
    return counts


def seg_scores(pieces: Ids, truth: Ids) -> list[float]:
    """Returns the Cell Tracking Challenge's score of each true piece; SEG is the mean.

    It is the Jaccard index with the one piece that has more than half of its pixels,
    or 0 if none has.

    Args:
        pieces: ids (h, w).
        truth: ids of the same shape.
    """
    found = []
    sizes = dict(zip(*np.unique(pieces, return_counts=True), strict=True))
    for number in np.unique(truth[truth != 0]):
        under, counts = np.unique(pieces[truth == number], return_counts=True)
        most = int(counts.argmax())
        common, size = int(counts[most]), int(counts.sum())
        matches = under[most] != 0 and 2 * common > size
        union = size + int(sizes[under[most]]) - common
        found.append(common / union if matches else 0.0)
    return found


def warping_error(inside: Bools, truth: Bools) -> float:
    """Returns the share of pixels that differ once ``truth`` is bent towards the other.

    Pixels of the truth change sides one after the other as long as that changes no
    topology: pieces are 4-connected, what is between them 8-connected. Beyond the
    image's edge nothing is inside.
    """
    warped = np.pad(truth, 1).astype(np.uint8)
    goal = np.pad(inside, 1).astype(np.uint8)
    # The surest first: those deep in what they are to become.
    depth = ndimage.distance_transform_edt(warped != goal)
    places = np.argwhere(warped != goal).tolist()
    waiting = [(-float(depth[y, x]), y, x) for y, x in places]
    heapq.heapify(waiting)
    simple = _simple_points()
    while waiting:
        _, y, x = heapq.heappop(waiting)
        if warped[y, x] == goal[y, x] or not simple[_code(warped, y, x)]:
            continue
        warped[y, x] = goal[y, x]
        # What could not change before may now.
        for y2, x2 in ((y + dy, x + dx) for dy, dx in _RING):
            if warped[y2, x2] != goal[y2, x2]:
                heapq.heappush(waiting, (-float(depth[y2, x2]), y2, x2))
    return float((warped != goal).sum() / truth.size)


_RING = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
"""A pixel's eight neighbours, in turn."""


def _code(mask: npt.NDArray[np.uint8], y: int, x: int) -> int:
    return sum(int(mask[y + dy, x + dx]) << bit for bit, (dy, dx) in enumerate(_RING))


@functools.cache
def _simple_points() -> Bools:
    """Returns, for each code of a ring, whether its middle may change sides."""
    return np.array([_is_simple(code) for code in range(256)])


def _is_simple(code: int) -> bool:
    ring = np.zeros((3, 3), bool)
    for bit, (dy, dx) in enumerate(_RING):
        ring[1 + dy, 1 + dx] = code >> bit & 1
    around = ~ring
    around[1, 1] = False
    pieces = _touching(ring, ndimage.generate_binary_structure(2, 1))
    gaps = _touching(around, ndimage.generate_binary_structure(2, 2))
    return pieces == 1 and gaps == 1


def _touching(ring: Bools, structure: Bools) -> int:
    """Returns how many pieces of a ring touch its middle."""
    pieces, _ = ndimage.label(ring, structure)
    beside = pieces[structure & (pieces > 0)]
    return len(np.unique(beside))
