"""The bricks of the U: convolutions, the way down, the way up.

Source: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image
Segmentation", 2015, https://arxiv.org/abs/1505.04597
"""

from __future__ import annotations

from keras import layers

from keras_unet.config import UNetConfig
from keras_unet.model.border import CropLike
from keras_unet.model.layers import (
    FusedBatchNormalization,
    PlainGroupNormalization,
    StatelessDropout,
)
from keras_unet.types import Tensor


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
        x = layers.UpSampling2D(2, interpolation="bilinear", name=f"{name}_resize")(x)
        x = layers.Conv2D(
            filters, 1, kernel_initializer="he_normal", name=f"{name}_upconv"
        )(x)
    if config.padding == "valid":
        skip = CropLike(name=f"{name}_crop")([skip, x])
    return layers.Concatenate(name=f"{name}_skip")([skip, x])


def drop(x: Tensor, rate: float, name: str) -> Tensor:
    """Returns ``x`` with a share of its features dropped while training."""
    return StatelessDropout(rate, name=name)(x) if rate else x
