"""The losses of segmentation, from logits, in float32, one number per image.

Focal loss: arXiv 1708.02002. Tversky: arXiv 1706.05721. Lovász: arXiv 1705.08790.

Every function takes a mask of class ids (b, h, w, 1), logits (b, h, w, classes) and
``valid`` (b, h, w, 1), 1 where a pixel counts and 0 where not, and returns (b,). One
channel of logits is foreground against background, more are classes. An image without
a valid pixel has the loss 0.

By hand, because Keras' losses know no ignored class id (3.15) or no Dice at all (2.15).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from keras_unet.config import LossConfig
from keras_unet.data_config import IGNORE
from keras_unet.types import Tensor

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def cross_entropy(
    mask: Tensor, logits: Tensor, valid: Tensor, weight: Tensor = 1.0
) -> Tensor:
    """Returns the mean of ``weight`` × cross-entropy over the valid pixels, (b,).

    Args:
        mask: class ids (b, h, w, 1).
        logits: (b, h, w, classes).
        valid: (b, h, w, 1), 0 or 1.
        weight: of each pixel, (b, h, w, 1). The sum is divided by the number of valid
            pixels, not by their weight, as in the U-Net paper: in an image of one
            class a class weight would cancel out otherwise.
    """
    return _mean(weight * _pixel_cross_entropy(mask, logits, valid), valid)


def focal_loss(
    mask: Tensor,
    logits: Tensor,
    valid: Tensor,
    gamma: float = 2.0,
    weight: Tensor = 1.0,
) -> Tensor:
    """Returns the cross-entropy with each pixel scaled by (1 − p)^``gamma``, (b,).

    p is the probability of the pixel's own class; ``weight`` as in ``cross_entropy``.
    """
    entropy = _pixel_cross_entropy(mask, logits, valid)
    # A power below 1 has an infinite slope at 0, where well learnt pixels are.
    missing = tf.maximum(-tf.math.expm1(-entropy), 1e-7)
    return _mean(weight * missing**gamma * entropy, valid)


def dice_loss(mask: Tensor, logits: Tensor, valid: Tensor) -> Tensor:
    """Returns 1 − (2 Σ p t + 1) / (Σ p + Σ t + 1), (b,).

    With several classes it is the mean over those that the image's mask has.
    """
    return tversky_loss(mask, logits, valid, 0.5, 0.5)


def tversky_loss(
    mask: Tensor,
    logits: Tensor,
    valid: Tensor,
    alpha: float = 0.3,
    beta: float = 0.7,
) -> Tensor:
    """Returns 1 − Tversky index, (b,); ``dice_loss`` is the one with 0.5 and 0.5.

    Args:
        mask: class ids (b, h, w, 1).
        logits: (b, h, w, classes).
        valid: (b, h, w, 1), 0 or 1.
        alpha: weight of false positives.
        beta: weight of false negatives.
    """
    probability, truth = _planes(mask, logits)
    area = tf.reduce_sum(valid * truth, (1, 2))
    hit = tf.reduce_sum(valid * truth * probability, (1, 2))
    false_positive = tf.reduce_sum(valid * probability, (1, 2)) - hit
    # Numerator and denominator grow by 1: an empty mask has a finite gradient.
    whole = 2.0 * (hit + alpha * false_positive + beta * (area - hit)) + 1.0
    return _mean_of_present(1.0 - (2.0 * hit + 1.0) / whole, area)


def lovasz_loss(mask: Tensor, logits: Tensor, valid: Tensor) -> Tensor:
    """Returns the Lovász hinge (one channel) or the Lovász softmax loss, (b,).

    The softmax loss is the mean over the classes that the image's mask has.
    """
    if logits.shape[-1] == 1:
        truth = tf.cast(mask == 1, tf.float32)
        error = tf.nn.relu(1.0 - tf.cast(logits, tf.float32) * (2.0 * truth - 1.0))
    else:
        probability, truth = _planes(mask, logits)
        error = tf.abs(truth - probability)
    # Without an error a pixel adds nothing, wherever it is sorted to.
    error, truth = _rows(error * valid), _rows(truth * valid)
    return _mean_of_present(_lovasz(error, truth), tf.reduce_sum(truth, -1))


@keras.saving.register_keras_serializable("keras_unet")
class SegmentationLoss(keras.losses.Loss):
    """The weighted sum of the losses that a ``LossConfig`` asks for.

    Truth is class ids (b, h, w, 1) of any type, where 255 counts in no loss. Keras'
    ``sample_weight`` is a weight map (b, h, w, 1), (b, h, w) or (b,): it scales the
    cross-entropy and the focal loss of each pixel, and a pixel of weight 0 counts in
    no loss. Class weights scale the same two.
    """

    def __init__(self, config: LossConfig, classes: int) -> None:
        """Takes the weights of the losses and the number of logits per pixel.

        Raises:
            BadUsage: there are class weights, but not one for each class.
        """
        super().__init__(name="segmentation_loss")
        config.require_weights(classes)
        self.config = config
        self.classes = classes

    def __call__(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None
    ) -> Tensor:
        """Returns the mean loss of the batch."""
        # Keras would reduce the weights to one per image: they travel with the truth.
        if sample_weight is not None:
            mask = tf.cast(y_true, tf.float32)[..., :1]
            y_true = tf.concat([mask, _weight_map(sample_weight, mask)], -1)
        return super().__call__(y_true, y_pred)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Returns the loss of each image, (b,)."""
        mask = tf.cast(y_true[..., :1], tf.int32)
        logits = tf.cast(y_pred, tf.float32)
        valid, weight = tf.cast(mask != IGNORE, tf.float32), tf.constant(1.0)
        if y_true.shape[-1] == 2:
            weight = tf.cast(y_true[..., 1:], tf.float32)
            valid *= tf.cast(weight > 0, tf.float32)
        if self.config.class_weights:
            ids = tf.where(valid > 0, mask, 0)
            weight *= tf.gather(tf.constant(self.config.class_weights), ids)
        if self.config.outline_weight:
            weight *= outline_weights(mask, valid, self.config)
        losses = _chosen(self.config, weight)
        return tf.add_n([share * loss(mask, logits, valid) for share, loss in losses])

    def get_config(self) -> dict[str, Any]:
        """Returns what ``from_config`` needs."""
        return {"config": dataclasses.asdict(self.config), "classes": self.classes}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SegmentationLoss:
        """Returns the loss that ``get_config`` described."""
        fields = dict(config["config"])
        fields["class_weights"] = tuple(fields["class_weights"])
        return cls(LossConfig(**fields), config["classes"])


