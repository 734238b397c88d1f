"""The layers that Keras lacks; their ``call`` may use TensorFlow.

Among them is the border that the paper mirrors at an image's edges.
"""

from __future__ import annotations

import random
from typing import Any

import tensorflow as tf
from keras import layers, saving

from keras_unet.types import Tensor

register = saving.register_keras_serializable("keras_unet")


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
        # Of no negative number: converters to ONNX round those towards zero.
        place = tf.abs(tf.range(-before, size + after)) % period
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
        return (size + step - 1) // step * step
    # Two convolutions take 4 pixels off each level, twice below the first pooling.
    trim = 4 * (step - 1)
    bottom = (size + trim + step - 1) // step + 4
    return step * bottom + trim


@register
class DoubleSize(layers.Layer):
    """Bilinear growth to twice the size.

    Keras's ``UpSampling2D`` (3.15) takes no images whose size a graph does not know.
    """

    def call(self, x: Tensor) -> Tensor:
        """Returns (b, 2h, 2w, c), in the type that came."""
        known = None not in x.shape[1:3]
        size = x.shape[1:3] if known else tf.shape(x)[1:3]
        size = [2 * size[0], 2 * size[1]]
        return tf.cast(tf.image.resize(x, size), x.dtype)

    def compute_output_shape(self, shape: Any) -> Any:
        """Returns it, of sides that may be unknown."""
        batch, *sides, channels = shape
        return (batch, *(side and 2 * side for side in sides), channels)


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


@register
class FusedBatchNormalization(layers.BatchNormalization):
    """Batch normalisation in one kernel, its statistics in float32.

    Keras 3 composes it of many operations on TensorFlow (3.15), which costs a sixth of
    a training step on a CPU. Over several replicas the moments must be averaged; that
    takes Keras's own form.
    """

    def __init__(self, momentum: float = 0.9, **options: Any) -> None:
        """Takes the arguments of ``keras.layers.BatchNormalization``."""
        options["synchronized"] = True
        super().__init__(momentum=momentum, **options)

    def call(
        self, inputs: Tensor, training: bool | None = None, mask: Any = None
    ) -> Tensor:
        """Returns the normalised (b, h, w, c), in the type that came."""
        if training and tf.distribute.get_strategy().num_replicas_in_sync > 1:
            return super().call(inputs, training=training, mask=mask)
        scale, offset = self.gamma, self.beta
        mean, variance = self.moving_mean, self.moving_variance
        normalise = tf.compat.v1.nn.fused_batch_norm
        if not training:
            return normalise(
                inputs,
                *map(tf.convert_to_tensor, (scale, offset, mean, variance)),
                epsilon=self.epsilon,
                is_training=False,
            )[0]
        outputs, batch_mean, batch_variance = normalise(
            inputs,
            *map(tf.convert_to_tensor, (scale, offset)),
            epsilon=self.epsilon,
        )
        # The kernel's variance is that of a sample, Keras's that of the batch.
        count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
        batch_variance *= (count - 1.0) / count
        for moving, new in [(mean, batch_mean), (variance, batch_variance)]:
            moving.assign(moving * self.momentum + new * (1.0 - self.momentum))
        return outputs


@register
class PlainGroupNormalization(layers.GroupNormalization):
    """Group normalisation in tensors of four axes, which phones' GPUs ask for.

    Keras's own has five. Statistics are float32.
    """

    def call(self, inputs: Tensor) -> Tensor:
        """Returns the normalised (b, h, w, c), in the type that came."""
        x = tf.cast(inputs, tf.float32)
        x -= self._mean(x)
        scale = tf.math.rsqrt(self._mean(x * x) + self.epsilon)
        gamma, beta = (
            tf.cast(tf.convert_to_tensor(weight), tf.float32)
            for weight in (self.gamma, self.beta)
        )
        return tf.cast(x * scale * gamma + beta, inputs.dtype)

    def _mean(self, x: Tensor) -> Tensor:
        """Returns the mean of each channel's group in each image, (b, 1, 1, c)."""
        channels, each = x.shape[-1], x.shape[-1] // self.groups
        share = tf.reduce_mean(x, [1, 2], keepdims=True)
        grouped = tf.reshape(share, (-1, 1, self.groups, each))
        mean = tf.reduce_mean(grouped, -1, keepdims=True)
        return tf.reshape(mean * tf.ones((each,)), (-1, 1, 1, channels))


@register
class StatelessDropout(layers.Layer):
    """Dropout whose stream is a function of a seed and a count of its calls.

    Keras's own stream is in no checkpoint, so a resumed run would drop other features.

    Attributes:
        calls: number of training steps so far; belongs into a checkpoint.
    """

    def __init__(self, rate: float, seed: int | None = None, **options: Any) -> None:
        """Drops a share ``rate``; without a seed one comes from Python's ``random``."""
        super().__init__(**options)
        self.rate = rate
        self.seed = random.randrange(2**31) if seed is None else seed
        self._counter = _Counter()

    @property
    def calls(self) -> tf.Variable:
        """The int64 variable that counts the training steps."""
        return self._counter.variable

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Returns ``inputs``, in training with features dropped and the rest raised."""
        if not training:
            return inputs
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        step = tf.cast(self.calls.assign_add(1), tf.int64)
        seed = tf.stack([self.seed + tf.cast(replica, tf.int64) * 1_000_003, step])
        return tf.nn.experimental.stateless_dropout(
            inputs, self.rate, seed=seed, rng_alg="philox"
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of ``__init__``."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


class _Counter:
    """Holds a variable out of Keras's sight: it is no parameter of the network."""

    def __init__(self) -> None:
        self.variable = tf.Variable(
            0,
            dtype=tf.int64,
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
