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
from keras_unet.data.resize import resize_image
from keras_unet.data.white import BRIGHTEST
from keras_unet.model.head import most_probable
from keras_unet.prediction.segmenter import probability_of
from keras_unet.types import Tensor


def write_saved_model(network: keras.Model, config: Config, folder: Path) -> None:
    """Writes ``network`` into ``folder`` with two signatures.

    * ``serving_default``: ``image_bytes`` (string (b,): JPEG, PNG, GIF or BMP, each of
      its own size) to ``mask_png_bytes`` (string (b,): each mask at its image's size,
      0/255 of a binary network, else class ids).
    * ``tensor``: ``image`` (uint8 (b, h, w, 3)) to ``probability`` (float32 (b, h, w,
      classes), at least two channels that sum to one).

    Args:
        network: size-keeping, float32, from (b, h, w, channels) to logits.
        config: of the run; its image size, pixel limit and white are in the graph. An
            image's channels are those that --bands picked, in their order.
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
        self.max_pixels = config.data.max_pixels
        self.white = config.data.white or BRIGHTEST
        self.foreground = 255 if config.model.classes == 1 else 1

    def probability(self, image: Tensor) -> dict[str, Tensor]:
        """Returns the classes' probabilities (b, h, w, classes) of (b, h, w, 3)."""
        probability = probability_of(self.network, resize_image(image, self.size))
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
            (probability_of(self.network, resized), own_sizes),
            fn_output_signature=tf.TensorSpec((), tf.string),
        )
        return {"mask_png_bytes": masks}

    def _read(self, one: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        image_bytes, position = one
        image = decode_in_graph(image_bytes, position, self.max_pixels, self.white)
        return resize_image(image, self.size), tf.shape(image)[:2]

    def _encode(self, one: tuple[Tensor, Tensor]) -> Tensor:
        probability, own_size = one
        own = tf.image.resize(probability, own_size)
        mask = most_probable(own) * tf.constant(self.foreground, tf.uint8)
        return tf.io.encode_png(mask[..., tf.newaxis])


_MAGIC = {
    "jpeg": b"\xff\xd8\xff",
    "png": b"\x89PNG\r\n\x1a\n",
    "gif": b"GIF8",
    "bmp": b"BM",
}
_EXTENSION, _FRAME = 0x21, 0x2C
"""First bytes of a GIF's blocks."""
_PNG_BITS = 24
"""Place of the byte that tells a PNG's bits a channel."""
_HEADER = 32
"""Bytes from the start in which PNG, GIF and BMP tell their size."""


def assert_images(image_bytes: Tensor) -> Any:
    """Returns an operation that fails, with their positions, on bytes of no image."""
    wrong = tf.where(~tf.reduce_any(_kinds(image_bytes), axis=0))[:, 0]
    return tf.debugging.Assert(
        tf.equal(tf.size(wrong), 0),
        ["image_bytes holds no JPEG, PNG, GIF or BMP image at position:", wrong],
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
    small_enough = tf.debugging.Assert(
        pixels_to_decode(image_bytes) <= max_pixels,
        [
            f"image_bytes holds an image above {max_pixels} pixels at position:",
            position,
        ],
    )
    with tf.control_dependencies([small_enough]):
        image_bytes = tf.identity(image_bytes)

    def decode() -> Tensor:
        return tf.io.decode_image(image_bytes, channels=3, expand_animations=False)

    image = _by_kind(
        image_bytes,
        jpeg=decode,
        png=lambda: _decode_png(image_bytes, decode, white),
        gif=decode,
        bmp=lambda: _decode_bmp(image_bytes),
    )
    image.set_shape((None, None, 3))
    return image


def _decode_png(
    image_bytes: Tensor, decode: Callable[[], Tensor], white: int
) -> Tensor:
    """Returns uint8 (h, w, 3); 16 bits are scaled as ``white.to_8_bits`` does."""

    def scaled() -> Tensor:
        values = tf.io.decode_png(image_bytes, channels=3, dtype=tf.uint16)
        values = tf.minimum(tf.cast(values, tf.int32), white)
        return tf.cast(values * 256 // (white + 1), tf.uint8)

    return tf.cond(tf.equal(_head(image_bytes)[_PNG_BITS], 16), scaled, decode)


def pixels_to_decode(image_bytes: Tensor) -> Tensor:
    """Returns how many pixels, int64, a decoder would make; none is decoded."""
    header = _head(image_bytes)
    return _by_kind(
        image_bytes,
        jpeg=lambda: tf.reduce_prod(
            tf.cast(tf.io.extract_jpeg_shape(image_bytes)[:2], tf.int64)
        ),
        png=lambda: _number(header, 20, 21, 22, 23) * _number(header, 16, 17, 18, 19),
        gif=lambda: _gif_pixels(image_bytes),
        bmp=lambda: _bmp_side(header, 22) * _bmp_side(header, 18),
    )


def _kinds(image_bytes: Tensor) -> Tensor:
    return [
        tf.equal(tf.strings.substr(image_bytes, 0, len(magic)), magic)
        for magic in _MAGIC.values()
    ]


def _by_kind(image_bytes: Tensor, **branches: Callable[[], Tensor]) -> Tensor:
    kind = tf.argmax(tf.cast(_kinds(image_bytes), tf.int32), output_type=tf.int32)
    return tf.switch_case(kind, [branches[name] for name in _MAGIC])


def _head(image_bytes: Tensor, length: int = _HEADER, start: int = 0) -> Tensor:
    """Returns ``length`` bytes as uint8, zeros where the file is shorter."""
    padded = tf.strings.join([image_bytes, b"\0" * (start + length)])
    return tf.io.decode_raw(tf.strings.substr(padded, start, length), tf.uint8)


def _number(content: Tensor, *places: Any) -> Tensor:
    """Returns the int64 number whose bytes lie at ``places``, highest byte first."""
    value = tf.constant(0, tf.int64)
    for place in places:
        value = value * 256 + tf.cast(content[place], tf.int64)
    return value


def _bmp_side(header: Tensor, place: int) -> Tensor:
    size = _number(header, place + 3, place + 2, place + 1, place)
    # A negative height (32 bits) says that the rows run from top to bottom.
    return tf.minimum(size, 2**32 - size)


def _gif_pixels(image_bytes: Tensor) -> Tensor:
    """Returns the pixels of all frames, which the header may promise to be smaller.

    The decoder unpacks them all, even for the first alone. The blocks of a GIF are
    those of https://www.w3.org/Graphics/GIF/spec-gif89a.txt.
    """
    # Zeros behind the end stop every loop there.
    content = tf.io.decode_raw(tf.strings.join([image_bytes, b"\0" * 16]), tf.uint8)
    end = tf.strings.length(image_bytes)

    def at(place: Tensor) -> Tensor:
        return tf.cast(content[tf.minimum(place, end)], tf.int32)

    def behind_palette(place: Tensor, flags: Tensor) -> Tensor:
        length = tf.bitwise.left_shift(6, tf.bitwise.bitwise_and(flags, 7))
        return place + tf.where(flags >= 128, length, 0)

    def behind_data(place: Tensor) -> Tensor:
        # Data are runs of a length and as many bytes, up to a run of length 0.
        over = tf.while_loop(
            lambda run: at(run) > 0, lambda run: (run + 1 + at(run),), [place]
        )
        return over[0] + 1

    def follows(place: Tensor, _: Tensor) -> Tensor:
        return (at(place) == _EXTENSION) | (at(place) == _FRAME)

    def step(place: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
        frame = at(place) == _FRAME
        data = behind_palette(place + 11, tf.cast(content[place + 9], tf.int32))
        height = _number(content, place + 8, place + 7)
        width = _number(content, place + 6, place + 5)
        return (
            behind_data(tf.where(frame, data, place + 2)),
            pixels + tf.where(frame, height * width, 0),
        )

    first = behind_palette(13, tf.cast(content[10], tf.int32))
    return tf.while_loop(follows, step, (first, tf.constant(0, tf.int64)))[1]


def _decode_bmp(image_bytes: Tensor) -> Tensor:
    """Returns uint8 (h, w, 3); TensorFlow takes a palette's indices for greys."""
    image = tf.io.decode_bmp(image_bytes)
    return tf.cond(
        tf.equal(tf.shape(image)[-1], 1),
        lambda: tf.gather(_bmp_palette(image_bytes), tf.cast(image[..., 0], tf.int32)),
        lambda: image[..., :3],
    )


def _bmp_palette(image_bytes: Tensor) -> Tensor:
    """Returns the 256 colours (256, 3) of a BMP with 8 bits a pixel."""
    # The palette, blue first, begins behind the 14 bytes of the file's header and
    # those of the image's, which is 40 bytes long wherever palettes are written.
    palette = tf.reshape(_head(image_bytes, 1024, start=54), (256, 4))
    return palette[:, 2::-1]
