"""Overlapping tiles: the probability of an image of any size, a row of tiles at a time.

The image is mirrored at its edges as the network's border does it, tiles begin at
multiples of what the poolings divide, and where they overlap their predictions are
blended by weights that sum to one. The arithmetic is TensorFlow's, so that exported
graphs are made of the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_unet.config import Config, UNetConfig
from keras_unet.data.resize import resize_rows
from keras_unet.model.layers import padded_size
from keras_unet.types import Image, Probability, Tensor

Strips = Iterator[tuple[slice, Probability]]
"""Rows of an image from the top down, and the probability in them, (rows, w, c)."""

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
        total = tf.scatter_nd(
            place[..., None], raw, [self._padded(size) - 2 * self.margin]
        )
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
    """Returns how rows and columns are cut into the tiles of a run."""
    height, width = config.data.network_size
    overlap = config.data.tile_overlap
    return _tiling(height, overlap, config.model), _tiling(width, overlap, config.model)


def _tiling(side: int, overlap: float, model: UNetConfig) -> Tiling:
    halvings = model.depth + (model.stem_stride == 2)
    step = 2**halvings
    if model.padding == "valid":
        tile, margin = padded_size(side, halvings, "valid"), 6 * step - 4
        stride = (tile - 2 * margin) // step * step
        return Tiling(tile, margin, stride, 0, halvings, "valid")
    shared = min(round(overlap * side / step) * step, side - step)
    radius = receptive_radius(model)
    blind = radius if shared >= 2 * radius else 0
    return Tiling(side, 0, side - shared, blind, halvings, "same")


def receptive_radius(model: UNetConfig) -> int:
    """Returns how many predictions at a tile's end are not those of a larger image.

    Tiles end where the cells of the poolings do, so this is less than the largest
    distance at which a pixel counts. Group normalisation, which looks at all, is left
    out.
    """
    cell = 2 ** (model.depth + (model.stem_stride == 2))
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
    if model.stem_stride == 2:
        first, last = (first - 1) // 2, (last + 1) // 2
    soft = model.upsampling == "bilinear"
    for _ in range(model.depth):
        first, last = (first - 2 - soft) // 2, (last + 2 + soft) // 2
    first, last = first - 2, last + 2
    for _ in range(model.depth):
        first, last = 2 * first - 2, 2 * last + 3
    if model.stem_stride == 2:
        first, last = 2 * first - 1, 2 * last + 2
    return first, last


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
        self._kept = classes if classes > 2 else 1
        self._batch = max(1, BATCH_PIXELS // (rows.tile * columns.tile))
        self._band = tf.function(self.band, reduce_retracing=True)

    def strips(self, image: Image, size: tuple[int, int] | None = None) -> Strips:
        """Yields rows and the probability in them, (rows, w', classes), as of ``size``.

        Args:
            image: (h, w, c), of uint8.
            size: (h', w') at which the network sees it; by default its own.
        """
        size = size or image.shape[:2]
        height = size[0]
        starts, weights = (
            np.asarray(of(height)) for of in (self.rows.starts, self.rows.weights)
        )
        ends = [*starts[1:], starts[-1] + self.rows.predicted]
        offset, done = int(self.rows.offset(height)), 0
        sums: npt.NDArray[np.float32] = np.zeros(
            (self.rows.predicted, 1, 1), np.float32
        )
        for start, end, weight in zip(starts, ends, weights, strict=True):
            pixels = np.asarray(self.rows.pixels(height, start))
            first, last = pixels.min(), pixels.max() + 1
            seen = resize_rows(image, size, first, last)
            band = self._band(tf.gather(seen, pixels - first)).numpy()
            sums = sums + band * weight[:, None, None]
            until = min(int(end) - offset, height)
            if until > done:
                finished = sums[done + offset - start : until + offset - start]
                yield slice(done, until), with_background(finished)
                done = until
            moved = end - start
            sums = np.pad(sums[moved:], ((0, moved), (0, 0), (0, 0)))

    def band(self, rows: Tensor) -> Tensor:
        """Returns what the tiles of one row predict, blended along the row.

        That is float32 (rows.predicted, w, classes), or of two classes the second
        alone.

        Args:
            rows: those of an image of which the tiles are made, (rows.tile, w, c).
        """
        width = tf.shape(rows)[1]
        starts, weights = self.columns.starts(width), self.columns.weights(width)
        count = tf.size(starts)

        def add(first: Tensor, sums: Tensor) -> tuple[Tensor, Tensor]:
            some = slice(first, tf.minimum(first + self._batch, count))
            pixels = self.columns.pixels(width, starts[some])
            found = self._predicted(rows, pixels) * weights[some][:, :, None, None]
            place = starts[some][:, None] + tf.range(self.columns.predicted)
            flat = tf.reshape(found, (-1, *sums.shape[1:]))
            place = tf.reshape(place, (-1, 1))
            return some.stop, tf.tensor_scatter_nd_add(sums, place, flat)

        length = starts[-1] + self.columns.predicted
        sums = tf.zeros((length, self.rows.predicted, self._kept))
        _, sums = tf.while_loop(
            lambda first, _: first < count, add, (0, sums), parallel_iterations=1
        )
        offset = self.columns.offset(width)
        return tf.transpose(sums[offset : offset + width], (1, 0, 2))

    def _predicted(self, rows: Tensor, pixels: Tensor) -> Tensor:
        """Returns (tiles, columns.predicted, rows.predicted, classes kept)."""
        tiles = tf.transpose(tf.gather(rows, pixels, axis=1), (1, 0, 2, 3))
        tiles.set_shape((None, self.rows.tile, self.columns.tile, rows.shape[-1]))
        found = self._predict(tiles)[..., -self._kept :]
        return tf.transpose(found, (0, 2, 1, 3))


def with_background(foreground: Probability) -> Probability:
    """Returns all classes' probability where of two only the foreground's came."""
    if foreground.shape[-1] > 1:
        return foreground
    return np.concatenate([1 - foreground, foreground], -1)


STRIP = 250_000
"""Numbers of a probability that are at hand at a time."""


def strips(probability: Probability, size: tuple[int, int]) -> Strips:
    """Yields rows and the probability in them, (rows, w, classes).

    They are those of ``tf.image.resize``, to the bit: bilinear, pixels taken as areas.

    Args:
        probability: at the network's size, (h', w', classes).
        size: (h, w), the image's own.
    """
    height, width, classes = probability.shape
    step = max(1, STRIP // (max(width, size[1]) * classes))
    cuts = [slice(top, top + step) for top in range(0, height, step)]
    return resampled(((rows, probability[rows]) for rows in cuts), height, size)


def resampled(stream: Strips, height: int, size: tuple[int, int]) -> Strips:
    """Yields what ``strips`` does of a probability that comes in strips itself.

    Args:
        stream: (rows, w', classes) each, at the network's size.
        height: of all of them.
        size: (h, w), the image's own.
    """
    above, below, share = _neighbours(height, size[0])
    done, held = 0, None
    for rows, part in stream:
        part = tf.image.resize(part, (len(part), size[1])).numpy()
        # The last row's neighbour is the first of those that come.
        held = part if held is None else np.concatenate([held[-1:], part])
        end = rows.start + len(part)
        first = end - len(held)
        until = int(np.searchsorted(below, end))
        step = max(1, STRIP // part[0].size)
        for top in range(done, until, step):
            some = slice(top, min(top + step, until))
            upper, lower = held[above[some] - first], held[below[some] - first]
            yield some, upper + (lower - upper) * share[some, None, None]
        done = until


def _neighbours(
    old: int, new: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Returns the rows above and below each new row, and the share of the one below."""
    # In float32 and in this order, as TensorFlow's own kernel.
    scale, half = np.float32(old) / np.float32(new), np.float32(0.5)
    place = (np.arange(new, dtype=np.float32) + half) * scale - half
    start = np.floor(place)
    above = np.maximum(start, 0).astype(np.int32)
    below = np.minimum(np.ceil(place), old - 1).astype(np.int32)
    return above, below, place - start
