"""What every export puts around the network: RGB goes in, probability comes out."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

# Symbolic and eager tensors have no common public type on both stacks.
Tensor = Any

BATCHES = (1, 4, 16)
"""Pictures in the requests that a server is set up, warmed up and measured for."""

_LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601, as Pillow and libjpeg turn RGB to grey."""


def probability_of(network: keras.Model, image: Tensor) -> Tensor:
    """Returns probability (b, h, w, classes) of RGB images (b, h, w, 3) in 0..255.

    The classes, two at least, sum to one; a grey network gets the images' luma.
    """
    if network.input_shape[-1] == 1:
        # A convolution, because mobile GPUs take it and no matrix product.
        image = tf.nn.conv2d(image, tf.reshape(_LUMA, (1, 1, 3, 1)), 1, "VALID")
    logits = network(image, training=False)
    if logits.shape[-1] == 1:
        # Softmax over [0, x] is [1 − sigmoid(x), sigmoid(x)].
        logits = tf.pad(logits, [[0, 0], [0, 0], [0, 0], [1, 0]])
    return tf.nn.softmax(logits)
