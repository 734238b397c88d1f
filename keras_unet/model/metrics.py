"""Scores of segmentation as Keras metrics on logits, and the threshold of the best.

By hand, because Keras' ``MeanIoU`` takes class ids only, and none of Keras' metrics is
a mean over images.

Pixels are counted as ``evaluation.scores`` does it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_unet.errors import BadUsage
from keras_unet.model.unet import class_logits, most_probable
from keras_unet.types import Mask, Tensor

Score = Literal["dice", "iou", "precision", "recall", "accuracy"]

# What is divided by what, from a class's pixels: found, predicted, and in the mask.
RATIOS: dict[str, Callable[[Any, Any, Any], tuple[Any, Any]]] = {
    "dice": lambda found, predicted, true: (2 * found, predicted + true),
    "iou": lambda found, predicted, true: (found, predicted + true - found),
    "precision": lambda found, predicted, true: (found, predicted),
    "recall": lambda found, predicted, true: (found, true),
}


def segmentation_metrics(
    classes: int, class_names: Sequence[str] = (), all_scores: bool = False
) -> list[keras.metrics.Metric]:
    """Returns metrics from a mask (b, h, w, 1) and logits (b, h, w, classes).

    They are named dice and iou, and with ``all_scores`` precision, recall, accuracy
    and, from three classes on, dice_<class>. Up to two classes they are those of the
    foreground, dice and iou as the mean over the images, the others over all pixels of
    the set. From three classes on they are the means over the classes, each over all
    pixels of the set. Pixels that are 255 in the mask do not count, and a sample weight
    changes nothing.

    Args:
        classes: channels of the logits; 1 and 2 are background and foreground.
        class_names: one per class; by default their ids.
        all_scores: gives all of them, which takes longer.

    Raises:
        BadUsage: there are class names, but not one for each class.
    """
    mean = ImageScore if classes <= 2 else PixelScore
    metrics = [mean("dice", classes), mean("iou", classes)]
    if all_scores:
        rest: list[Score] = ["precision", "recall", "accuracy"]
        metrics += [PixelScore(score, classes) for score in rest]
    if all_scores and classes > 2:
        metrics += [
            PixelScore("dice", classes, class_id, f"dice_{name}")
            for class_id, name in enumerate(names_of(classes, class_names))
        ]
    return metrics


@keras.saving.register_keras_serializable("keras_unet")
class ImageScore(keras.metrics.Mean):
    """Mean over the images of the foreground's Dice or IoU in each."""

    def __init__(self, score: Score, classes: int, name: str | None = None) -> None:
        """Takes the score and the channels of the logits, 1 or 2."""
        # Sums of float32 would lose the last digits over some thousand images.
        super().__init__(name or score, dtype="float64")
        self.score, self.classes = score, classes

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None
    ) -> None:
        """Adds a batch; the sample weight is ignored."""
        self.add(confusion_of(y_true, y_pred))

    def add(self, confusion: Tensor) -> None:
        """Adds images by their confusion matrices (b, classes, classes)."""
        super().update_state(_class_scores(self.score, confusion)[:, 1])

    def result(self) -> Tensor:
        """Returns the mean so far, 0 before the first image."""
        return tf.cast(super().result(), tf.float32)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the metric."""
        return {"score": self.score, "classes": self.classes, "name": self.name}


@keras.saving.register_keras_serializable("keras_unet")
class PixelScore(keras.metrics.Metric):
    """A score over all pixels of the set, of one class or as a mean over classes."""

    def __init__(
        self,
        score: Score,
        classes: int,
        class_id: int | None = None,
        name: str | None = None,
    ) -> None:
        """Takes the score, the channels of the logits, and whose score it is.

        Args:
            score: which of them.
            classes: channels of the logits; 1 and 2 are background and foreground.
            class_id: whose score, 1 if it is nowhere; by default the foreground's, and
                from three classes on the mean over those that the masks or the
                predictions have.
            name: the metric's name, by default the score's.
        """
        super().__init__(name=name or score)
        self.score, self.classes, self.class_id = score, classes, class_id
        side = max(classes, 2)
        self.confusion = self.add_weight(
            name="confusion", shape=(side, side), initializer="zeros", dtype="int64"
        )

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None
    ) -> None:
        """Adds a batch; the sample weight is ignored."""
        self.add(confusion_of(y_true, y_pred))

    def add(self, confusion: Tensor) -> None:
        """Adds images by their confusion matrices (b, classes, classes)."""
        self.confusion.assign_add(tf.reduce_sum(confusion, 0))

    def result(self) -> Tensor:
        """Returns the score of all pixels so far."""
        counts = tf.convert_to_tensor(self.confusion)
        if self.score == "accuracy":
            return _accuracy(counts)
        each = _class_scores(self.score, counts)
        if self.class_id is not None:
            return each[self.class_id]
        return each[1] if self.classes <= 2 else _mean_of_present(each, counts)

    def reset_state(self) -> None:
        """Forgets all pixels."""
        # Keras 2.15 assigns a scalar, which a matrix does not take.
        self.confusion.assign(tf.zeros_like(self.confusion))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the metric."""
        return {
            "score": self.score,
            "classes": self.classes,
            "class_id": self.class_id,
            "name": self.name,
        }


