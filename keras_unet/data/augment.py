"""Random changes of training images, each decided by its own seed alone."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_unet.data.warp import (
    affine_sources,
    compiled,
    dense_image_warp,
    elastic_displacements,
    flow_to,
    fold_back,
    nearest,
)
from keras_unet.data_config import AugmentConfig
from keras_unet.types import Tensor


class _Draws(NamedTuple):
    """What chance gave each image: numbers in [-1, 1], and the grid's normal ones."""

    flip: Tensor
    turn: Tensor
    shift: Tensor
    colour: Tensor
    grid: Tensor


def augment(
    images: Tensor, masks: Tensor, seeds: Tensor, config: AugmentConfig
) -> tuple[Tensor, Tensor]:
    """Returns images (b, h, w, c) and masks (b, h, w, 1), changed at random.

    All that moves pixels is one resampling, with one field for image and mask. In
    between images are float32; what comes out has 8 bits, as an image from a file.

    Args:
        images: uint8; height and width are known beforehand.
        masks: class ids; no new ones appear.
        seeds: int32 (b, 2), not negative.
        config: how far; what has amplitude 0 is left out, to the bit.
    """
    draws = _draw(seeds)
    if config.moves_pixels:
        flow = _flow(tuple(images.shape[1:3]), draws, config)
        images, masks = dense_image_warp(images, flow), nearest(masks, flow)
    elif config.flip != "none":
        images, masks = _mirror(images, masks, draws.flip, config)
    if has_colour(config):
        # Not under XLA, whose normal numbers are others than TensorFlow's.
        grain = noise(seeds, images.shape[1:]) if config.noise else tf.constant(0.0)
        images = _recolour(images, draws.colour, grain, config)
    return images if images.dtype == tf.uint8 else _to_8_bits(images), masks


def _draw(seeds: Tensor) -> _Draws:
    # Not under XLA, whose normal numbers are others than TensorFlow's.
    uniform = tf.map_fn(_uniform, seeds, fn_output_signature=tf.float32)
    # Seeds are not negative, so their complements are streams of their own.
    grid = tf.map_fn(_normal_grid, ~seeds, fn_output_signature=tf.float32)
    flip, turn, shift, colours = tf.split(uniform, [2, 3, 2, 3], axis=1)
    return _Draws(flip, turn, shift, colours, grid)


def _uniform(seed: Tensor) -> Tensor:
    return tf.random.stateless_uniform((10,), seed, -1.0, 1.0, alg="philox")


def _normal_grid(seed: Tensor) -> Tensor:
    return tf.random.stateless_normal((3, 3, 2), seed, alg="philox")


# Each step is compiled by itself: in one, XLA repeats what several others use.
@compiled
def _flow(size: tuple[int, int], draws: _Draws, config: AugmentConfig) -> Tensor:
    """Returns how far from its place each pixel is read, (b, h, w, 2)."""
    flip = tf.where(_is_mirrored(draws.flip, config), -1.0, 1.0)
    sources = affine_sources(size, flip, draws.turn, draws.shift, config)
    if config.elastic_pixels:
        nodes = draws.grid * config.elastic_pixels
        sources = sources + elastic_displacements(size, nodes)
    return flow_to(fold_back(sources))


@compiled
def _mirror(
    images: Tensor, masks: Tensor, flip: Tensor, config: AugmentConfig
) -> tuple[Tensor, Tensor]:
    mirrored = _is_mirrored(flip, config)[:, None, None, None, :]
    for axis in (1, 2):
        images, masks = (
            tf.where(mirrored[..., axis - 1], tf.reverse(x, [axis]), x)
            for x in (images, masks)
        )
    return images, masks


def _is_mirrored(flip: Tensor, config: AugmentConfig) -> Tensor:
    """Returns whether rows and columns change their order, (b, 2)."""
    allowed = [config.flip in (name, "both") for name in ("vertical", "horizontal")]
    return (flip < 0) & tf.constant(allowed)


@compiled
def _recolour(
    images: Tensor, amounts: Tensor, grain: Tensor, config: AugmentConfig
) -> Tensor:
    images = tf.cast(images, tf.float32)
    return _to_8_bits(recolour(images, amounts, grain, config))


@compiled
def _to_8_bits(images: Tensor) -> Tensor:
    """Returns images of 0..255 rounded to uint8."""
    return tf.cast(images + 0.5, tf.uint8)


_YIQ = np.array(
    [[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]]
)


def has_colour(config: AugmentConfig) -> bool:
    """Returns whether ``recolour`` has anything to do."""
    return any((config.brightness, config.contrast, config.hue, config.noise))


def recolour(
    images: Tensor, amounts: Tensor, grain: Tensor, config: AugmentConfig
) -> Tensor:
    """Returns images (b, h, w, c) with other colours, within 0..255.

    Args:
        images: float32, 0..255.
        amounts: numbers in [-1, 1] for brightness, contrast and hue, (b, 3).
        grain: what ``noise`` returns for them, or 0 without it.
        config: what the amounts are shares of.
    """
    brightness, contrast, hue = tf.unstack(amounts[:, None, None, None, :], axis=-1)
    if config.hue and images.shape[-1] == 3:
        images = turn_hue(images, hue * (2 * math.pi * config.hue))
    if config.contrast:
        mean = _mean_colour(images)
        images = mean + (images - mean) * (1 + contrast * config.contrast)
    if config.brightness:
        images = images + brightness * (255 * config.brightness)
    if config.noise:
        images = images + grain * (255 * config.noise)
    return tf.clip_by_value(images, 0.0, 255.0)


def _mean_colour(images: Tensor) -> Tensor:
    """Returns the mean of each channel, (b, 1, 1, c)."""
    height, width, channels = images.shape[1:]
    rows = tf.reshape(images, (-1, height, width * channels))
    # As a product XLA takes the sum over the rows seven times as fast.
    columns = tf.linalg.matmul(tf.ones((tf.shape(rows)[0], 1, height)), rows) / height
    return tf.reduce_mean(tf.reshape(columns, (-1, 1, width, channels)), 2, True)


def turn_hue(images: Tensor, angle: Tensor) -> Tensor:
    """Returns images with the colours turned around grey in YIQ; brightness stays.

    Args:
        images: (b, h, w, 3).
        angle: radians, (b, 1, 1, 1).
    """
    grey, same, across = (
        np.float32(np.linalg.inv(_YIQ) @ np.array(part) @ _YIQ)
        for part in (
            np.diag([1, 0, 0]),
            np.diag([0, 1, 1]),
            [[0, 0, 0], [0, 0, -1], [0, 1, 0]],
        )
    )
    angle = angle[..., None]
    turned = grey + tf.cos(angle) * same + tf.sin(angle) * across
    # Channel by channel: XLA's matrix product of 3×3 is several times slower.
    return sum(
        images[..., channel, None] * turned[..., channel] for channel in range(3)
    )


def noise(seeds: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Returns normal noise (b, *shape) of mean 0 and standard deviation 1."""

    def normal(seed: Tensor) -> Tensor:
        return tf.random.stateless_normal(shape, seed, alg="philox")

    # Seeds are not negative: with the first one's complement, a stream of its own.
    streams = tf.stack([~seeds[:, 0], seeds[:, 1]], axis=-1)
    return tf.map_fn(normal, streams, fn_output_signature=tf.float32)
