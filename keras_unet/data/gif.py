"""GIFs decoded string by string: masks, whose strings are long, at thrice the speed.

A GIF is a row of LZW codes, each of which stands for a string of pixels. Pillow writes
these pixel by pixel, 2.5 million for one of Carvana's masks of 5,000 codes.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from keras_unet.data.images import grey_levels
from keras_unet.data.nearest import nearest_pixels

_LONGEST = 12
# Below that many pixels per byte, the strings are so short that Pillow is faster.
_PIXELS_PER_BYTE = 200
_INDICES = bytes(range(256))
_GREYS = bytes(index for index in _INDICES for _ in "RGB")


class _Codes(NamedTuple):
    """Where the codes after a clear code are, if their number is large enough."""

    starts: npt.NDArray[np.int64]
    widths: npt.NDArray[np.int64]


def read_long_strings(
    image: Image.Image, size: tuple[int, int] | None = None
) -> Image.Image | None:
    """Returns the picture in a GIF that Pillow has opened but not yet read.

    Returns None for other pictures, and for GIFs that are better left to Pillow:
    interlaced, of several parts, damaged, or of short strings. Where the palette has no
    colours, the picture has its levels and no palette.

    Args:
        image: the GIF.
        size: height and width that the picture is sampled at, by default its own.
    """
    if not isinstance(image, GifImageFile) or not image.fp:
        return None
    if not image.tile or len(image.tile) != 1:
        return None
    _, extents, offset, (least, interlaced, transparent) = image.tile[0]
    if extents != (0, 0, *image.size) or interlaced or transparent >= 0:
        return None
    image.fp.seek(offset)
    content = image.fp.read()
    if len(content) * _PIXELS_PER_BYTE > image.width * image.height:
        return None
    palette = bytes(image.palette.palette) if image.palette else _GREYS
    levels = grey_levels(palette)
    pixels = decode_lzw(_without_lengths(content), least, levels or _INDICES)
    if pixels is None or len(pixels) != image.width * image.height:
        return None
    shape = (image.height, image.width)
    picture = Image.fromarray(
        nearest_pixels(np.frombuffer(pixels, np.uint8).reshape(shape), size)
    )
    if levels is None:
        picture.putpalette(palette)
    return picture


def decode_lzw(content: bytes, least: int, levels: bytes) -> bytes | None:
    """Returns the pixels that the codes stand for, or None where one makes no sense.

    Args:
        content: the codes, the first in the lowest bits.
        least: bits of a pixel.
        levels: what is written for each value of a pixel.
    """
    clear, end = 1 << least, (1 << least) + 1
    starts, widths = _codes(least)
    alphabet = [levels[value : value + 1] for value in range(clear)]
    strings: list[bytes] = []
    position = 0
    while True:
        codes = _unpack(content, position + starts, widths)
        stops = np.flatnonzero((codes == clear) | (codes == end))
        stop = int(stops[0]) if len(stops) else len(codes)
        try:
            strings += _strings(codes[:stop].tolist(), alphabet)
        except IndexError:
            return None
        if stop == len(codes) or codes[stop] == end:
            return b"".join(strings)
        position += int(starts[stop] + widths[stop])


def _strings(codes: list[int], alphabet: list[bytes]) -> list[bytes]:
    """Returns what the codes after a clear code stand for.

    Raises:
        IndexError: a code stands for nothing.
    """
    # After the alphabet come the clear code and the end code, which cannot be here.
    # The first code, with none before it, adds nothing to the table: what the loop
    # adds for it takes the place of the end code.
    table = [*alphabet, b""]
    string = b""
    strings = []
    for code in codes:
        earlier = string
        if code == len(table):
            # It stands for the string that it is about to add.
            string = earlier + earlier[:1]
            table.append(string)
        else:
            string = table[code]
            table.append(earlier + string[:1])
        strings.append(string)
    return strings


@functools.cache
def _codes(least: int) -> _Codes:
    first = (1 << least) + 2
    # The table grows by one string per code but the first, the width with the table;
    # when it is full, the clear code is one more.
    known = first + np.maximum(np.arange((1 << _LONGEST) - first + 2) - 1, 0)
    widths = np.minimum(np.floor(np.log2(known)).astype(np.int64) + 1, _LONGEST)
    return _Codes(np.cumsum(widths) - widths, widths)


def _unpack(
    content: bytes, starts: npt.NDArray[np.int64], widths: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Returns the codes at ``starts``, in bits, as far as there are any."""
    there = int(np.searchsorted(starts + widths, 8 * len(content), "right"))
    starts, widths = starts[:there], widths[:there]
    octets = np.frombuffer(content + bytes(2), np.uint8).astype(np.int64)
    # Up to 12 bits, from any bit of a byte on, lie within three bytes.
    words = octets[:-2] | octets[1:-1] << 8 | octets[2:] << 16
    codes: npt.NDArray[np.int64] = words[starts >> 3] >> (starts & 7)
    return codes & ((1 << widths) - 1)


def _without_lengths(content: bytes) -> bytes:
    """Returns a GIF's data without the length before every block of up to 255 bytes."""
    blocks, position = [], 0
    while position < len(content) and content[position]:
        end = position + 1 + content[position]
        blocks.append(content[position + 1 : end])
        position = end
    return b"".join(blocks)