def confusion_of(mask: Tensor, logits: Tensor) -> Tensor:
    """Returns the confusion matrix of each image, int64 (b, classes, classes)."""
    prediction = most_probable(class_logits(logits))
    # 255 is no class: its row of the one-hot mask is 0. float32 counts 16 million
    # pixels an image without an error.
    side = max(logits.shape[-1], 2)
    true = tf.one_hot(tf.cast(mask[..., 0], tf.int32), side)
    predicted = tf.one_hot(prediction, side)
    return tf.cast(tf.einsum("bhwi,bhwj->bij", true, predicted), tf.int64)


def _class_scores(score: str, confusion: Tensor) -> Tensor:
    """Returns the score of each class, float32 (..., classes)."""
    found = tf.linalg.diag_part(confusion)
    true, predicted = tf.reduce_sum(confusion, -1), tf.reduce_sum(confusion, -2)
    numerator, denominator = RATIOS[score](found, predicted, true)
    ratio = tf.cast(numerator / tf.maximum(denominator, 1), tf.float32)
    return tf.where(predicted + true > 0, ratio, 1.0)


def _accuracy(confusion: Tensor) -> Tensor:
    found, total = tf.linalg.trace(confusion), tf.reduce_sum(confusion)
    return tf.where(total > 0, tf.cast(found / tf.maximum(total, 1), tf.float32), 1.0)


def _mean_of_present(each: Tensor, confusion: Tensor) -> Tensor:
    present = tf.reduce_sum(confusion, 0) + tf.reduce_sum(confusion, 1) > 0
    share = tf.cast(present | ~tf.reduce_any(present), each.dtype)
    return tf.reduce_sum(each * share) / tf.reduce_sum(share)


def names_of(classes: int, class_names: Sequence[str]) -> Sequence[str]:
    """Returns the names of the classes, by default their ids.

    Raises:
        BadUsage: there are names, but not one for each class.
    """
    if class_names and len(class_names) != classes:
        raise BadUsage(
            f"--class-names needs {classes} names, background first, "
            f"not {len(class_names)}"
        )
    return class_names or [str(class_id) for class_id in range(classes)]


LEVELS = 1024
"""Steps of the probability; a power of two, so that each is exact in float32."""


def count_levels(
    probability: npt.NDArray[np.float32], mask: Mask
) -> npt.NDArray[np.int64]:
    """Returns how many pixels of background and foreground have which probability.

    Args:
        probability: of the foreground (h, w).
        mask: class ids (h, w); only 0 and 1 are counted.

    Returns:
        (2, 1025): column k counts what is above (k - 1) / 1024, up to k / 1024.
    """
    level = np.fmin(np.ceil(probability * LEVELS), LEVELS).astype(np.intp)
    level += (LEVELS + 1) * np.minimum(mask, 2).astype(np.intp)
    counts = np.bincount(level.ravel(), minlength=3 * (LEVELS + 1))
    return counts.reshape(3, -1)[:2]


def dice_at_thresholds(levels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Returns an image's Dice (1023,) at the thresholds 1/1024, 2/1024, ..."""
    true = levels[1].sum()
    above = levels.sum(1, keepdims=True) - levels.cumsum(1)
    found, predicted = above[1, 1:-1], above[:, 1:-1].sum(0)
    both = predicted + true
    return np.where(both > 0, 2 * found / np.maximum(both, 1), 1.0)


def best_threshold(dice: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Returns the threshold of the highest Dice, of several the nearest to 0.5."""
    best = np.flatnonzero(dice >= dice.max() - 1e-12) + 1
    nearest = int(best[np.abs(best - LEVELS // 2).argmin()])
    return nearest / LEVELS, float(dice[nearest - 1])
