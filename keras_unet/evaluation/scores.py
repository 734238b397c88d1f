"""Scores of one image and of a set, at the images' own size.

Pixels are counted in integers over the whole set: neither the size nor the order of
the batches matters. An image without foreground, in which none is found, scores 1.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_unet.console import Progress, silent
from keras_unet.data.pair import Pair
from keras_unet.data_config import IGNORE, DataConfig
from keras_unet.evaluation.predictions import PieceScores, predict_pairs
from keras_unet.evaluation.shape_scores import boundary_scores
from keras_unet.model.metrics import (
    RATIOS,
    best_threshold,
    dice_at_thresholds,
    names_of,
)
from keras_unet.prediction.segmenter import Segmenter
from keras_unet.types import Mask

Counts = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ScoredImage:
    """The scores of one image.

    Attributes:
        image: its file.
        group: its group.
        dice, iou, precision, recall, accuracy: as by ``scores``, of this image alone.
        boundary_iou, hausdorff_95: as by ``boundary_scores``; from three classes on,
            the mean over those that the mask or the prediction has.
        foreground: share of foreground in the mask.
    """

    image: str
    group: str
    dice: float
    iou: float
    precision: float
    recall: float
    accuracy: float
    boundary_iou: float
    hausdorff_95: float
    foreground: float


@dataclass(frozen=True)
class Scores:
    """The scores of a set of images.

    Attributes:
        images: one by one.
        totals: dice, iou, precision, recall, accuracy, boundary_iou and hausdorff_95 of
            the set, and from three classes on dice_<class>.
        intervals: of each of them the ends of its 95 % interval; none of one group.
        groups: the totals of each group.
        classes: from three classes on, dice, iou, precision, recall, boundary_iou and
            hausdorff_95 of each; NaN of one that is nowhere.
        best_threshold: of a binary network, the one with the best mean Dice, and that.
        confusion: pixels by true (row) and predicted (column) class.
        seconds: time it took, reading included.
    """

    images: tuple[ScoredImage, ...]
    totals: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    groups: dict[str, dict[str, float]]
    classes: dict[str, dict[str, float]]
    best_threshold: tuple[float, float] | None
    confusion: Counts
    seconds: float


def score_pairs(
    segmenter: Segmenter,
    pairs: Sequence[Pair],
    data: DataConfig,
    progress: Progress = silent,
    of_pieces: PieceScores | None = None,
) -> Scores:
    """Returns the scores of ``segmenter`` on ``pairs``, each at its own size.

    Up to two classes, dice and iou of the set are the means over the images (Kaggle's
    score), precision, recall and accuracy are over all pixels. From three classes on,
    all five are over all pixels. boundary_iou and hausdorff_95 are means over images,
    from three classes on over those that have the class, and then over the classes.

    Args:
        segmenter: a run's network.
        pairs: at least one.
        data: what the masks' values mean.
        progress: called after each image.
        of_pieces: is told of each image.

    Raises:
        BadData: a file cannot be read, or an image and its mask differ in size.
    """
    start, classes = time.perf_counter(), segmenter.config.model.classes
    names = names_of(max(classes, 2), data.class_names)
    each: list[ScoredImage] = []
    groups: dict[str, Numbers] = {}
    total, dice = np.zeros(1, np.int64), np.zeros(1)
    keep = of_pieces is not None and of_pieces.keeps_probability
    for one in predict_pairs(segmenter, pairs, data, keep):
        if of_pieces:
            of_pieces.add(one)
        counts = confusion(one.mask, one.prediction, len(names))
        sums = _sums(one.mask, one.prediction, counts)
        group = one.pair.group
        groups[group] = groups.get(group, 0) + sums
        total = total + counts
        dice = dice + dice_at_thresholds(one.levels)
        each.append(_image_score(one.pair, counts, sums))
        progress(len(each), len(pairs))
        del one
    sums, binary = np.sum([*groups.values()], axis=0), classes <= 2
    return Scores(
        tuple(each),
        _totals(sums, names),
        _intervals(np.stack([*groups.values()]), names),
        {name: _totals(sums, names) for name, sums in groups.items()},
        {} if binary else _by_class(sums, names),
        best_threshold(dice / len(each)) if binary else None,
        total,
        time.perf_counter() - start,
    )


def _image_score(pair: Pair, counts: Counts, sums: Numbers) -> ScoredImage:
    share = float(counts[1:].sum() / counts.sum()) if counts.any() else math.nan
    totals = _totals(sums)
    own = {name: totals[name] for name in MEASURES}
    return ScoredImage(str(pair.image), pair.group, **own, foreground=share)


AT_ONCE = 4_000_000
"""Pixels that are counted at a time."""


def confusion(
    mask: npt.NDArray[Any], prediction: npt.NDArray[Any], classes: int
) -> Counts:
    """Returns how many pixels of class [row] were predicted as class [column].

    Args:
        mask: class ids of any shape; pixels that are 255 do not count.
        prediction: class ids of the same shape.
        classes: number of rows and columns, at least 2.
    """
    side = max(classes, 2)
    counts = np.zeros((IGNORE + 1) * side, np.int64)
    mask, prediction = mask.ravel(), prediction.ravel()
    for start in range(0, mask.size, AT_ONCE):
        part = slice(start, start + AT_ONCE)
        codes = mask[part].astype(np.intp) * side + prediction[part]
        counts += np.bincount(codes, minlength=len(counts))
    return counts[: side**2].reshape(side, side)


def scores(confusion: Counts, class_names: Sequence[str] = ()) -> dict[str, float]:
    """Returns dice, iou, precision, recall and accuracy of a confusion matrix.

    With two classes they are those of the foreground. With more they are means over
    the classes that the masks or the predictions have, and dice_<class> is added, NaN
    of those that they have not.

    Raises:
        BadUsage: there are class names, but not one for each class.
    """
    return _pixel_scores(_pixels(confusion), class_names)


def _pixels(confusion: Counts) -> Numbers:
    """Returns the pixels (3, classes) that were found, predicted, and in the mask."""
    pixels = [confusion.diagonal(), confusion.sum(0), confusion.sum(1)]
    return np.array(pixels, np.float64)


def _pixel_scores(pixels: Numbers, class_names: Sequence[str]) -> dict[str, float]:
    classes, present = pixels.shape[1], _present(pixels)
    each = _ratios(pixels)
    whose = np.array([1]) if classes == 2 else present | ~present.any()
    result = {name: float(of_class[whose].mean()) for name, of_class in each.items()}
    found, _, true = pixels.sum(1)
    result["accuracy"] = float(found / true) if true else 1.0
    if classes > 2:
        names = names_of(classes, class_names)
        dice = zip(names, np.where(present, each["dice"], math.nan), strict=True)
        result |= {f"dice_{name}": float(value) for name, value in dice}
    return result


def _ratios(pixels: Numbers) -> dict[str, Numbers]:
    """Returns each score of each class, 1 of those that nobody saw."""
    present, result = _present(pixels), {}
    for name, ratio in RATIOS.items():
        numerator, denominator = ratio(*pixels)
        result[name] = np.where(present, numerator / np.maximum(denominator, 1), 1.0)
    return result


def _present(pixels: Numbers) -> npt.NDArray[np.bool_]:
    return np.asarray(pixels[1:].sum(0) > 0)


MEASURES = (*RATIOS, "accuracy", "boundary_iou", "hausdorff_95")
_OF_IMAGES = ("dice", "iou", "boundary_iou", "hausdorff_95")
"""Scores whose mean over images is taken."""


def _sums(mask: Mask, prediction: Mask, confusion: Counts) -> Numbers:
    """Returns all that scores are made of (11, classes): of several images, the sum.

    That is three rows of ``_pixels``, the four scores of ``_OF_IMAGES``, and in how
    many images each of them is a number.
    """
    pixels, binary = _pixels(confusion), len(confusion) == 2
    values = np.full((len(_OF_IMAGES), len(confusion)), math.nan)
    for class_id in [1] if binary else np.flatnonzero(_present(pixels)).tolist():
        ratios = [_ratios(pixels)[name][class_id] for name in ("dice", "iou")]
        boundary = boundary_scores(mask, prediction, class_id)
        values[:, class_id] = [*ratios, *boundary]
    known = ~np.isnan(values)
    return np.concatenate([pixels, np.where(known, values, 0), known])


def _means(sums: Numbers) -> dict[str, Numbers]:
    """Returns the means over images of each class's scores, NaN where there is none."""
    total, number = sums[3:].reshape((2, len(_OF_IMAGES), -1))
    nowhere = np.full(total.shape, math.nan)
    means = np.divide(total, number, out=nowhere, where=number > 0)
    return dict(zip(_OF_IMAGES, means, strict=True))


