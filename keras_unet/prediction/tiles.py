"""Overlapping tiles: the probability of an image of any size, a row of tiles at a time.

The image is mirrored at its edges as the network's border does it, tiles begin at
multiples of what the poolings divide, and where they overlap their predictions are
blended by weights that sum to one. The arithmetic is TensorFlow's, so that exported
graphs are made of the same functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_unet.config import Config, UNetConfig
from keras_unet.data.resize import Strips, resize_rows
from keras_unet.model.layers import padded_size
from keras_unet.model.unet import receptive_radius
from keras_unet.types import Image, Tensor

BATCH_PIXELS = 2**18
"""That the network sees at a time: four tiles of 256×256."""


@dataclass(frozen=True)
class Tiling:
    """How one axis of an image of any size is cut into tiles.

    Sizes and starts may be numbers or tensors.

    Attributes:
        tile: pixels that the network takes.
        margin: of these, those on either side for which it predicts nothing.
        stride: from the start of a tile to that of the next.
        blind: outermost predictions at a neighbour's side that count for nothing.
        halvings: of the network, that of its stem included.
        padding: of the network.
    """

    tile: int
    margin: int
    stride: int
    blind: int
    halvings: int
    padding: str

    @property
    def predicted(self) -> int:
        """Pixels of a tile for which the network predicts."""
        return self.tile - 2 * self.margin

    def span(self, size: Tensor) -> Tensor:
        """Returns how many predictions the tiles make of an image of that size."""
        return self._padded(size) - 2 * self.margin

    def offset(self, size: Tensor) -> Tensor:
        """Returns where, from the first prediction on, the image begins."""
        return self._before(size) - self.margin

    def starts(self, size: Tensor) -> Tensor:
        """Returns where tiles begin, int32 (tiles,): the last ends with the border."""
        last = self._padded(size) - self.tile
        count = 1 + -(-last // self.stride)
        return tf.minimum(tf.range(count) * self.stride, last)

    def pixels(self, size: Tensor, start: Tensor) -> Tensor:
        """Returns which of the image's pixels a tile holds, int32 (..., tile)."""
        # Of NumPy 1, an int32 less a Python number is an int64.
        start = tf.cast(start - self._before(size), tf.int32)
        place = tf.expand_dims(start, -1) + tf.range(self.tile)
        period = tf.maximum(2 * (size - 1), 1)
        place = tf.math.floormod(place, period)
        return tf.minimum(place, period - place)

    def weights(self, size: Tensor) -> Tensor:
        """Returns the tiles' weights, float32 (tiles, predicted).

        At every pixel they sum to one.
        """
        starts = self.starts(size)
        place = starts[:, None] + tf.range(self.predicted)
        raw = self._raw_weights(starts, place)
        total = tf.scatter_nd(place[..., None], raw, [self.span(size)])
        return raw / tf.gather(total, place)

    def _raw_weights(self, starts: Tensor, place: Tensor) -> Tensor:
        if self.padding == "valid":
            # As in the paper: side by side.
            following = tf.concat([starts[1:], place[-1:, -1] + 1], 0)
            return tf.cast(place < following[:, None], tf.float32)
        ramp = self.predicted - self.stride - 2 * self.blind
        inside = np.arange(self.predicted, dtype=np.float32) + 0.5 - self.blind
        # Pixels' middles: without a ramp this is a step.
        rising = np.clip(inside / max(ramp, 0.5), 0, 1)
        # Nothing is faded at the edges of the image.
        left = tf.where(starts[:, None] == starts[0], 1.0, rising)
        right = tf.where(starts[:, None] == starts[-1], 1.0, rising[::-1])
        return left * right

    def _padded(self, size: Tensor) -> Tensor:
        return tf.maximum(self._least(size), self.tile)

    def _before(self, size: Tensor) -> Tensor:
        """Returns how many mirrored pixels precede the image."""
        # The paper's tiles leave all the rest behind, as if the image came as a whole;
        # others have it in their middle, away from the zeros around a tile.
        padded = self._least if self.padding == "valid" else self._padded
        return (padded(size) - size) // 2

    def _least(self, size: Tensor) -> Tensor:
        return padded_size(size, self.halvings, self.padding)


