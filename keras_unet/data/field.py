"""Where each pixel of a moved, turned or bent picture comes from.

Elastic deformation as in Ronneberger et al., https://arxiv.org/abs/1505.04597, 3.1:
random displacements on a coarse 3×3 grid, between its nodes bicubic.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_unet.config import AugmentConfig

# Symbolic tensors have no common public type on both stacks.
Tensor = Any


def has_field(config: AugmentConfig) -> bool:
    """Returns whether pictures are resampled, and not just mirrored or recoloured."""
    return any(
        (
            config.rotation_degrees,
            config.scale,
            config.shear_degrees,
            config.translation,
            config.elastic_pixels,
        )
    )


def affine_sources(
    size: tuple[int, int],
    flip: Tensor,
    turn: Tensor,
    shift: Tensor,
    config: AugmentConfig,
) -> Tensor:
    """Returns positions (b, h, w, 2), as (row, column), inside the picture or not.

    Args:
        size: height and width.
        flip: 1 where rows and columns keep their order, -1 where not, (b, 2).
        turn: numbers in [-1, 1] for rotation, scale and shear, (b, 3).
        shift: numbers in [-1, 1] for the translation, (b, 2).
        config: what they are shares of.
    """
    height, width = size
    centre = np.array([(height - 1) / 2, (width - 1) / 2], np.float32)
    rows = tf.range(height, dtype=tf.float32)[None, :, None, None] - centre[0]
    columns = tf.range(width, dtype=tf.float32)[None, None, :, None] - centre[1]
    matrix = _matrix(turn, config) * flip[:, :, None]
    offset = centre - shift * config.translation * np.array(size, np.float32)
    per_row, per_column = (matrix[:, None, None, :, axis] for axis in (0, 1))
    return rows * per_row + columns * per_column + offset[:, None, None, :]


def _matrix(turn: Tensor, config: AugmentConfig) -> Tensor:
    """Returns what leads from a changed picture back to the original, (b, 2, 2)."""
    angle = turn[:, 0] * math.radians(config.rotation_degrees)
    zoom = 1.0 + turn[:, 1] * config.scale
    slant = tf.tan(turn[:, 2] * math.radians(config.shear_degrees))
    cos, sin = tf.cos(angle) / zoom, tf.sin(angle) / zoom
    rows = tf.stack([cos - sin * slant, -sin], -1)
    columns = tf.stack([sin + cos * slant, cos], -1)
    return tf.stack([rows, columns], 1)


def elastic_displacements(size: tuple[int, int], nodes: Tensor) -> Tensor:
    """Returns displacements (b, h, w, 2) from those of the nodes (b, 3, 3, 2)."""
    down, across = (cubic_shares(side) for side in size)
    return tf.einsum("hi,bijk,wj->bhwk", down, nodes, across)


def cubic_shares(side: int) -> npt.NDArray[np.float32]:
    """Returns each node's share in the displacement of each pixel, (side, 3).

    Keys' cubic convolution (a = -1/2), nodes in both corners and half way, the outer
    ones repeated beyond the border.
    """
    place = np.linspace(0.0, 2.0, side)
    shares = np.zeros((side, 3))
    for node in range(-1, 4):
        x = np.abs(place - node)
        near = 1.5 * x**3 - 2.5 * x**2 + 1
        far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        shares[:, min(max(node, 0), 2)] += np.where(x < 1, near, far * (x < 2))
    return shares.astype(np.float32)


def fold_back(sources: Tensor) -> Tensor:
    """Returns positions (b, h, w, 2) mirrored at the borders into the picture."""
    last = np.array(sources.shape[1:3], np.float32) - 1
    period = np.maximum(2 * last, 1)
    return last - tf.abs(last - (sources - tf.floor(sources / period) * period))


def flow_to(sources: Tensor) -> Tensor:
    """Returns each position's distance (b, h, w, 2) from where it is read."""
    rows, columns = (tf.range(side, dtype=tf.float32) for side in sources.shape[1:3])
    return tf.stack(tf.meshgrid(rows, columns, indexing="ij"), -1) - sources


def nearest(masks: Tensor, flow: Tensor) -> Tensor:
    """Returns masks (b, h, w, c) read at the pixels nearest to ``position - flow``."""
    height, width, channels = masks.shape[1:]
    rows = tf.range(height, dtype=tf.float32)[:, None] - flow[..., 0]
    columns = tf.range(width, dtype=tf.float32) - flow[..., 1]
    row, column = (tf.cast(tf.floor(x + 0.5), tf.int32) for x in (rows, columns))
    flat = tf.reshape(masks, (-1, height * width, channels))
    return tf.gather(flat, row * width + column, batch_dims=1)