def _chosen(config: LossConfig, weight: Tensor) -> list[tuple[float, Loss]]:
    """Returns the share and the function of each loss that has a share."""
    focal = partial(focal_loss, gamma=config.focal_gamma, weight=weight)
    tversky = partial(
        tversky_loss, alpha=config.tversky_alpha, beta=config.tversky_beta
    )
    losses: list[tuple[float, Loss]] = [
        (config.cross_entropy, partial(cross_entropy, weight=weight)),
        (config.dice, dice_loss),
        (config.focal, focal),
        (config.tversky, tversky),
        (config.lovasz, lovasz_loss),
    ]
    return [(share, loss) for share, loss in losses if share > 0]


def outline_weights(mask: Tensor, valid: Tensor, config: LossConfig) -> Tensor:
    """Returns what outlines weigh more, (b, h, w, 1), 1 in the mean of an image.

    Args:
        mask: class ids (b, h, w, 1).
        valid: (b, h, w, 1), 0 or 1; other pixels make no outline.
        config: how much more, and how far from the outline.
    """
    ids = tf.cast(mask, tf.float32)
    high = _highest(tf.where(valid > 0, ids, -1.0), config.outline_pixels)
    low = -_highest(tf.where(valid > 0, -ids, -IGNORE - 1.0), config.outline_pixels)
    weight = 1.0 + config.outline_weight * tf.cast(high > low, tf.float32)
    mean = _mean(weight * valid, valid)[:, None, None, None]
    return tf.math.divide_no_nan(weight, mean)


def _highest(values: Tensor, pixels: int) -> Tensor:
    """Returns the highest value within some pixels; rows and columns one by one."""
    side = 2 * pixels + 1
    rows = tf.nn.max_pool2d(values, (side, 1), 1, "SAME")
    return tf.nn.max_pool2d(rows, (1, side), 1, "SAME")


def _pixel_cross_entropy(mask: Tensor, logits: Tensor, valid: Tensor) -> Tensor:
    """Returns −log p of each pixel's own class, (b, h, w, 1), 0 where not valid."""
    logits = tf.cast(logits, tf.float32)
    if logits.shape[-1] == 1:
        truth = tf.cast(mask == 1, tf.float32)
        return valid * tf.nn.sigmoid_cross_entropy_with_logits(truth, logits)
    # A label outside of the classes would be NaN, also where it does not count.
    labels = tf.where(valid[..., 0] > 0, tf.cast(mask[..., 0], tf.int32), 0)
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return valid * entropy[..., None]


def _planes(mask: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Returns probability and truth, one plane per channel, each (b, h, w, classes)."""
    logits = tf.cast(logits, tf.float32)
    if logits.shape[-1] == 1:
        return tf.sigmoid(logits), tf.cast(mask == 1, tf.float32)
    labels = tf.cast(mask[..., 0], tf.int32)
    return tf.nn.softmax(logits), tf.one_hot(labels, logits.shape[-1])


def _rows(planes: Tensor) -> Tensor:
    """Returns (b, h, w, k) as (b, k, h·w)."""
    shape = tf.shape(planes)
    rows = tf.reshape(planes, (shape[0], shape[1] * shape[2], planes.shape[-1]))
    return tf.transpose(rows, (0, 2, 1))


def _lovasz(error: Tensor, truth: Tensor) -> Tensor:
    """Returns the Lovász extension of the Jaccard loss at errors (b, k, n), (b, k)."""
    error, order = tf.math.top_k(error, tf.shape(error)[-1])
    truth = tf.gather(truth, order, batch_dims=2)
    area = tf.reduce_sum(truth, -1, keepdims=True)
    union = area + tf.cumsum(1.0 - truth, -1)
    jaccard = 1.0 - (area - tf.cumsum(truth, -1)) / union
    slope = tf.concat([jaccard[..., :1], jaccard[..., 1:] - jaccard[..., :-1]], -1)
    return tf.reduce_sum(error * slope, -1)


def _mean(pixels: Tensor, valid: Tensor) -> Tensor:
    count = tf.maximum(tf.reduce_sum(valid, (1, 2, 3)), 1.0)
    return tf.reduce_sum(pixels, (1, 2, 3)) / count


def _mean_of_present(losses: Tensor, area: Tensor) -> Tensor:
    """Returns the mean of losses (b, k) over the classes with an area, (b,)."""
    if losses.shape[-1] == 1:
        return losses[:, 0]
    present = tf.cast(area > 0, tf.float32)
    return tf.math.divide_no_nan(
        tf.reduce_sum(losses * present, -1), tf.reduce_sum(present, -1)
    )


def _weight_map(weight: Tensor, mask: Tensor) -> Tensor:
    weight = tf.cast(weight, tf.float32)
    while len(weight.shape) < 4:
        weight = weight[..., None]
    return tf.broadcast_to(weight, tf.shape(mask))
