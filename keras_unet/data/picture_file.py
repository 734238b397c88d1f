"""One picture file opened through Pillow: header, pixels, or why there are none.

Belongs below the other parts of the ground floor, with ``config`` and ``errors``.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from keras_unet.data.palette import grey_levels
from keras_unet.errors import BadData

MAX_PIXELS = 178_956_970
"""Where Pillow, too, begins to refuse a picture as a decompression bomb."""

_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP")
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error)
_OPENING = threading.Lock()


class Unreadable(BadData):
    """A file that cannot be used.

    Attributes:
        file: the file.
        cause: what is wrong with it, without its name.
    """

    def __init__(self, file: Path, cause: str) -> None:
        """Keeps file and cause apart, for lists of many of them."""
        super().__init__(f"{file}: {cause}")
        self.file, self.cause = file, cause


@dataclass(frozen=True)
class Header:
    """What a file says of itself before its pixels are read.

    Attributes:
        format: Pillow's name of the format, by content.
        mode: Pillow's name of the pixels' layout.
        shape: (height, width), upright.
        orientation: EXIF's 1 to 8; 1 is upright.
        indexed: the pixels are indices into a palette that has colours.
    """

    format: str
    mode: str
    shape: tuple[int, int]
    orientation: int
    indexed: bool


def read_header(
    path: Path, max_pixels: int = MAX_PIXELS, check_pixels: bool = False
) -> Header:
    """Returns what the file's header says.

    Args:
        path: the file.
        max_pixels: the largest picture that is opened.
        check_pixels: also decode the file, as coarsely as its format allows, so that
            a damaged one is found.

    Raises:
        Unreadable: missing, forbidden, damaged, no picture, or too large.
    """
    with opened(path, max_pixels) as image:
        orientation = _orientation(path, image)
        height, width = image.height, image.width
        # Pillow turns TIFF pictures itself, and no others.
        lies = orientation >= 5 and image.format != "TIFF"
        indexed = image.mode == "P" and _has_colours(path, image)
        header = Header(
            image.format or "",
            image.mode,
            (width, height) if lies else (height, width),
            orientation,
            indexed,
        )
        if check_pixels:
            image.draft(image.mode, (1, 1))
            load(path, image)
        return header


@contextmanager
def opened(path: Path, max_pixels: int) -> Iterator[Image.Image]:
    """Gives the file's one picture, its pixels not yet read.

    Raises:
        Unreadable: missing, forbidden, no picture, several pictures, or too large.
    """
    with _open(path) as file, _identify(path, file) as image:
        if image.width * image.height > max_pixels:
            raise Unreadable(
                path,
                f"{image.width}×{image.height} pixels are more than --max-pixels "
                f"{max_pixels} allows",
            )
        # A phone's MPO holds a preview beside its picture; other files' frames are
        # pictures of their own, and which one is meant is not ours to guess.
        frames = 1 if image.format == "MPO" else _frames(path, image)
        if frames > 1:
            raise Unreadable(path, f"holds {frames} pictures; write one file for each")
        yield image


def _frames(path: Path, image: Image.Image) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except _BROKEN as error:
        raise Unreadable(path, f"is truncated or damaged ({error})") from error


def _open(path: Path) -> BinaryIO:
    # Given a name, Pillow 13 maps the file and reads turned TIFF pictures wrongly.
    try:
        return path.open("rb")
    except PermissionError as error:
        raise Unreadable(path, "may not be read (no permission)") from error
    except FileNotFoundError as error:
        cause = "is a broken link" if path.is_symlink() else "is not there"
        raise Unreadable(path, cause) from error
    except OSError as error:
        raise Unreadable(path, f"cannot be opened ({error.strerror})") from error


def _identify(path: Path, file: BinaryIO) -> Image.Image:
    # Pillow's own limit is a global that knows nothing of --max-pixels.
    with _OPENING:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file, formats=_FORMATS)
        except _BROKEN as error:
            cause = "is no picture (JPEG, PNG, GIF, BMP, TIFF or WebP) or is damaged"
            empty = path.stat().st_size == 0
            raise Unreadable(path, "is empty (0 bytes)" if empty else cause) from error
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def load(path: Path, image: Image.Image) -> Image.Image:
    """Returns the picture upright, its pixels read.

    Raises:
        Unreadable: the file is damaged.
    """
    try:
        image.load()
    except _BROKEN as error:
        raise Unreadable(path, f"is truncated or damaged ({error})") from error
    # Only now, because a TIFF picture was turned while its pixels were read.
    orientation = _orientation(path, image)
    return image if orientation == 1 else image.transpose(_UPRIGHT[orientation])


def read_palette(image: Image.Image) -> bytes:
    """Returns the palette as ``grey_levels`` takes it, once the pixels are read."""
    return bytes(image.getpalette("RGB") or [0, 0, 0])


def _has_colours(path: Path, image: Image.Image) -> bool:
    try:
        return grey_levels(read_palette(image)) is None
    except _BROKEN as error:
        raise Unreadable(path, f"is truncated or damaged ({error})") from error


def _orientation(path: Path, image: Image.Image) -> int:
    # Pillow would decode a whole PNG to look for EXIF data behind the pixels.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except _BROKEN as error:
        raise Unreadable(path, f"has damaged EXIF data ({error})") from error
    return orientation if orientation in _UPRIGHT else 1
