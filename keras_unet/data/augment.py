"""Random changes of training pictures, each decided by its own seed alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from keras_unet.config import AugmentConfig
from keras_unet.data import colour, field
from keras_unet.data.compiled import compiled
from keras_unet.data.warp import dense_image_warp

# Symbolic tensors have no common public type on both stacks.
Tensor = Any


class _Draws(NamedTuple):
    """What chance gave each picture: numbers in [-1, 1], and the grid's normal ones."""

    flip: Tensor
    turn: Tensor
    shift: Tensor
    colour: Tensor
    grid: Tensor
    seeds: Tensor


def augment(
    images: Tensor, masks: Tensor, seeds: Tensor, config: AugmentConfig
) -> tuple[Tensor, Tensor]:
    """Returns images (b, h, w, c) and masks (b, h, w, 1), changed at random.

    All that moves pixels is one resampling, with one field for image and mask. In
    between images are float32; what comes out has 8 bits, as a picture from a file.

    Args:
        images: uint8; height and width are known beforehand.
        masks: class ids; no new ones appear.
        seeds: int32 (b, 2), not negative.
        config: how far; what has amplitude 0 is left out, to the bit.
    """
    draws = _draw(seeds)
    if field.has_field(config):
        flow = _flow(tuple(images.shape[1:3]), draws, config)
        images, masks = dense_image_warp(images, flow), _nearest(masks, flow)
    elif config.flip != "none":
        images, masks = _mirror(images, masks, draws.flip, config)
    if colour.has_colour(config):
        images = _recolour(images, draws, config)
    return images if images.dtype == tf.uint8 else _to_8_bits(images), masks


def _draw(seeds: Tensor) -> _Draws:
    # Not under XLA, whose normal numbers are others than TensorFlow's.
    uniform = tf.map_fn(_uniform, seeds, fn_output_signature=tf.float32)
    # Seeds are not negative, so their complements are streams of their own.
    grid = tf.map_fn(_normal_grid, ~seeds, fn_output_signature=tf.float32)
    flip, turn, shift, colours = tf.split(uniform, [2, 3, 2, 3], axis=1)
    return _Draws(flip, turn, shift, colours, grid, seeds)


def _uniform(seed: Tensor) -> Tensor:
    return tf.random.stateless_uniform((10,), seed, -1.0, 1.0, alg="philox")


def _normal_grid(seed: Tensor) -> Tensor:
    return tf.random.stateless_normal((3, 3, 2), seed, alg="philox")


# Each step is compiled by itself: in one, XLA repeats what several others use.
@compiled
def _flow(size: tuple[int, int], draws: _Draws, config: AugmentConfig) -> Tensor:
    """Returns how far from its place each pixel is read, (b, h, w, 2)."""
    flip = tf.where(_is_mirrored(draws.flip, config), -1.0, 1.0)
    sources = field.affine_sources(size, flip, draws.turn, draws.shift, config)
    if config.elastic_pixels:
        nodes = draws.grid * config.elastic_pixels
        sources = sources + field.elastic_displacements(size, nodes)
    return field.flow_to(field.fold_back(sources))


@compiled
def _nearest(masks: Tensor, flow: Tensor) -> Tensor:
    return field.nearest(masks, flow)


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
def _recolour(images: Tensor, draws: _Draws, config: AugmentConfig) -> Tensor:
    images = tf.cast(images, tf.float32)
    changed = colour.recolour(images, draws.colour, draws.seeds, config)
    return _to_8_bits(changed)


@compiled
def _to_8_bits(images: Tensor) -> Tensor:
    """Returns images of 0..255 rounded to uint8."""
    return tf.cast(images + 0.5, tf.uint8)
