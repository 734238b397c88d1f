"""TIFF files by their tags, and through tifffile where Pillow gives up.

The tags are read by hand: Pillow's ``ImageFileDirectory_v2`` takes every one of them
whole, however long a stranger made it. Pillow itself reads no more than four bands, no
bands of 16 bits that lie apart, and no whole numbers of 64 bits.
"""

from __future__ import annotations

import logging
import math
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from keras_unet.console import how_to_install, is_installed
from keras_unet.errors import Undecodable

INSTALL = how_to_install("tiff")
BROKEN = (
    *(OSError, SyntaxError, ValueError, TypeError, EOFError, IndexError),
    *(struct.error, ArithmeticError),
)
"""What decoders raise at a damaged file."""

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COLOURS, _TEXT = 254, 256, 257, 258, 262, 270
_ORIENTATION, _BANDS, _PLANES, _EXTRA, _KIND = 274, 277, 284, 338, 339
_WANTED = {
    *(_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COLOURS, _TEXT),
    *(_ORIENTATION, _BANDS, _PLANES, _EXTRA, _KIND),
}
_FORMATS = {1: "B", 2: "B", 3: "H", 4: "I", 16: "Q"}
"""Of the tags' whole numbers and letters, by the tags' types."""
_STACK = re.compile(rb"ImageJ=.*\bimages=(\d+)", re.DOTALL)
"""What ImageJ writes first; of a large stack, it tags the first image alone."""
_REDUCED_OR_MASK = 0b101
_MOST_TAGS, _MOST_VALUES, _MOST_PAGES = 4096, 1024, 10_000
_MOST_BYTES = 16
"""Of an image whose bands are all read, for each of the pixels that are allowed."""
_ALPHA = (1, 2)
_RGB = 2


def damaged(error: Exception) -> Undecodable:
    """Returns what is said of a file at which a decoder raised ``error``."""
    return Undecodable(f"is truncated or damaged ({error})")


@dataclass(frozen=True)
class Page:
    """What a TIFF file's tags say of the one image in it.

    Attributes:
        index: number of the image in the file, from 0; overviews are counted too.
        shape: (height, width), upright.
        bands: values a pixel.
        bits: of each value.
        kind: 1: whole numbers from 0; 2: whole numbers; 3: fractions.
        colours: TIFF's PhotometricInterpretation.
        apart: each band lies by itself.
        extra: what the last bands are; 1 and 2 are alpha.
        orientation: 1 to 8; 1 is upright.
    """

    index: int
    shape: tuple[int, int]
    bands: int
    bits: int
    kind: int
    colours: int
    apart: bool
    extra: tuple[int, ...]
    orientation: int

    def __str__(self) -> str:
        """Returns what it is, in words."""
        bands = f"{self.bands} band" + ("s" if self.bands > 1 else "")
        whole = "" if self.kind == 1 and self.bits <= 16 else ", whole numbers"
        numbers = {1: whole, 2: ", whole numbers", 3: ", fractions"}
        return f"TIFF of {bands} × {self.bits} bits{numbers.get(self.kind, '')}"

    @property
    def mode(self) -> str:
        """Returns a name of the pixels' layout, as Pillow has them."""
        if self.bands == 1:
            return f"{'F' if self.kind == 3 else 'I'};{self.bits}"
        return f"{self.bands}×{self.bits}"

    @property
    def own_bands(self) -> tuple[int, ...]:
        """The bands that are an image without question, from 1; none where asked."""
        if self.colours == _RGB and self.bands >= 3:
            return (1, 2, 3)
        alphas = sum(kind in _ALPHA for kind in self.extra)
        return (1,) if self.bands - alphas == 1 else ()


def find_page(file: BinaryIO) -> Page | None:
    """Returns the one image of a TIFF file, overviews and masks left out.

    Returns:
        None where the file is no TIFF.

    Raises:
        Undecodable: there are several images, none, or the tags are damaged.
    """
    file.seek(0)
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if not order or head[2:4] not in (struct.pack(order + "H", n) for n in (42, 43)):
        return None
    try:
        pages = list(_directories(file, head, order))
        images = [
            (index, tags)
            for index, tags in enumerate(pages)
            if not tags.get(_SUBFILE, (0,))[0] & _REDUCED_OR_MASK
        ]
        stack = _STACK.match(bytes(pages[0].get(_TEXT, ()))) if pages else None
        count = max(len(images), int(stack[1]) if stack else 1)
        if count > 1:
            raise Undecodable(f"holds {count} images; write one file for each")
        return _page(*images[0]) if images else _page(0, pages[0])
    except (*BROKEN, KeyError) as error:
        raise damaged(error) from error


