"""``dense_image_warp``: tensorflow-addons' own where it is installed, else this one.

Compiled by XLA, which takes a sixth to a half of TensorFlow's time for it.
"""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import tensorflow as tf

from keras_unet.data.compiled import compiled

# Symbolic tensors have no common public type on both stacks.
Tensor = Any


def warp_plain(image: Tensor, flow: Tensor) -> Tensor:
    """Returns ``image`` read at ``position - flow``, clamped at the border, as floats.

    Args:
        image: tensor of any type, (b, h, w, c).
        flow: float tensor (b, h, w, 2), displacement in pixels as (row, column).

    Same contract as ``tensorflow_addons.image.dense_image_warp`` 0.23, and the same
    steps of arithmetic.
    """
    # Two compiled parts: as one, XLA works out each position anew for each channel.
    return _blend(image, *_places(flow))


@compiled
def _places(flow: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the (row, column) of upper left neighbours, and how far each is left."""
    height, width = tf.shape(flow)[1], tf.shape(flow)[2]
    rows, columns = tf.meshgrid(tf.range(height), tf.range(width), indexing="ij")
    position = tf.cast(tf.stack([rows, columns], -1), flow.dtype) - flow
    last = tf.cast(tf.maximum(tf.stack([height, width]) - 2, 0), flow.dtype)
    corner = tf.minimum(tf.maximum(0.0, tf.floor(position)), last)
    share = tf.minimum(tf.maximum(0.0, position - corner), 1.0)
    return tf.cast(corner, tf.int32), share[..., :1], share[..., 1:]


@compiled
def _blend(image: Tensor, corner: Tensor, down: Tensor, across: Tensor) -> Tensor:
    shape = tf.shape(image)
    height, width = shape[1], shape[2]
    pixels = tf.reshape(image, (shape[0], height * width, shape[3]))
    first = corner[..., 0] * width + corner[..., 1]
    # A picture one pixel wide or high has no second neighbour.
    right, below = tf.minimum(1, width - 1), tf.minimum(1, height - 1) * width

    def neighbour(offset: Tensor) -> Tensor:
        return tf.cast(tf.gather(pixels, first + offset, batch_dims=1), down.dtype)

    left_above, left_below = neighbour(0), neighbour(below)
    above = across * (neighbour(right) - left_above) + left_above
    under = across * (neighbour(below + right) - left_below) + left_below
    return down * (under - above) + above


if importlib.util.find_spec("tensorflow_addons") is None:
    dense_image_warp = warp_plain
else:
    with warnings.catch_warnings():
        # It says at every import that its development has ended.
        warnings.simplefilter("ignore", UserWarning)
        import tensorflow_addons

    @compiled
    def dense_image_warp(image: Tensor, flow: Tensor) -> Tensor:
        """Returns what ``warp_plain`` returns."""
        image = tf.cast(image, flow.dtype)
        return tensorflow_addons.image.dense_image_warp(image, flow)
