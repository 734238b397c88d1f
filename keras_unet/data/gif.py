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

_LONGEST = 12
# Below that many pixels per byte, the strings are so short that Pillow is faster.
_PIXELS_PER_BYTE = 200


class _Codes(NamedTuple):
    """Where the codes after a clear code are, if their number is large enough."""

    starts: npt.NDArray[np.int64]
    widths: npt.NDArray[np.int64]


def read_long_strings(image: Image.Image) -> Image.Image | None:
    """Returns the picture that a GIF holds, which Pillow has opened but not yet read.

    Returns None for other pictures, and for GIFs that are better left to Pillow:
    interlaced, of several parts, transparent, damaged, or of short strings.
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
    pixels = decode_lzw(_without_lengths(content), least)
    if pixels is None or len(pixels) != image.width * image.height:
        return None
    read = Image.frombuffer(image.mode, image.size, pixels, "raw", image.mode, 0, 1)
    if image.palette:
        read.putpalette(image.palette.palette)
    return read


def decode_lzw(content: bytes, least: int) -> bytes | None:
    """Returns the pixels that the codes stand for, or None where one makes no sense.

    Args:
        content: the codes, the first in the lowest bits.
        least: bits of a pixel.
    """
    clear, end = 1 << least, (1 << least) + 1
    starts, widths = _codes(least)
    strings: list[bytes] = []
    position = 0
    while True:
        codes = _unpack(content, position + starts, widths)
        stops = np.flatnonzero((codes == clear) | (codes == end))
        stop = int(stops[0]) if len(stops) else len(codes)
        if not _look_up(codes[:stop].tolist(), clear, strings):
            return None
        if stop == len(codes) or codes[stop] == end:
            return b"".join(strings)
        position += int(starts[stop] + widths[stop])


def _look_up(codes: list[int], clear: int, strings: list[bytes]) -> bool:
    """Appends each code's string; returns whether all of them have one."""
    table = [bytes([pixel]) for pixel in range(clear)] + [b"", b""]
    last = b""
    for code in codes:
        if code < len(table):
            string = table[code]
        elif code == len(table) and last:
            string = last + last[:1]
        else:
            return False
        if last:
            table.append(last + string[:1])
        strings.append(string)
        last = string
    return True


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