def _directories(
    file: BinaryIO, head: bytes, order: str
) -> Iterator[dict[int, tuple[int, ...]]]:
    """Yields the wanted tags of each page, in the file's order."""
    is_big = head[2:4] == struct.pack(order + "H", 43)
    (place,) = struct.unpack_from(order + ("8xQ" if is_big else "4xI"), head)
    seen = set[int]()
    while place and place not in seen and len(seen) < _MOST_PAGES:
        seen.add(place)
        tags, place = _directory(file, place, order, is_big)
        yield tags


def _directory(
    file: BinaryIO, place: int, order: str, is_big: bool
) -> tuple[dict[int, tuple[int, ...]], int]:
    """Returns the tags of the page at ``place``, and the place of the next page."""
    counts, number, size = ("Q", "Q", 20) if is_big else ("H", "I", 12)
    file.seek(place)
    (count,) = struct.unpack(order + counts, file.read(struct.calcsize(counts)))
    if count > _MOST_TAGS:
        raise ValueError(f"a page of {count} tags")
    content = file.read(count * size + struct.calcsize(number))
    tags = {}
    for start in range(0, count * size, size):
        tag, kind, values = struct.unpack_from(f"{order}HH{number}", content, start)
        if tag not in _WANTED or kind not in _FORMATS:
            continue
        layout = f"{order}{min(values, _MOST_VALUES)}{_FORMATS[kind]}"
        last = start + size - struct.calcsize(number)
        raw = content[last : start + size]
        if struct.calcsize(layout) > len(raw):
            file.seek(*struct.unpack(order + number, raw))
            raw = file.read(struct.calcsize(layout))
        tags[tag] = struct.unpack_from(layout, raw)
    return tags, struct.unpack_from(order + number, content, count * size)[0]


def _page(index: int, tags: dict[int, tuple[int, ...]]) -> Page:
    def one(tag: int, default: int) -> int:
        return tags.get(tag, (default,))[0]

    height, width = tags[_HEIGHT][0], tags[_WIDTH][0]
    orientation = one(_ORIENTATION, 1)
    return Page(
        index=index,
        shape=(width, height) if 5 <= orientation <= 8 else (height, width),
        bands=one(_BANDS, 1),
        bits=max(tags.get(_BITS, (1,))),
        kind=one(_KIND, 1),
        colours=one(_COLOURS, 1),
        apart=one(_PLANES, 1) == 2,
        extra=tags.get(_EXTRA, ()),
        orientation=orientation if 1 <= orientation <= 8 else 1,
    )


def refuse_negative(page: Page) -> None:
    """Refuses levels of more than 8 bits where 0 is stored for white.

    Raises:
        Undecodable: it has them. Pillow turns those of 8 bits around, and these not.
    """
    if page.colours == 0 and page.bits > 8:
        cause = "has 0 for white, which is not read; write it with 0 for black"
        raise Undecodable(f"is a {page} that {cause}")


def read_page(file: BinaryIO, page: Page, max_pixels: int) -> npt.NDArray[Any]:
    """Returns the upright values of all bands (h, w, bands), as they are stored.

    Raises:
        Undecodable: tifffile is missing, or the file is damaged, of colours that need
            a conversion, or too large.
    """
    if page.colours not in (1, _RGB):
        raise Undecodable(
            f"is a {page} in colours of TIFF's kind {page.colours}, which is not read; "
            "convert it to RGB or grey"
        )
    size = page.shape[0] * page.shape[1] * page.bands * -(-page.bits // 8)
    if size > _MOST_BYTES * max_pixels:
        raise Undecodable(f"is a {page}, more than --max-pixels {max_pixels} allows")
    if not is_installed("tifffile"):
        raise Undecodable(f"is a {page}, which is read after {INSTALL}")
    import tifffile

    # Its complaints about a damaged file become the one message below.
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    file.seek(0)
    try:
        with tifffile.TiffFile(file) as whole:
            found = whole.pages[page.index]
            _require_whole(file, found, page)
            values = found.asarray()
            if page.apart and page.bands > 1:
                values = np.moveaxis(values, 0, -1)
            values = values.reshape(*values.shape[:2], page.bands)
    except (*BROKEN, RuntimeError, KeyError, zlib.error, tifffile.TiffFileError) as e:
        raise damaged(e) from e
    return np.ascontiguousarray(_upright(values, page.orientation))


def _upright(values: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    if orientation >= 5:
        values = values.swapaxes(0, 1)
    down = -1 if orientation in (3, 4, 7, 8) else 1
    across = -1 if orientation in (2, 3, 6, 7) else 1
    return values[::down, ::across]


def _require_whole(file: BinaryIO, found: Any, page: Page) -> None:
    """Refuses a page that ends behind the file: tifffile would fill it with zeros."""
    if math.prod(found.shape) != math.prod(page.shape) * page.bands:
        raise ValueError(f"{found.shape} values in a {page}")
    end = file.seek(0, 2)
    for offset, length in zip(found.dataoffsets, found.databytecounts, strict=True):
        if offset + length > end:
            raise ValueError(f"ends at byte {end}, its pixels at {offset + length}")
