"""Images at the network's size: the resampling that training and serving share.

And the way back, of probability that comes in strips.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_unet.data.folders import opened
from keras_unet.data.images import Header, decode_image, read_header
from keras_unet.data_config import DataConfig
from keras_unet.errors import Undecodable
from keras_unet.types import Image, Probability, Tensor


def read_resized(path: Path, channels: int, data: DataConfig) -> Image:
    """Returns the upright image at ``data.seen_size``, uint8 (h, w, channels).

    A large JPEG is decoded at a half, a quarter or an eighth of its size.

    Raises:
        BadData: the file cannot be read; the message names it.
    """
    with opened(path) as file:
        header = read_header(file, data.max_pixels)
        size = data.seen_size(header.shape)
        if header.format == "JPEG" and _is_plain(header, data):
            ratio = _ratio(header.shape, size)
            decode = functools.partial(tf.io.decode_jpeg, ratio=ratio)
            # What it cannot read, Pillow may, or tells what is wrong.
            with contextlib.suppress(Undecodable):
                return at_size(_decoded(path, decode, channels=channels), size)
        return at_size(decode_image(file, channels, data), size)


def read_at_own_size(path: Path, channels: int, data: DataConfig) -> Image:
    """Returns what ``images.read_image`` does, of most JPEGs in a fifth of the time.

    Of most PNGs, too, in less than half the memory.

    Raises:
        Unreadable: as by ``images.read_image``.
    """
    with opened(path) as file:
        header = read_header(file, data.max_pixels)
        decode = _EXACT.get(header.format)
        # TensorFlow's grey of a coloured image is not Pillow's.
        same = channels == 3 or header.mode.startswith("L")
        if decode and same and _is_plain(header, data):
            # What it cannot read, Pillow may, or tells what is wrong.
            with contextlib.suppress(Undecodable):
                return np.asarray(_decoded(path, decode, channels=channels))
        return decode_image(file, channels, data)


_EXACT = {
    "JPEG": functools.partial(tf.io.decode_jpeg, dct_method="INTEGER_ACCURATE"),
    "PNG": tf.io.decode_png,
}
"""Decoders whose pixels are Pillow's."""


def at_size(image: Tensor, size: tuple[int, int]) -> Image:
    """Returns an image, uint8 (h, w, c), at ``size``."""
    if image.shape[:2] == size:
        return np.asarray(image)
    # On the CPU, whatever the network is on: the images are needed here.
    with tf.device("CPU"):
        return np.asarray(tf.cast(resized(image, size) + 0.5, tf.uint8))


def _is_plain(header: Header, data: DataConfig) -> bool:
    plain = header.mode in ("L", "LA", "RGB", "RGBA") and header.orientation == 1
    return plain and not data.bands


def _decoded(path: Path, decode: Callable[..., Tensor], **how: Any) -> Tensor:
    try:
        with tf.device("CPU"):
            # Of bytes that Python has read, TensorFlow makes three copies.
            return decode(tf.io.read_file(os.fsencode(path)), **how)
    except tf.errors.InvalidArgumentError as error:
        raise Undecodable("is truncated or damaged") from error
    except tf.errors.OpError as error:
        raise Undecodable(f"cannot be read ({error.message})") from error


