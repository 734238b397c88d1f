"""Where each pixel of a moved, turned or bent image comes from, and reading it there.

Elastic deformation as in Ronneberger et al., https://arxiv.org/abs/1505.04597, 3.1:
random displacements on a coarse 3×3 grid, between its nodes bicubic.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_unet.console import held_back_stderr
from keras_unet.data_config import AugmentConfig
from keras_unet.types import Tensor

_NO_COMPILER = (
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.UnimplementedError,
)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns ``function`` as a graph, compiled by XLA where there is one.

    Not every build of TensorFlow can compile for the processor, which is where images
    are read and changed. There the graph runs as it is: slower, equal up to rounding.
    """
    with_xla = tf.function(function, jit_compile=True, autograph=False)
    without = tf.function(function, autograph=False)

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        return (with_xla if has_xla() else without)(*arguments)

    return call


@functools.cache
def has_xla() -> bool:
    """Returns whether this TensorFlow can compile for the processor."""
    # Also when it is first asked while a graph is being made. The first that XLA
    # compiles is announced by TensorFlow 2.15, whatever its level of logging.
    with held_back_stderr(), tf.init_scope(), tf.device("CPU"):
        try:
            tf.function(lambda x: x + 1, jit_compile=True)(tf.constant(1))
        except _NO_COMPILER:
            return False
    return True


def warp_plain(image: Tensor, flow: Tensor) -> Tensor:
    """Returns ``image`` read at ``position - flow``, clamped at the border, as floats.

    Args:
        image: tensor of any type, (b, h, w, c).
        flow: float tensor (b, h, w, 2), displacement in pixels as (row, column).

    Same contract as ``tensorflow_addons.image.dense_image_warp`` 0.23, and the same
    steps of arithmetic.
    """
    # Two compiled parts: as one, XLA works out each position anew for each channel.
    return _blend(image, *_places(flow))


@compiled
def _places(flow: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the (row, column) of upper left neighbours, and how far each is left."""
    height, width = tf.shape(flow)[1], tf.shape(flow)[2]
    rows, columns = tf.meshgrid(tf.range(height), tf.range(width), indexing="ij")
    position = tf.cast(tf.stack([rows, columns], -1), flow.dtype) - flow
    last = tf.cast(tf.maximum(tf.stack([height, width]) - 2, 0), flow.dtype)
    corner = tf.minimum(tf.maximum(0.0, tf.floor(position)), last)
    share = tf.minimum(tf.maximum(0.0, position - corner), 1.0)
    return tf.cast(corner, tf.int32), share[..., :1], share[..., 1:]


@compiled
def _blend(image: Tensor, corner: Tensor, down: Tensor, across: Tensor) -> Tensor:
    shape = tf.shape(image)
    height, width = shape[1], shape[2]
    pixels = tf.reshape(image, (shape[0], height * width, shape[3]))
    first = corner[..., 0] * width + corner[..., 1]
    # An image one pixel wide or high has no second neighbour.
    right, below = tf.minimum(1, width - 1), tf.minimum(1, height - 1) * width

    def neighbour(offset: Tensor) -> Tensor:
        return tf.cast(tf.gather(pixels, first + offset, batch_dims=1), down.dtype)

    left_above, left_below = neighbour(0), neighbour(below)
    above = across * (neighbour(right) - left_above) + left_above
    under = across * (neighbour(below + right) - left_below) + left_below
    return down * (under - above) + above


if importlib.util.find_spec("tensorflow_addons") is None:
    dense_image_warp = warp_plain
else:
    with warnings.catch_warnings():
        # It says at every import that its development has ended.
        warnings.simplefilter("ignore", UserWarning)
        import tensorflow_addons

    @compiled
    def dense_image_warp(image: Tensor, flow: Tensor) -> Tensor:
        """Returns what ``warp_plain`` returns."""
        image = tf.cast(image, flow.dtype)
        return tensorflow_addons.image.dense_image_warp(image, flow)


def affine_sources(
    size: tuple[int, int],
    flip: Tensor,
    turn: Tensor,
    shift: Tensor,
    config: AugmentConfig,
) -> Tensor:
    """Returns positions (b, h, w, 2), as (row, column), inside the image or not.

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
    """Returns what leads from a changed image back to the original, (b, 2, 2)."""
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
    """Returns positions (b, h, w, 2) mirrored at the borders into the image."""
    last = np.array(sources.shape[1:3], np.float32) - 1
    period = np.maximum(2 * last, 1)
    return last - tf.abs(last - (sources - tf.floor(sources / period) * period))


def flow_to(sources: Tensor) -> Tensor:
    """Returns each position's distance (b, h, w, 2) from where it is read."""
    rows, columns = (tf.range(side, dtype=tf.float32) for side in sources.shape[1:3])
    return tf.stack(tf.meshgrid(rows, columns, indexing="ij"), -1) - sources


@compiled
def nearest(masks: Tensor, flow: Tensor) -> Tensor:
    """Returns masks (b, h, w, c) read at the pixels nearest to ``position - flow``."""
    height, width, channels = masks.shape[1:]
    rows = tf.range(height, dtype=tf.float32)[:, None] - flow[..., 0]
    columns = tf.range(width, dtype=tf.float32) - flow[..., 1]
    row, column = (tf.cast(tf.floor(x + 0.5), tf.int32) for x in (rows, columns))
    flat = tf.reshape(masks, (-1, height * width, channels))
    return tf.gather(flat, row * width + column, batch_dims=1)