def tilings(config: Config) -> tuple[Tiling, Tiling]:
    """Returns how rows and columns are cut into the tiles of a run.

    Of a run on whole images it is one tile as large as these.
    """
    (height, width), overlap = config.data.network_size, config.data.tile_overlap
    if not config.data.tiles:
        one = Tiling(height, 0, height, 0, 0, "same")
        return one, replace(one, tile=width, stride=width)
    return _tiling(height, overlap, config.model), _tiling(width, overlap, config.model)


def _tiling(side: int, overlap: float, model: UNetConfig) -> Tiling:
    halvings, step = model.halvings, 2**model.halvings
    if model.padding == "valid":
        tile, margin = padded_size(side, halvings, "valid"), model.margin
        stride = (tile - 2 * margin) // step * step
        return Tiling(tile, margin, stride, 0, halvings, "valid")
    shared = min(round(overlap * side / step) * step, side - step)
    radius = receptive_radius(model)
    blind = radius if shared >= 2 * radius else 0
    return Tiling(side, 0, side - shared, blind, halvings, "same")


def tile_network(network: keras.Model) -> keras.Model:
    """Returns what of a trained network is called with tiles.

    With padding "valid" that is the paper's U, without the border that is mirrored.
    """
    names = {layer.name for layer in network.layers}
    border = network.get_layer("border") if "border" in names else None
    if border is None or border.padding == "same":
        return network
    return keras.Model(border.output, network.get_layer("logits").output)