def _ratio(size: tuple[int, int], target: tuple[int, int]) -> int:
    """Returns by how much the decoder may shrink: a side may end 2 % short."""
    sides = list(zip(size, target, strict=True))
    for ratio in (8, 4, 2):
        # The 2 % are for odd sides: half of Carvana's 1918 is 959, wanted is 960.
        if all(-(-old // ratio) >= 0.98 * new for old, new in sides):
            return ratio
    return 1


def resize_image(image: Tensor, size: tuple[int, int] | Tensor) -> Tensor:
    """Returns an image or images, ([b,] h, w, c), as float32 at ``size`` (h, w).

    Shrinking averages the area that a pixel covers, growing is bilinear; both take
    pixels as areas, so nothing moves. Values keep their range.
    """
    image = tf.convert_to_tensor(image)
    old = tf.shape(image)[-3:-1]
    resized = tf.cond(
        tf.reduce_any(old > size),
        # Each axis apart from the other: the second step is for one that grows.
        lambda: _to(_to(image, tf.minimum(old, size), "area"), size, "bilinear"),
        lambda: _to(image, size, "bilinear"),
    )
    known = size if isinstance(size, tuple) else (None, None)
    resized.set_shape([*image.shape[:-3], *known, image.shape[-1]])
    return resized


resized = tf.function(
    resize_image,
    input_signature=[
        tf.TensorSpec((None, None, None), tf.uint8),
        tf.TensorSpec((2,), tf.int32),
    ],
    autograph=False,
)
"""``resize_image`` of one, in a graph for all sizes: a third faster than in steps."""


def resize_rows(
    image: Tensor, size: tuple[Tensor, Tensor], first: Tensor, last: Tensor
) -> Tensor:
    """Returns the rows ``first`` to ``last`` of what ``resize_image`` makes of one.

    Args:
        image: (h, w, c), an array or a tensor of which only those rows are touched.
        size: (h', w').
        first: number of the first row.
        last: that of the row behind the last.
    """
    old = image.shape if isinstance(image, np.ndarray) else tf.shape(image)
    return tf.cond(
        tf.reduce_all(tf.equal(size, old[:2])),
        lambda: tf.cast(image[first:last], tf.float32),
        lambda: _resized_rows(image, old, size, tf.range(first, last)),
    )


def _resized_rows(image: Tensor, old: Tensor, size: Tensor, rows: Tensor) -> Tensor:
    scale = tf.cast(old[0] / size[0], tf.float32)
    top = tf.cast(tf.cast(rows[0], tf.float32) * scale - 1, tf.int32)
    bottom = tf.cast(tf.cast(rows[-1] + 1, tf.float32) * scale + 2, tf.int32)
    top, bottom = tf.maximum(top, 0), tf.minimum(bottom, old[0])
    # Narrower first: as wide as the image, all these rows in float32 are many bytes.
    width = tf.minimum(old[1], size[1])
    part = _to(image[top:bottom], tf.stack([bottom - top, width]), "area")
    shares = _shares(rows, tf.range(top, bottom), scale, old[0])
    part = tf.tensordot(shares, part, 1)
    return _to(part, tf.stack([tf.size(rows), size[1]]), "bilinear")


def _shares(new: Tensor, old: Tensor, scale: Tensor, count: Tensor) -> Tensor:
    """Returns what of each new row comes from each old one, (new, old)."""
    new, old = tf.cast(new[:, None], tf.float32), tf.cast(old, tf.float32)
    begin, end = new * scale, (new + 1) * scale
    covered = tf.minimum(old + 1, end) - tf.maximum(old, begin)
    place = (begin + end - 1) / 2
    place = tf.clip_by_value(place, 0, tf.cast(count - 1, tf.float32))
    share = tf.where(scale > 1, covered / scale, 1 - tf.abs(place - old))
    return tf.maximum(share, 0)


def _to(image: Tensor, size: Tensor, method: str) -> Tensor:
    # TensorFlow leaves an image that has the size already as it is, whole numbers too.
    return tf.cast(tf.image.resize(image, size, method), tf.float32)


Strips = Iterator[tuple[slice, Probability]]
"""Rows of an image from the top down, and the probability in them, (rows, w, c)."""

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
    above, below, share = map(np.asarray, neighbours(height, size[0]))
    done, last = 0, np.empty(0, np.float32)
    for rows, part in stream:
        part = np.asarray(tf.image.resize(part, (len(part), size[1])))
        end = rows.start + len(part)
        # The last row's neighbour may be the first of those that come.
        if done < size[0] and above[done] < rows.start:
            part = np.concatenate([last, part])
        first, last = end - len(part), part[-1:].copy()
        until = int(np.searchsorted(below, end))
        step = max(1, STRIP // part[0].size)
        for top in range(done, until, step):
            some = slice(top, min(top + step, until))
            upper, found = part[above[some] - first], part[below[some] - first]
            # In place: memory that the system gives anew costs more than the sums.
            found -= upper
            found *= share[some, None, None]
            found += upper
            yield some, found
        done = until
        del part


def neighbours(old: Tensor, new: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns each new row's neighbours among ``old`` ones, as TensorFlow does.

    Returns:
        the rows above and below, int32 (new,), and the share of the one below, float32.
    """
    # In float32 and in this order, as TensorFlow's own kernel.
    scale = tf.cast(old, tf.float32) / tf.cast(new, tf.float32)
    place = (tf.cast(tf.range(new), tf.float32) + 0.5) * scale - 0.5
    start = tf.floor(place)
    above = tf.cast(tf.maximum(start, 0), tf.int32)
    below = tf.minimum(tf.cast(tf.math.ceil(place), tf.int32), old - 1)
    return above, below, place - start
