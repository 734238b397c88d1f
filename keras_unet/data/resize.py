"""The one resampling of images and masks that training, scoring and serving share."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

# Symbolic and eager tensors have no common public type on both stacks.
Tensor = Any


def resize_image(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns an image or images, ([b,] h, w, c), as float32 at ``size`` (h, w).

    Shrinking averages the area that a pixel covers, growing is bilinear; both take
    pixels as areas, so nothing moves. Values keep their range.
    """
    image = tf.convert_to_tensor(image)
    old = tf.shape(image)[-3:-1]
    resized = tf.cond(
        tf.reduce_any(old > size),
        # Each axis apart from the other: the second step is for one that grows.
        lambda: _to(_to(image, tf.minimum(old, size), "area"), size, "bilinear"),
        lambda: _to(image, size, "bilinear"),
    )
    resized.set_shape([*image.shape[:-3], *size, image.shape[-1]])
    return resized


def resize_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns masks (b, h, w, c) at ``size``, as ``nearest_pixels`` does."""
    rows = _nearest(tf.shape(mask)[-3], size[0])
    columns = _nearest(tf.shape(mask)[-2], size[1])
    return tf.gather(tf.gather(mask, rows, axis=-3), columns, axis=-2)


def _nearest(old: Tensor, new: int) -> Tensor:
    return ((2 * tf.range(new) + 1) * old) // (2 * new)


def _to(image: Tensor, size: Tensor, method: str) -> Tensor:
    # TensorFlow leaves a picture that has the size already as it is, whole numbers too.
    return tf.cast(tf.image.resize(image, size, method), tf.float32)
