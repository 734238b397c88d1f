"""A SavedModel whose graph goes from the bytes of an image to the bytes of a mask.

Decoding, resizing, the network, resizing back and encoding are core TensorFlow
operations, so TensorFlow Serving and the C API run it without any of our code.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_unet.config import Config
from keras_unet.data.images import BRIGHTEST
from keras_unet.data.resize import resize_image
from keras_unet.model.head import most_probable
from keras_unet.prediction.segmenter import class_values, probability_of
from keras_unet.types import Tensor


def write_saved_model(network: keras.Model, config: Config, folder: Path) -> None:
    """Writes ``network`` into ``folder`` with two signatures.

    * ``serving_default``: ``image_bytes`` (string (b,): JPEG or PNG, each of its own
      size) to ``mask_png_bytes`` (string (b,): each mask at its image's size
      and with the values that ``predict`` writes).
    * ``tensor``: ``image`` (uint8 (b, h, w, 3)) to ``probability`` (float32 (b, h, w,
      classes), at least two channels that sum to one).

    Args:
        network: size-keeping, float32, from (b, h, w, channels) to logits.
        config: of the run; its image size, pixel limit, white and bands are in the
            graph. Bands above 3 must be picked by whoever sends the image.
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
        self.network = network
        self.size = config.data.image_size
        self.max_pixels = config.export.serve_max_pixels
        self.white = config.data.white or BRIGHTEST
        self.bands = _bands_of_rgb(config.data.bands)
        self.values = class_values(config)

    def probability(self, image: Tensor) -> dict[str, Tensor]:
        """Returns the classes' probabilities (b, h, w, classes) of (b, h, w, 3)."""
        probability = self._probability(resize_image(image, self.size))
        own_size = tf.shape(image)[1:3]
        return {"probability": tf.image.resize(probability, own_size)}

    def masks(self, image_bytes: Tensor) -> dict[str, Tensor]:
        """Returns one PNG an image; the images are files' bytes, of any sizes."""
        with tf.control_dependencies([assert_images(image_bytes)]):
            image_bytes = tf.identity(image_bytes)
        resized, own_sizes = tf.map_fn(
            self._read,
            (image_bytes, tf.range(tf.size(image_bytes))),
            fn_output_signature=(
                tf.TensorSpec((*self.size, 3), tf.float32),
                tf.TensorSpec((2,), tf.int32),
            ),
        )
        masks = tf.map_fn(
            self._encode,
            (self._probability(resized), own_sizes),
            fn_output_signature=tf.TensorSpec((), tf.string),
        )
        return {"mask_png_bytes": masks}

    def _probability(self, images: Tensor) -> Tensor:
        none = tf.zeros((0, *self.size, len(self.values)))
        # The network's border cannot be mirrored around no image.
        return tf.cond(
            tf.shape(images)[0] > 0,
            lambda: probability_of(self.network, images),
            lambda: none,
        )

    def _read(self, one: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        image_bytes, position = one
        image = decode_in_graph(image_bytes, position, self.max_pixels, self.white)
        if self.bands:
            image = tf.gather(image, self.bands, axis=-1)
        return resize_image(image, self.size), tf.shape(image)[:2]

    def _encode(self, one: tuple[Tensor, Tensor]) -> Tensor:
        probability, own_size = one
        own = tf.image.resize(probability, own_size)
        values = tf.constant(self.values.reshape((len(self.values), -1)))
        return tf.io.encode_png(
            tf.gather(values, tf.cast(most_probable(own), tf.int32))
        )


def _bands_of_rgb(bands: tuple[int, ...]) -> list[int]:
    """Returns the channels (three) that are read of RGB; none if there are no such."""
    if not bands or max(bands) > 3:
        return []
    return [band - 1 for band in (bands if len(bands) == 3 else bands * 3)]


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
    image_bytes: Tensor, position: Tensor, max_pixels: int, white: int = BRIGHTEST
) -> Tensor:
    """Returns the image as uint8 (h, w, 3), as it is stored: EXIF turns nothing.

    Args:
        image_bytes: one file's content, of a kind that ``assert_images`` lets pass.
        position: of the image in its request, for the message.
        max_pixels: a larger image fails before it is decoded.
        white: the value of 16 bits that counts as white.
    """
    checks = [
        tf.debugging.Assert(holds, [f"image_bytes holds {what} at position:", position])
        for holds, what in [
            (
                pixels_to_decode(image_bytes) <= max_pixels,
                f"an image above {max_pixels} pixels",
            ),
            (
                _scans(image_bytes) <= MOST_SCANS,
                f"a JPEG of more than {MOST_SCANS} scans",
            ),
        ]
    ]
    with tf.control_dependencies(checks):
        image_bytes = tf.identity(image_bytes)

    def as_8_bits() -> Tensor:
        return tf.io.decode_image(image_bytes, channels=3, expand_animations=False)

    def scaled() -> Tensor:
        """Scales 16 bits as ``white.to_8_bits`` does."""
        values = tf.io.decode_png(image_bytes, channels=3, dtype=tf.uint16)
        values = tf.minimum(tf.cast(values, tf.int32), white)
        return tf.cast(values * 256 // (white + 1), tf.uint8)

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
