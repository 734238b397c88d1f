"""Scores of one image and of a set, at the images' own size.

Pixels are counted in integers over the whole set: neither the size nor the order of
the batches matters. A class that is neither in the mask nor in the prediction scores 1.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_unet.console import Progress, silent
from keras_unet.data.images import read_image
from keras_unet.data.masks import read_mask
from keras_unet.data.pair import Pair
from keras_unet.data_config import IGNORE, DataConfig
from keras_unet.errors import BadData
from keras_unet.model.metrics import RATIOS, names_of
from keras_unet.prediction.segmenter import BATCH, Segmenter, batches, read_ahead
from keras_unet.types import Image, Mask


@dataclass(frozen=True)
class ScoredImage:
    """The scores of one image.

    Attributes:
        image: its file.
        group: its group.
        dice: as by ``scores``, of this image alone.
        iou: likewise.
        precision: likewise.
        recall: likewise.
        accuracy: likewise.
        foreground: share of foreground in the mask.
    """

    image: str
    group: str
    dice: float
    iou: float
    precision: float
    recall: float
    accuracy: float
    foreground: float


@dataclass(frozen=True)
class Scores:
    """The scores of a set of images.

    Attributes:
        images: one by one.
        totals: dice, iou, precision, recall and accuracy of the set, and from three
            classes on dice_<class>.
        confusion: pixels by true (row) and predicted (column) class.
        seconds: time it took, reading included.
    """

    images: tuple[ScoredImage, ...]
    totals: dict[str, float]
    confusion: npt.NDArray[np.int64]
    seconds: float


def score_pairs(
    segmenter: Segmenter,
    pairs: Sequence[Pair],
    data: DataConfig,
    progress: Progress = silent,
) -> Scores:
    """Returns the scores of ``segmenter`` on ``pairs``, each at its own size.

    Up to two classes, dice and iou of the set are the means over the images, the others
    over all pixels. From three classes on, all are over all pixels.

    Args:
        segmenter: a run's network.
        pairs: at least one.
        data: what the masks' values mean.
        progress: called after each batch.

    Raises:
        BadData: a file cannot be read, or an image and its mask differ in size.
    """
    start = time.perf_counter()
    config = segmenter.config
    each, total = [], np.zeros(1, np.int64)
    for pair, (_, mask), prediction in predict_pairs(segmenter, pairs, data):
        counts = confusion(mask, prediction, config.model.classes)
        total = total + counts
        each.append(_image_score(pair, counts))
        progress(len(each), len(pairs))
    totals = scores(total, config.data.class_names)
    if config.model.classes <= 2:
        for name in ("dice", "iou"):
            totals[name] = float(np.mean([getattr(score, name) for score in each]))
    return Scores(tuple(each), totals, total, time.perf_counter() - start)


def predict_pairs(
    segmenter: Segmenter, pairs: Sequence[Pair], data: DataConfig
) -> Iterator[tuple[Pair, tuple[Image, Mask], Mask]]:
    """Yields each pair, its image and mask, and the predicted class ids (h, w).

    Raises:
        BadData: as by ``read_pair``.
    """
    channels = segmenter.config.model.channels
    read = read_ahead(pairs, lambda pair: read_pair(pair, channels, data))
    for batch in batches(zip(pairs, read, strict=True), BATCH):
        masks = segmenter.masks([image for _, (image, _) in batch])
        for (pair, arrays), mask in zip(batch, masks, strict=True):
            yield pair, arrays, mask


def read_pair(pair: Pair, channels: int, data: DataConfig) -> tuple[Image, Mask]:
    """Returns image (h, w, channels) and class ids (h, w) at their own size.

    Raises:
        BadData: a file cannot be read, or the two differ in size.
    """
    image = read_image(pair.image, channels, data)
    mask = read_mask(pair, data)
    if mask.shape != image.shape[:2]:
        (height, width), (tall, wide) = mask.shape, image.shape[:2]
        raise BadData(
            f"{pair.mask} is {width}×{height}, but its image {pair.image} is "
            f"{wide}×{tall}"
        )
    return image, mask


def _image_score(pair: Pair, counts: npt.NDArray[np.int64]) -> ScoredImage:
    own = scores(counts)
    return ScoredImage(
        image=str(pair.image),
        group=pair.group,
        dice=own["dice"],
        iou=own["iou"],
        precision=own["precision"],
        recall=own["recall"],
        accuracy=own["accuracy"],
        foreground=float(counts[1:].sum() / counts.sum()) if counts.any() else math.nan,
    )


def confusion(
    mask: npt.NDArray[Any], prediction: npt.NDArray[Any], classes: int
) -> npt.NDArray[np.int64]:
    """Returns how many pixels of class [row] were predicted as class [column].

    Args:
        mask: class ids of any shape; pixels that are 255 do not count.
        prediction: class ids of the same shape.
        classes: number of rows and columns, at least 2.
    """
    side = max(classes, 2)
    counted = mask != IGNORE
    pairs = mask[counted].astype(np.int64) * side + prediction[counted]
    return np.bincount(pairs, minlength=side**2).reshape(side, side).astype(np.int64)


def scores(
    confusion: npt.NDArray[np.int64], class_names: Sequence[str] = ()
) -> dict[str, float]:
    """Returns dice, iou, precision, recall and accuracy of a confusion matrix.

    With two classes they are those of the foreground. With more they are means over
    the classes that the masks or the predictions have, and dice_<class> is added.

    Raises:
        BadUsage: there are class names, but not one for each class.
    """
    found, true, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    present = predicted + true > 0
    each = {}
    for name, ratio in RATIOS.items():
        numerator, denominator = ratio(found, predicted, true)
        each[name] = np.where(present, numerator / np.maximum(denominator, 1), 1.0)
    whose = np.array([1]) if len(confusion) == 2 else _averaged(present)
    result = {name: float(of_class[whose].mean()) for name, of_class in each.items()}
    total = confusion.sum()
    result["accuracy"] = float(found.sum() / total) if total else 1.0
    if len(confusion) > 2:
        names = names_of(len(confusion), class_names)
        dice = zip(names, each["dice"], strict=True)
        result |= {f"dice_{name}": float(value) for name, value in dice}
    return result


def _averaged(present: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    return present | ~present.any()
