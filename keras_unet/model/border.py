"""The border that the paper mirrors at an image's edges, and cropping it off again."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from keras import layers

from keras_unet.model.layers import register
from keras_unet.types import Tensor


@register
class MirrorBorder(layers.Layer):
    """Mirrors an image at its edges so far that the U's output covers all of it.

    With padding "same" the sides become multiples of 2^depth; with "valid" the border
    is the paper's overlap-tile margin (92 pixels at depth 4).

    Args:
        depth: number of halvings, that of the stem included.
        padding: that of the U.
    """

    def __init__(self, depth: int, padding: str, **options: Any) -> None:
        """Keeps the numbers."""
        super().__init__(**options)
        self.depth, self.padding = depth, padding

    def call(self, image: Tensor) -> Tensor:
        """Returns (b, h + border, w + border, c)."""
        for axis in (1, 2):
            image = self._mirror(image, axis)
        return image

    def _mirror(self, image: Tensor, axis: int) -> Tensor:
        size = image.shape[axis]
        known = size is not None
        size = size if known else tf.shape(image)[axis]
        border = padded_size(size, self.depth, self.padding) - size
        if known and border == 0:
            return image
        before, after = border // 2, border - border // 2
        if known and size > 1:
            return _mirror_in_turns(image, axis, before, after)
        # A triangle wave reads mirrored pixels however far the border goes.
        period = tf.maximum(2 * (size - 1), 1)
        place = tf.math.floormod(tf.range(-before, size + after), period)
        return tf.gather(image, tf.minimum(place, period - place), axis=axis)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of ``__init__``."""
        return {**super().get_config(), "depth": self.depth, "padding": self.padding}


def _mirror_in_turns(image: Tensor, axis: int, before: int, after: int) -> Tensor:
    """Returns ``image`` mirrored; a border beyond its size takes several turns.

    Phones know this operator, other than the gathering of pixels.
    """
    while before or after:
        most = image.shape[axis] - 1
        now = [min(before, most), min(after, most)]
        pads = [now if a == axis else [0, 0] for a in range(4)]
        image = tf.pad(image, pads, "REFLECT")
        before, after = before - now[0], after - now[1]
    return image


def padded_size(size: Any, depth: int, padding: str) -> Any:
    """Returns the least side that the U takes and whose output covers ``size``."""
    step = 2**depth
    if padding == "same":
        return -(-size // step) * step
    # Two convolutions take 4 pixels off each level, twice below the first pooling.
    trim = 4 * (step - 1)
    bottom = -(-(size + trim) // step) + 4
    return step * bottom + trim


@register
class CropLike(layers.Layer):
    """Crops the middle of its first input to the size of its second."""

    def call(self, inputs: list[Tensor]) -> Tensor:
        """Returns the middle (b, h of the second, w of the second, c of the first)."""
        outer, inner = inputs
        slices = [slice(None)] + [_middle(outer, inner, axis) for axis in (1, 2)]
        return outer if slices == [slice(None)] * 3 else outer[tuple(slices)]


def _middle(outer: Tensor, inner: Tensor, axis: int) -> slice:
    large, small = outer.shape[axis], inner.shape[axis]
    if large is not None and large == small:
        return slice(None)
    if large is None or small is None:
        large, small = tf.shape(outer)[axis], tf.shape(inner)[axis]
    start = (large - small) // 2
    return slice(start, start + small)