class Tiler:
    """A function of tiles as one of images of any size.

    Attributes:
        rows: how images are cut along their height.
        columns: along their width.
        kept: number of classes of which probabilities are added up.
        band: adds what a row of tiles predicts, blended along the row, to sums, which
            lie column by column, (columns.span(w), rows.predicted, kept); given are its
            pixels, (rows.tile, w, c), and the weights of its rows, (rows.predicted,).
    """

    def __init__(
        self,
        predict: Callable[[Tensor], Tensor],
        classes: int,
        rows: Tiling,
        columns: Tiling,
    ) -> None:
        """Keeps the function, which is traced once for all sizes of images.

        Args:
            predict: from float32 tiles (b, rows.tile, columns.tile, c) to probability
                (b, rows.predicted, columns.predicted, classes).
            classes: of the probability; 1 means 2 as well.
            rows: how images are cut along their height.
            columns: along their width.
        """
        self.rows, self.columns, self._predict = rows, columns, predict
        # The background's probability is what the foreground's leaves.
        self.kept = classes if classes > 2 else 1
        self._batch = max(1, BATCH_PIXELS // (rows.tile * columns.tile))
        self.band = tf.function(self._band, reduce_retracing=True)

    def strips(
        self,
        image: Image,
        size: tuple[int, int] | None = None,
        foreground: bool = False,
    ) -> Strips:
        """Yields rows and the probability in them, (rows, w', classes), as of ``size``.

        Args:
            image: (h, w, c), of uint8.
            size: (h', w') at which the network sees it; by default its own.
            foreground: of two classes give the second's alone.
        """
        rows = RowsOfTiles(self, image, size or image.shape[:2])
        sums, done = rows.nothing(), 0
        for row in range(len(rows.starts)):
            until, sums, finished = rows.add(row, done, sums)
            if until > done:
                whole = finished if foreground else with_background(finished)
                yield slice(done, int(until)), np.asarray(whole)
                del whole
            done = int(until)
            # It is as large as what the next row of tiles needs.
            del finished

    def _band(self, rows: Tensor, rows_weights: Tensor, sums: Tensor) -> Tensor:
        width = tf.shape(rows)[1]
        starts, weights = self.columns.starts(width), self.columns.weights(width)
        count = tf.size(starts)

        def add(first: Tensor, sums: Tensor) -> tuple[Tensor, Tensor]:
            some = slice(first, tf.minimum(first + self._batch, count))
            pixels = self.columns.pixels(width, starts[some])
            found = self._predicted(rows, pixels) * rows_weights[:, None]
            found *= weights[some][:, :, None, None]
            place = starts[some][:, None] + tf.range(self.columns.predicted)
            flat = tf.reshape(found, (-1, self.rows.predicted, self.kept))
            place = tf.reshape(place, (-1, 1))
            return some.stop, tf.tensor_scatter_nd_add(sums, place, flat)

        _, sums = tf.while_loop(
            lambda first, _: first < count, add, (0, sums), parallel_iterations=1
        )
        return sums

    def _predicted(self, rows: Tensor, pixels: Tensor) -> Tensor:
        """Returns (tiles, columns.predicted, rows.predicted, classes kept)."""
        tiles = tf.cast(tf.gather(rows, pixels, axis=1), tf.float32)
        tiles = tf.transpose(tiles, (1, 0, 2, 3))
        tiles.set_shape((None, self.rows.tile, self.columns.tile, rows.shape[-1]))
        found = self._predict(tiles)[..., -self.kept :]
        return tf.transpose(found, (0, 2, 1, 3))


def with_background(foreground: Tensor) -> Tensor:
    """Returns all classes' probability where of two only the foreground's came."""
    if foreground.shape[-1] > 1:
        return foreground
    return tf.concat([1 - foreground, foreground], -1)


class RowsOfTiles:
    """The rows of tiles over one image, which are added up from the top down.

    Numbers and images may be tensors of a graph.

    Attributes:
        starts: where they begin, (rows of tiles,).
        size: (h', w') at which the network sees the image.
    """

    def __init__(self, tiler: Tiler, image: Image | Tensor, size: Any) -> None:
        """Lays tiles over the image.

        Args:
            tiler: the function of tiles.
            image: uint8 (h, w, c).
            size: (h', w') at which the network sees it.
        """
        axis, height = tiler.rows, size[0]
        self._tiler, self._image, self.size = tiler, image, size
        self.starts, self._weights = axis.starts(height), axis.weights(height)
        behind = self.starts[-1:] + axis.predicted
        self._ends = tf.concat([self.starts[1:], behind], 0)

    def nothing(self) -> Tensor:
        """Returns what sums are at first, as ``Tiler.band`` has them."""
        across, down = self._tiler.columns.span(self.size[1]), self._tiler.rows
        return tf.zeros((across, down.predicted, self._tiler.kept))

    def add(self, row: Tensor, done: Tensor, sums: Tensor) -> tuple[Tensor, ...]:
        """Adds what the tiles of a row predict.

        Args:
            row: its number.
            done: how many of the image's rows are finished.
            sums: of the rows from the tiles' start on, as ``Tiler.band`` has them.

        Returns:
            how many are finished then; the sums for the next row of tiles; and the
            rows that are newly finished, (rows, w', classes kept).
        """
        start, end = self.starts[row], self._ends[row]
        offset = self._tiler.rows.offset(self.size[0])
        pixels = pixels_of_row(self._tiler.rows, self._image, self.size, start)
        sums = self._tiler.band(pixels, self._weights[row], sums)
        until = tf.clip_by_value(end - offset, done, self.size[0])
        rows = slice(done + offset - start, until + offset - start)
        left = self._tiler.columns.offset(self.size[1])
        finished = sums[left : left + self.size[1], rows]
        moved = end - start
        sums = tf.pad(sums[:, moved:], [[0, 0], [0, moved], [0, 0]])
        return until, sums, tf.transpose(finished, (1, 0, 2))


def pixels_of_row(axis: Tiling, image: Any, size: Any, start: Tensor) -> Tensor:
    """Returns what a row of tiles sees, (tile, w', c).

    That is float32; of an array that is seen at its own size, uint8 as it is.

    Args:
        axis: how images are cut along their height.
        image: uint8 (h, w, c).
        size: (h', w') at which the network sees it.
        start: of the row of tiles.
    """
    pixels = axis.pixels(size[0], start)
    if isinstance(image, np.ndarray) and image.shape[:2] == tuple(size):
        return image[pixels]
    first, last = tf.reduce_min(pixels), tf.reduce_max(pixels) + 1
    return tf.gather(resize_rows(image, size, first, last), pixels - first)
