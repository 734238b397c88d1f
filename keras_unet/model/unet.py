"""The U-Net of Ronneberger, Fischer and Brox (2015) as a Keras functional model.

Figure 1 of https://arxiv.org/abs/1505.04597 is ``unet_logits``: down the left side,
through the bottom, up the right side beside the skips. What follows the logits, the
one road to probability and class ids, is at the end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from keras_unet.config import UNetConfig
from keras_unet.model.layers import (
    CropLike,
    DoubleSize,
    FusedBatchNormalization,
    MirrorBorder,
    PlainGroupNormalization,
    StatelessDropout,
)
from keras_unet.types import Tensor


@contextlib.contextmanager
def policy_of_block() -> Iterator[None]:
    """Has Keras' precision policy be again, after the block, what it was before it."""
    before = keras.mixed_precision.global_policy()
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def convolve_twice(x: Tensor, filters: int, name: str, config: UNetConfig) -> Tensor:
    """Returns (b, h, w, filters): twice a 3×3 convolution, normalisation and ReLU.

    Without padding, each convolution takes two pixels off height and width.
    """
    for step in ("1", "2"):
        x = convolve(x, filters, f"{name}_conv{step}", config)
    return x


def convolve(
    x: Tensor, filters: int, name: str, config: UNetConfig, strides: int = 1
) -> Tensor:
    """Returns one 3×3 convolution with what follows it, named by its place."""
    x = layers.Conv2D(
        filters,
        3,
        strides=strides,
        padding=config.padding,
        use_bias=config.normalization != "batch",
        kernel_initializer="he_normal",
        name=name,
    )(x)
    return layers.ReLU(name=f"{name}_relu")(normalize(x, f"{name}_norm", config))


def normalize(x: Tensor, name: str, config: UNetConfig) -> Tensor:
    """Returns ``x`` normalised as the config says."""
    if config.normalization == "batch":
        return FusedBatchNormalization(name=name)(x)
    if config.normalization == "group":
        groups = max(g for g in (8, 4, 2, 1) if x.shape[-1] % g == 0)
        return PlainGroupNormalization(groups, name=name)(x)
    return x


def go_down(x: Tensor, name: str) -> Tensor:
    """Returns ``x`` at half the size: 2×2 max pooling."""
    return layers.MaxPooling2D(2, name=f"{name}_pool")(x)


def go_up(
    x: Tensor, skip: Tensor, filters: int, name: str, config: UNetConfig
) -> Tensor:
    """Returns ``x`` at twice the size beside the skip of that level."""
    if config.upsampling == "transposed":
        x = layers.Conv2DTranspose(
            filters,
            2,
            strides=2,
            kernel_initializer="he_normal",
            name=f"{name}_upconv",
        )(x)
    else:
        x = DoubleSize(name=f"{name}_resize")(x)
        x = layers.Conv2D(
            filters, 1, kernel_initializer="he_normal", name=f"{name}_upconv"
        )(x)
    if config.padding == "valid":
        skip = CropLike(name=f"{name}_crop")([skip, x])
    return layers.Concatenate(name=f"{name}_skip")([skip, x])


def unet_logits(image: Tensor, config: UNetConfig) -> Tensor:
    """Returns the logits (b, h, w, classes) of an image (b, h, w, channels) in 0..255.

    Height and width must be multiples of 2^``halvings``; with padding "valid" they must
    be such that every pooling meets an even size, and the logits are smaller.
    """
    widths = [config.filters * 2**level for level in range(config.depth)]
    # Around 0, so that the first kernel stays small: float16 exports depend on it.
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="centred")(image)
    skips = []
    if config.stem_stride == 2:
        x = convolve(x, config.filters, "stem", config, strides=2)

    for level, width in enumerate(widths):
        x = convolve_twice(x, width, f"down{level}", config)
        skips.append(x)
        x = go_down(x, f"down{level}")

    x = convolve_twice(x, 2 * widths[-1], "bottom", config)
    if config.dropout:
        x = StatelessDropout(config.dropout, name="bottom_dropout")(x)

    for level, width in reversed(list(enumerate(widths))):
        x = go_up(x, skips[level], width, f"up{level}", config)
        x = convolve_twice(x, width, f"up{level}", config)

    if config.stem_stride == 2 and config.upsampling == "transposed":
        head = layers.Conv2DTranspose(
            config.classes, 2, strides=2, dtype="float32", name="logits"
        )
        return head(x)
    logits = layers.Conv2D(config.classes, 1, dtype="float32", name="logits")(x)
    if config.stem_stride == 2:
        logits = DoubleSize(name="logits_resize", dtype="float32")(logits)
    return logits


def build_unet(config: UNetConfig) -> keras.Model:
    """Returns the network: images (b, h, w, channels) in 0..255 to float32 logits.

    With padding "same" the logits are (b, h, w, classes) for every h and w. With
    padding "valid" it is the paper's network to the layer, whose logits lack a border:
    572×572 becomes 388×388.
    """
    if config.padding == "same":
        return build_network(config)
    image = _input(config)
    return keras.Model(image, unet_logits(image, config), name="unet")


def build_network(config: UNetConfig) -> keras.Model:
    """Returns the network that is trained: logits at the image's size for every size.

    The image is mirrored at its edges (the paper's overlap-tile border with padding
    "valid") and the logits are cropped back.
    """
    image = _input(config)
    padded = MirrorBorder(config.halvings, config.padding, name="border")(image)
    logits = CropLike(name="logits_crop", dtype="float32")(
        [unet_logits(padded, config), image]
    )
    return keras.Model(image, logits, name="unet")


def _input(config: UNetConfig) -> Tensor:
    return keras.Input((None, None, config.channels), name="image")


def receptive_radius(model: UNetConfig) -> int:
    """Returns how many predictions at a tile's end are not those of a larger image.

    Tiles end where the cells of the poolings do, so this is less than the largest
    distance at which a pixel counts. Group normalisation, which looks at all, is left
    out.
    """
    cell = 2**model.halvings
    reach = 0
    for pixel in range(cell):
        first, last = _field(pixel, model)
        ends = [(-first, pixel), (last - cell + 1, cell - 1 - pixel)]
        for beyond, place in ends:
            reach = max(reach, (-(-beyond // cell) - 1) * cell + place + 1)
    return reach


def _field(pixel: int, model: UNetConfig) -> tuple[int, int]:
    """Returns the first and the last pixel on which the logits of one depend."""
    first = last = pixel
    soft = model.upsampling == "bilinear"
    if model.stem_stride == 2:
        first, last = (first - soft) // 2, (last + soft) // 2
    for _ in range(model.depth):
        first, last = (first - 2 - soft) // 2, (last + 2 + soft) // 2
    first, last = first - 2, last + 2
    for _ in range(model.depth):
        first, last = 2 * first - 2, 2 * last + 3
    if model.stem_stride == 2:
        first, last = 2 * first - 1, 2 * last + 2
    return first, last


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
