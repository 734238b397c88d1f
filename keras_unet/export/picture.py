"""From the bytes of a picture to its pixels, inside a TensorFlow graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

# Symbolic and eager tensors have no common public type on both stacks.
Tensor = Any

_MAGIC = {
    "jpeg": b"\xff\xd8\xff",
    "png": b"\x89PNG\r\n\x1a\n",
    "gif": b"GIF8",
    "bmp": b"BM",
}
_HEADER = 32
"""Bytes from the start in which PNG, GIF and BMP tell their size."""


def assert_pictures(image_bytes: Tensor) -> Any:
    """Returns an operation that fails, with their positions, on bytes of no picture."""
    wrong = tf.where(~tf.reduce_any(_kinds(image_bytes), axis=0))[:, 0]
    return tf.debugging.Assert(
        tf.equal(tf.size(wrong), 0),
        ["image_bytes holds no JPEG, PNG, GIF or BMP picture at position:", wrong],
        summarize=16,
    )


def decode_picture(image_bytes: Tensor, position: Tensor, max_pixels: int) -> Tensor:
    """Returns the picture as uint8 (h, w, 3), as it is stored: EXIF turns nothing.

    Args:
        image_bytes: one file's content, of a kind that ``assert_pictures`` lets pass.
        position: of the picture in its request, for the message.
        max_pixels: a larger picture fails before it is decoded.
    """
    pixels = tf.reduce_prod(size_in_header(image_bytes))
    small_enough = tf.debugging.Assert(
        pixels <= max_pixels,
        [
            f"image_bytes holds a picture above {max_pixels} pixels at position:",
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
        png=decode,
        gif=decode,
        bmp=lambda: _decode_bmp(image_bytes),
    )
    image.set_shape((None, None, 3))
    return image


def size_in_header(image_bytes: Tensor) -> Tensor:
    """Returns (height, width) int64, read without decoding any pixel."""
    header = _head(image_bytes)
    return _by_kind(
        image_bytes,
        jpeg=lambda: tf.cast(tf.io.extract_jpeg_shape(image_bytes)[:2], tf.int64),
        png=lambda: _numbers(header, (20, 21, 22, 23), (16, 17, 18, 19)),
        gif=lambda: _numbers(header, (9, 8), (7, 6)),
        bmp=lambda: _bmp_size(header),
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


def _numbers(header: Tensor, *places: tuple[int, ...]) -> Tensor:
    """Returns int64 numbers whose bytes lie at ``places``, highest byte first."""
    values = []
    for place in places:
        value = tf.constant(0, tf.int64)
        for byte in place:
            value = value * 256 + tf.cast(header[byte], tf.int64)
        values.append(value)
    return tf.stack(values)


def _bmp_size(header: Tensor) -> Tensor:
    size = _numbers(header, (25, 24, 23, 22), (21, 20, 19, 18))
    # A negative height (32 bits) says that the rows run from top to bottom.
    return tf.minimum(size, 2**32 - size)


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
    # those of the picture's, which is 40 bytes long wherever palettes are written.
    palette = tf.reshape(_head(image_bytes, 1024, start=54), (256, 4))
    return palette[:, 2::-1]
