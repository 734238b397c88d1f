"""A SavedModel whose graph goes from the bytes of an image to the bytes of a mask.

Decoding, resizing, the network, resizing back and encoding are core TensorFlow
operations, so TensorFlow Serving and the C API run it without any of our code.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_unet.config import Config
from keras_unet.data.images import BRIGHTEST
from keras_unet.data.resize import STRIP, neighbours, resize_image
from keras_unet.data_config import DataConfig
from keras_unet.model.unet import to_mask
from keras_unet.prediction.segmenter import class_values, probability_function, tiler
from keras_unet.prediction.tiles import RowsOfTiles, Tiler, with_background
from keras_unet.types import Tensor

AT_ONCE = 16
"""Images that go through the network together; more take turns."""


def write_saved_model(network: keras.Model, config: Config, folder: Path) -> None:
    """Writes ``network`` into ``folder`` with two signatures.

    * ``serving_default``: ``image_bytes`` (string (b,): JPEG or PNG, each of its own
      size) to ``mask_png_bytes`` (string (b,): each mask at its image's size
      and with the values that ``predict`` writes).
    * ``tensor``: ``image`` (uint8 (b, h, w, 3)) to ``probability`` (float32 (b, h, w,
      classes), at least two channels that sum to one).

    Args:
        network: size-keeping, float32, from (b, h, w, channels) to logits.
        config: of the run; its image size or tiles, pixel limit, white, bands,
            threshold and flips are in the graph. Bands above 3 must be picked by
            whoever sends the image.
        folder: the version's folder, not yet there.
    """
    graph = ServingGraph(network, config)
    # Endpoints bring their variables; tracking the network too writes them twice.
    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        "serving_default",
        graph.masks,
        [tf.TensorSpec((None,), tf.string, name="image_bytes")],
    )
    archive.add_endpoint(
        "tensor",
        graph.probability,
        [tf.TensorSpec((None, None, None, 3), tf.uint8, name="image")],
    )
    # Keras prints its endpoints, and only Keras 3 can be asked not to.
    with contextlib.redirect_stdout(io.StringIO()):
        archive.write_out(str(folder))


class ServingGraph:
    """The two signatures' functions around one network.

    Args:
        network: from (b, h, w, channels) to logits of the same size.
        config: of the run.
    """

    def __init__(self, network: keras.Model, config: Config) -> None:
        """Keeps what the graph holds."""
        self.config, self.size = config, config.data.image_size
        self.predict = probability_function(network, config)
        self.tiler: Any = tiler(network, config) if config.data.tiles else None
        self.max_pixels = config.export.serve_max_pixels
        self.white = config.data.white
        self.bands = config.data.bands_of_rgb
        self.values = class_values(config)

    def probability(self, image: Tensor) -> dict[str, Tensor]:
        """Returns the classes' probabilities (b, h, w, classes) of (b, h, w, 3)."""
        made = self._tiled_probability if self.tiler else self._probability
        count, height, width, _ = tf.unstack(tf.shape(image))
        nothing = tf.zeros((0, height, width, len(self.values)))
        found = self._in_parts(lambda some: made(image[some]), count, nothing)
        return {"probability": found}

    def masks(self, image_bytes: Tensor) -> dict[str, Tensor]:
        """Returns one PNG an image; the images are files' bytes, of any sizes."""
        with tf.control_dependencies([assert_images(image_bytes)]):
            image_bytes = tf.identity(image_bytes)
        count = tf.size(image_bytes)
        files, nothing = (image_bytes, tf.range(count)), tf.constant([], tf.string)
        made = self._tiled_masks if self.tiler else self._masks
        masks = self._in_parts(
            lambda some: made(*(one[some] for one in files)), count, nothing
        )
        return {"mask_png_bytes": masks}

    def _in_parts(
        self, made: Callable[[slice], Tensor], count: Tensor, nothing: Tensor
    ) -> Tensor:
        """Returns what is made of a few images at a time; of large ones, tiled, one."""
        step = 1 if self.tiler else AT_ONCE

        def of_some(start: Tensor, out: Any) -> tuple[Tensor, Any]:
            some = slice(start, tf.minimum(start + step, count))
            return some.stop, out.write(out.size(), made(some))

        def of_all() -> Tensor:
            out = tf.TensorArray(nothing.dtype, 0, dynamic_size=True, infer_shape=False)
            return tf.while_loop(
                lambda start, _: start < count, of_some, (0, out), parallel_iterations=1
            )[1].concat()

        found = tf.cond(count > 0, of_all, lambda: nothing)
        found.set_shape((None, *nothing.shape[1:]))
        return found

    def _probability(self, images: Tensor) -> Tensor:
        found = self.predict(resize_image(images, self.size))
        return tf.image.resize(found, tf.shape(images)[1:3])

    def _masks(self, *files: Tensor) -> Tensor:
        resized, own_sizes = tf.map_fn(
            self._read,
            files,
            fn_output_signature=(
                tf.TensorSpec((*self.size, 3), tf.float32),
                tf.TensorSpec((2,), tf.int32),
            ),
        )
        return tf.map_fn(
            self._encode,
            (self.predict(resized), own_sizes),
            fn_output_signature=tf.TensorSpec((), tf.string),
        )

    def _read(self, one: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        image = self._decode(one)
        return resize_image(image, self.size), tf.shape(image)[:2]

    def _decode(self, one: tuple[Tensor, Tensor]) -> Tensor:
        image = decode_in_graph(*one, self.max_pixels, self.white)
        return tf.gather(image, self.bands, axis=-1) if self.bands else image

    def _encode(self, one: tuple[Tensor, Tensor]) -> Tensor:
        probability, own_size = one
        return tf.io.encode_png(self._written(tf.image.resize(probability, own_size)))

    def _tiled_probability(self, images: Tensor) -> Tensor:
        classes = len(self.values)
        return self._tiled(images[0], tf.identity, classes, tf.float32)[tf.newaxis]

    def _tiled_masks(self, image_bytes: Tensor, positions: Tensor) -> Tensor:
        channels, dtype = self.values[0].size, self.values.dtype
        image = self._decode((image_bytes[0], positions[0]))
        mask = self._tiled(image, self._written, channels, dtype)
        return tf.io.encode_png(mask)[tf.newaxis]

    def _tiled(self, image: Tensor, *made: Any) -> Tensor:
        return _Tiled(self.tiler, self.config.data, image).made(*made)

    def _written(self, probability: Tensor) -> Tensor:
        """Returns what is written of the classes' probability, (h, w, 1 or 3)."""
        values = tf.constant(self.values.reshape((len(self.values), -1)))
        mask = to_mask(probability, self.config.predict.threshold)
        return tf.gather(values, tf.cast(mask, tf.int32))


def _seen_size(data: DataConfig, own_size: Tensor) -> Any:
    """Returns what ``data.seen_size`` does, in a graph."""
    if data.resolution is None:
        return data.image_size
    if data.resolution == 1:
        return own_size
    seen = tf.round(tf.cast(own_size, tf.float64) * data.resolution)
    return tf.unstack(tf.maximum(tf.cast(seen, tf.int32), 1))


class _Tiled:
    """What ``Segmenter.strips`` does of a tiled run, as a part of a graph.

    No more than a row of tiles is in memory beside the image and what is made of it.
    """

    def __init__(self, tiler: Tiler, data: DataConfig, image: Tensor) -> None:
        """Lays tiles over an image, uint8 (h, w, 3)."""
        self.kept, self.own = tiler.kept, tf.shape(image)[:2]
        seen = _seen_size(data, self.own)
        self.rows = RowsOfTiles(tiler, image, seen)
        self.above, self.below, self.share = neighbours(seen[0], self.own[0])

    def made(self, make: Callable[[Tensor], Tensor], channels: int, dtype: Any) -> Any:
        """Returns (h, w, channels): what is made of the probability of some rows."""
        out = tf.TensorArray(
            dtype, 0, dynamic_size=True, infer_shape=False, element_shape=(None,)
        )
        last = tf.zeros((1, self.rows.size[1], self.kept))
        number, anything = tf.TensorShape(()), tf.TensorShape((None, None, self.kept))

        def of_row(
            row: Tensor, done: Tensor, sums: Tensor, last: Tensor, out: Any
        ) -> tuple[Any, ...]:
            until, sums, finished = self.rows.add(row, done, sums)
            # The last row's neighbour is the first of those that come.
            held = tf.concat([last, finished], 0)
            return row + 1, until, sums, held[-1:], self._write(out, held, done, make)

        *_, out = tf.while_loop(
            lambda row, *_: row < tf.size(self.rows.starts),
            of_row,
            (0, 0, self.rows.nothing(), last, out),
            shape_invariants=(number, number, anything, anything, tf.TensorShape(None)),
            parallel_iterations=1,
        )
        return tf.reshape(out.concat(), (self.own[0], self.own[1], channels))

    def _write(
        self, out: Any, held: Tensor, done: Tensor, make: Callable[[Tensor], Tensor]
    ) -> Any:
        """Writes what is made of the image's rows between those that are held."""
        first, behind = done - 1, done - 1 + tf.shape(held)[0]
        held = tf.image.resize(held, (behind - first, self.own[1]))
        top, bottom = tf.unstack(tf.searchsorted(self.below, [done, behind]))
        step = tf.maximum(1, STRIP // (self.own[1] * self.kept))

        def of_some(top: Tensor, out: Any) -> tuple[Tensor, Any]:
            some = slice(top, tf.minimum(top + step, bottom))
            upper = tf.gather(held, self.above[some] - first)
            lower = tf.gather(held, self.below[some] - first)
            found = upper + (lower - upper) * self.share[some, None, None]
            flat = tf.reshape(make(with_background(found)), (-1,))
            return some.stop, out.write(out.size(), flat)

        return tf.while_loop(
            lambda top, _: top < bottom, of_some, (top, out), parallel_iterations=1
        )[1]


_MAGIC = {"jpeg": b"\xff\xd8\xff", "png": b"\x89PNG\r\n\x1a\n"}
_PNG_HEADER = 25
"""Bytes up to and with width, height and bits a channel."""
MOST_SCANS = 64
"""Of a JPEG; 10 are usual. One of fifty bytes has its decoder go over all pixels."""


def assert_images(image_bytes: Tensor) -> Any:
    """Returns an operation that fails, with their positions, on bytes of no image."""
    wrong = tf.where(~tf.reduce_any(_kinds(image_bytes), axis=0))[:, 0]
    return tf.debugging.Assert(
        tf.equal(tf.size(wrong), 0),
        ["image_bytes holds no JPEG or PNG image at position:", wrong],
        summarize=16,
    )


def decode_in_graph(
    image_bytes: Tensor, position: Tensor, max_pixels: int, white: int | None = None
) -> Tensor:
    """Returns the image as uint8 (h, w, 3), as it is stored: EXIF turns nothing.

    Args:
        image_bytes: one file's content, of a kind that ``assert_images`` lets pass.
        position: of the image in its request, for the message.
        max_pixels: a larger image fails before it is decoded.
        white: the value of 16 bits that counts as white; None if the run knows none.
    """

    def require(holds: Tensor, what: str) -> Any:
        said = [f"image_bytes holds {what} at position:", position]
        return tf.debugging.Assert(holds, said)

    fits = pixels_to_decode(image_bytes) <= max_pixels
    few = _scans(image_bytes) <= MOST_SCANS
    checks = [
        require(fits, f"an image above {max_pixels} pixels"),
        require(few, f"a JPEG of more than {MOST_SCANS} scans"),
    ]
    with tf.control_dependencies(checks):
        image_bytes = tf.identity(image_bytes)

    def as_8_bits() -> Tensor:
        # It reads PNG too. The default transform is up to 7 levels off Pillow's.
        return tf.io.decode_jpeg(image_bytes, 3, dct_method="INTEGER_ACCURATE")

    def scaled() -> Tensor:
        """Scales 16 bits as ``images.to_8_bits`` does."""
        values = tf.io.decode_png(image_bytes, channels=3, dtype=tf.uint16)
        values = tf.cast(values, tf.int32)
        known = white is not None or tf.reduce_max(values) > BRIGHTEST // 2
        what = "a PNG of 16 bits, not all used (the training saw none: write 8 bits)"
        with tf.control_dependencies([require(known, what)]):
            values = tf.minimum(values, white or BRIGHTEST)
        return tf.cast(values * 256 // ((white or BRIGHTEST) + 1), tf.uint8)

    image = tf.cond(_is_png_of_16_bits(image_bytes), scaled, as_8_bits)
    image.set_shape((None, None, 3))
    return image


def _is_png_of_16_bits(image_bytes: Tensor) -> Tensor:
    _, is_png = _kinds(image_bytes)
    bits = tf.strings.substr(_padded(image_bytes), _PNG_HEADER - 1, 1)
    return is_png & tf.equal(bits, b"\x10")


def pixels_to_decode(image_bytes: Tensor) -> Tensor:
    """Returns how many pixels, int64, a file says that it holds; none is decoded."""
    is_jpeg, _ = _kinds(image_bytes)
    return tf.cond(
        is_jpeg,
        lambda: tf.reduce_prod(
            tf.cast(tf.io.extract_jpeg_shape(image_bytes)[:2], tf.int64)
        ),
        lambda: _png_side(image_bytes, 16) * _png_side(image_bytes, 20),
    )


def _kinds(image_bytes: Tensor) -> list[Tensor]:
    return [
        tf.equal(tf.strings.substr(image_bytes, 0, len(magic)), magic)
        for magic in _MAGIC.values()
    ]


def _png_side(image_bytes: Tensor, place: int) -> Tensor:
    """Returns the int64 number of four bytes, the highest first; past the end 0."""
    four = tf.io.decode_raw(tf.strings.substr(_padded(image_bytes), place, 4), tf.uint8)
    return tf.reduce_sum(tf.cast(four, tf.int64) * [1 << 24, 1 << 16, 1 << 8, 1])


def _padded(image_bytes: Tensor) -> Tensor:
    return tf.strings.join([image_bytes, b"\0" * _PNG_HEADER])


def _scans(image_bytes: Tensor) -> Tensor:
    """Returns how often a scan of a JPEG begins: marker, length, and its components."""
    content = tf.io.decode_raw(image_bytes, tf.uint8)
    marks = [content[place : tf.size(content) - 4 + place] for place in range(5)]
    begins = (
        (marks[0] == 0xFF)
        & (marks[1] == 0xDA)
        & (marks[2] == 0)
        & (marks[3] == 6 + 2 * marks[4])
    )
    return tf.math.count_nonzero(begins)
