"""The U-Net of Ronneberger, Fischer and Brox (2015) as a Keras functional model.

Figure 1 of https://arxiv.org/abs/1505.04597 is ``unet_logits``: down the left side,
through the bottom, up the right side beside the skips.
"""

from __future__ import annotations

import keras
from keras import layers

from keras_unet.config import UNetConfig
from keras_unet.model.blocks import convolve, convolve_twice, drop, go_down, go_up
from keras_unet.model.border import CropLike, MirrorBorder
from keras_unet.types import Tensor


def unet_logits(image: Tensor, config: UNetConfig) -> Tensor:
    """Returns the logits (b, h, w, classes) of an image (b, h, w, channels) in 0..255.

    Height and width must be multiples of 2^depth; with padding "valid" they must be
    such that every pooling meets an even size, and the logits are smaller.
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
    x = drop(x, config.dropout, "bottom_dropout")

    for level, width in reversed(list(enumerate(widths))):
        x = go_up(x, skips[level], width, f"up{level}", config)
        x = convolve_twice(x, width, f"up{level}", config)

    logits = layers.Conv2D(config.classes, 1, dtype="float32", name="logits")(x)
    if config.stem_stride == 2:
        enlarge = layers.UpSampling2D(
            2, interpolation="bilinear", dtype="float32", name="logits_resize"
        )
        logits = enlarge(logits)
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
    halvings = config.depth + (config.stem_stride == 2)
    padded = MirrorBorder(halvings, config.padding, name="border")(image)
    logits = CropLike(name="logits_crop", dtype="float32")(
        [unet_logits(padded, config), image]
    )
    return keras.Model(image, logits, name="unet")


def _input(config: UNetConfig) -> Tensor:
    return keras.Input((None, None, config.channels), name="image")
