"""One image file through Pillow: header, palette, pixels, or why there are none.

Images are upright. They lose their alpha channel and, where they have 16 bits, their
lower 8: so does TensorFlow's decoder, and a served image must look like a training
image.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from keras_unet import types
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


def grey_levels(palette: bytes) -> bytes | None:
    """Returns the level of each of the 256 indices; None if there are others or none.

    The palette as a whole decides, used or not, because a mask of a coloured set may
    happen to show only its grey entries.

    Args:
        palette: red, green and blue of each index, of 256 or fewer.
    """
    red = palette[::3]
    if not red or palette[1::3] != red or palette[2::3] != red:
        return None
    return (red * 256)[:256]


def image_shape(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Returns (height, width) of the upright picture from its header.

    Raises:
        Unreadable: the file is no picture.
    """
    return read_header(path, max_pixels).shape


def read_image(path: Path, channels: int, max_pixels: int) -> types.Image:
    """Returns the upright picture, uint8 (h, w, channels).

    Raises:
        Unreadable: missing, forbidden, damaged, no picture, too large, or of a kind
            whose brightness has no known scale.
    """
    with opened(path, max_pixels) as image:
        pixels = np.asarray(_to_8_bits(path, load(path, image), channels))
    return np.array(pixels.reshape((*pixels.shape[:2], channels)))


def _to_8_bits(path: Path, image: Image.Image, channels: int) -> Image.Image:
    if image.mode == "F":
        raise Unreadable(path, "holds fractions; write it with 8 or 16 bits a channel")
    if image.mode.startswith("I"):
        values = whole_numbers(path, np.asarray(image))
        if values.size and (values.min() < 0 or values.max() > 0xFFFF):
            raise Unreadable(path, "has more than 16 bits a channel")
        image = Image.fromarray((values >> 8).astype(np.uint8))
    return convert(path, image, "L" if channels == 1 else "RGB")


def convert(path: Path, image: Image.Image, mode: str) -> Image.Image:
    """Returns the image in another of Pillow's modes.

    Raises:
        Unreadable: Pillow does not know how.
    """
    # Transparency is dropped in any case; of palettes Pillow warns that it is.
    image.info.pop("transparency", None)
    try:
        return image.convert(mode)
    except ValueError as error:
        raise Unreadable(path, f"has colours of a kind not read ({error})") from error


def whole_numbers(path: Path, values: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Returns the values as integers.

    Raises:
        Unreadable: one of them is a fraction.
    """
    with np.errstate(invalid="ignore"):
        whole = values.astype(np.int32)
    if (whole != values).any():
        raise Unreadable(path, "holds fractions; a mask's values are whole numbers")
    return whole