def _totals(sums: Numbers, class_names: Sequence[str] = ()) -> dict[str, float]:
    result, means = _pixel_scores(sums[:3], class_names), _means(sums)
    of_images = _OF_IMAGES if sums.shape[1] == 2 else _OF_IMAGES[2:]
    for name in of_images:
        numbers = means[name][~np.isnan(means[name])]
        result[name] = float(numbers.mean()) if len(numbers) else math.nan
    return result


def _by_class(sums: Numbers, names: Sequence[str]) -> dict[str, dict[str, float]]:
    means, present = _means(sums), _present(sums[:3])
    each = {
        name: np.where(present, values, math.nan)
        for name, values in _ratios(sums[:3]).items()
    } | {name: means[name] for name in _OF_IMAGES[2:]}
    return {
        class_name: {name: float(of_class[place]) for name, of_class in each.items()}
        for place, class_name in enumerate(names)
    }


SAMPLES = 1000
"""How often the groups are drawn again for an interval."""


def _intervals(groups: Numbers, names: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Returns the interval that holds 95 % of each score's bootstrap distribution.

    As many groups as there are, (groups, 11, classes), are drawn from them again and
    again, with replacement (Efron's percentile interval), because images of one group
    are alike.
    """
    number = len(groups)
    if number == 1:
        return {}
    rng, drawn = np.random.default_rng(0), []
    for _ in range(SAMPLES):
        times = np.bincount(rng.integers(number, size=number), minlength=number)
        drawn.append(_totals(np.tensordot(times, groups, 1), names))
    result = {}
    for name in drawn[0]:
        values = np.array([one[name] for one in drawn])
        if not np.isnan(values).all():
            low, high = np.nanpercentile(values, [2.5, 97.5])
            result[name] = float(low), float(high)
    return result
