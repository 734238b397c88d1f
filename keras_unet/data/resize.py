"""The one resampling of images and masks that training, scoring and serving share."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

# Symbolic and eager tensors have no common public type on both stacks.
Tensor = Any


def resize_image(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns images (..., h, w, c) as float32 at ``size`` (height, width).

    Shrinking averages the area that a pixel covers, growing is bilinear; both take
    pixels as areas, so nothing moves. Values keep their range.
    """
    image = tf.convert_to_tensor(image)
    shape = tf.shape(image)
    batch = tf.reshape(image, tf.concat([[-1], shape[-3:]], 0))
    resized = _resize_batch(batch, size)
    result = tf.reshape(resized, tf.concat([shape[:-3], size, shape[-1:]], 0))
    result.set_shape(image.shape[:-3] + list(size) + image.shape[-1:])
    return result


def resize_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns masks (b, h, w, c) at ``size``, as ``nearest_pixels`` does."""
    rows = _nearest(tf.shape(mask)[-3], size[0])
    columns = _nearest(tf.shape(mask)[-2], size[1])
    return tf.gather(tf.gather(mask, rows, axis=-3), columns, axis=-2)


def _nearest(old: Tensor, new: int) -> Tensor:
    return ((2 * tf.range(new) + 1) * old) // (2 * new)


def _resize_batch(batch: Tensor, size: tuple[int, int]) -> Tensor:
    shape = tf.shape(batch)
    # Area shrinks each axis apart from the other; a growing axis is left for bilinear.
    shrunk = tf.minimum(shape[1:3], size)
    smaller = tf.reduce_any(shrunk < shape[1:3])
    batch = tf.cond(
        smaller,
        lambda: tf.image.resize(batch, shrunk, "area"),
        lambda: tf.cast(batch, tf.float32),
    )
    return tf.image.resize(batch, size, "bilinear")
