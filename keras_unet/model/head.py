"""From logits to probability and class ids, for every network of this package.

Up to two classes a network may have one logit, that of the foreground.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from keras_unet.types import Tensor


def to_probability(logits: Tensor) -> Tensor:
    """Returns the classes' probabilities ([b,] h, w, c ≥ 2), which sum to one.

    One logit x becomes the two channels [1 − p, p], p = sigmoid(x).
    """
    return tf.nn.softmax(class_logits(logits))


def most_probable(scores: Tensor) -> Tensor:
    """Returns each pixel's highest channel, uint8 ([b,] h, w).

    Args:
        scores: probability or logits ([b,] h, w, c ≥ 2).
    """
    if scores.shape[-1] == 2:
        # In a fifth of the time that argmax takes.
        return tf.cast(scores[..., 1] > scores[..., 0], tf.uint8)
    return tf.cast(tf.argmax(scores, axis=-1), tf.uint8)


def to_mask(probability: Tensor, threshold: float = 0.5) -> Tensor:
    """Returns each pixel's class id, uint8 ([b,] h, w), of ([b,] h, w, c).

    Args:
        probability: of the classes; of two the second's alone will do.
        threshold: of two classes the second is where its probability is above this.
    """
    if probability.shape[-1] > 2:
        return most_probable(probability)
    foreground = probability[..., -1] > threshold
    # Arrays need not go to TensorFlow and back.
    is_array = isinstance(foreground, np.ndarray)
    return foreground.view(np.uint8) if is_array else tf.cast(foreground, tf.uint8)


def class_logits(logits: Tensor) -> Tensor:
    """Returns a logit for each class (b, h, w, c ≥ 2): one logit x becomes [0, x]."""
    if logits.shape[-1] > 1:
        return logits
    # Softmax over [0, x] is [1 − sigmoid(x), sigmoid(x)].
    return tf.pad(logits, [[0, 0], [0, 0], [0, 0], [1, 0]])
