"""One image file through Pillow: header, palette, pixels, or why there are none.

Images are upright. They lose their alpha channel and, where they have 16 bits, their
lower 8: so does TensorFlow's decoder, and a served image must look like a training
image. What decodes takes an open file and knows no names; ``opened`` puts the file's
name to what is raised about its content.
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
_BROKEN = (
    *(OSError, SyntaxError, ValueError, TypeError, EOFError, IndexError),
    struct.error,
)
_OPENING = threading.Lock()
# Of blocks up to 32 MB (Pillow's have 16) glibc keeps what was freed, in every thread.
Image.core.set_block_size(1 << 26)  # type: ignore[attr-defined]
_STRIP = 4_000_000
"""Pixels that are converted at a time."""


class Undecodable(Exception):  # noqa: N818, the name says it
    """What is wrong with a file's content, without the file's name."""


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


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Gives the open file; what is wrong with it or its content gets its name.

    Raises:
        Unreadable: the file is missing or forbidden, or what is done with it within
            the block raises Undecodable.
    """
    try:
        # Given a name, Pillow 13 maps the file and reads turned TIFF images wrongly.
        file = path.open("rb")
    except PermissionError as error:
        raise Unreadable(path, "may not be read (no permission)") from error
    except FileNotFoundError as error:
        cause = "is a broken link" if path.is_symlink() else "is not there"
        raise Unreadable(path, cause) from error
    except OSError as error:
        raise Unreadable(path, f"cannot be opened ({error.strerror})") from error
    with file:
        try:
            yield file
        except Undecodable as error:
            raise Unreadable(path, str(error)) from error
        except OSError as error:
            raise Unreadable(path, f"cannot be read ({error.strerror})") from error


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

    @property
    def size(self) -> str:
        """Width and height in words."""
        return f"{self.shape[1]}×{self.shape[0]}"


def read_header(file: BinaryIO, max_pixels: int, check_pixels: bool = False) -> Header:
    """Returns what the header of an image file says.

    Args:
        file: open, read from its start.
        max_pixels: the largest image that is opened.
        check_pixels: also decode the file, as coarsely as its format allows, so that
            a damaged one is found.

    Raises:
        Undecodable: damaged, no image, or too large.
    """
    with identified(file, max_pixels) as image:
        orientation = _orientation(image)
        height, width = image.height, image.width
        # Pillow turns TIFF images itself, and no others.
        lies = orientation >= 5 and image.format != "TIFF"
        indexed = image.mode == "P" and _has_colours(image)
        header = Header(
            image.format or "",
            image.mode,
            (width, height) if lies else (height, width),
            orientation,
            indexed,
        )
        if check_pixels:
            image.draft(image.mode, (1, 1))
            load(image)
        return header


def read_image(path: Path, channels: int, max_pixels: int) -> types.Image:
    """Returns the upright image of a file at its own size, uint8 (h, w, channels).

    Raises:
        Unreadable: missing, forbidden, damaged, no image, too large, or of a kind
            whose brightness has no known scale.
    """
    with opened(path) as file:
        return decode_image(file, channels, max_pixels)


def decode_image(file: BinaryIO, channels: int, max_pixels: int) -> types.Image:
    """Returns the upright image in an open file, uint8 (h, w, channels).

    Raises:
        Undecodable: as ``read_image`` says, but for what is wrong with the path.
    """
    with identified(file, max_pixels) as image:
        return pixels_of(image, channels)


def pixels_of(image: Image.Image, channels: int) -> types.Image:
    """Returns the upright pixels of Pillow's image, uint8 (h, w, channels).

    Raises:
        Undecodable: damaged, or of a kind whose brightness has no known scale.
    """
    image = load(image)
    width, height = image.size
    pixels = np.empty((height, width, channels), np.uint8)
    # Some rows at a time, because on the way Pillow copies its pixels four times.
    step = max(1, _STRIP // max(1, width))
    for top in range(0, height, step):
        rows = image.crop((0, top, width, min(top + step, height)))
        strip = np.asarray(_to_8_bits(rows, channels))
        pixels[top : top + step] = strip.reshape((-1, width, channels))
    return pixels


def image_shape(path: Path, max_pixels: int) -> tuple[int, int]:
    """Returns (height, width) of the upright image of a file, from its header.

    Raises:
        Unreadable: the file is no image.
    """
    with opened(path) as file:
        return read_header(file, max_pixels).shape


@contextmanager
def identified(file: BinaryIO, max_pixels: int) -> Iterator[Image.Image]:
    """Gives the file's one image, its pixels not yet read.

    Raises:
        Undecodable: no image, several images, or too large.
    """
    with _identify(file) as image:
        if image.width * image.height > max_pixels:
            raise Undecodable(
                f"{image.width}×{image.height} pixels are more than --max-pixels "
                f"{max_pixels} allows"
            )
        # A phone's MPO holds a preview beside its image; other files' frames are
        # images of their own, and which one is meant is not ours to guess.
        frames = 1 if image.format == "MPO" else _frames(image)
        if frames > 1:
            raise Undecodable(f"holds {frames} images; write one file for each")
        yield image


def _frames(image: Image.Image) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except _BROKEN as error:
        raise _damaged(error) from error


def _damaged(error: Exception) -> Undecodable:
    return Undecodable(f"is truncated or damaged ({error})")


def _identify(file: BinaryIO) -> Image.Image:
    file.seek(0)
    # Pillow's own limit is a global that knows nothing of --max-pixels.
    with _OPENING:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file, formats=_FORMATS)
        except _BROKEN as error:
            cause = "is no image (JPEG, PNG, GIF, BMP, TIFF or WebP) or is damaged"
            empty = file.seek(0, 2) == 0
            raise Undecodable("is empty (0 bytes)" if empty else cause) from error
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def load(image: Image.Image) -> Image.Image:
    """Returns the image upright, its pixels read.

    Raises:
        Undecodable: the file is damaged.
    """
    try:
        image.load()
    except _BROKEN as error:
        raise _damaged(error) from error
    # Only now, because a TIFF image was turned while its pixels were read.
    orientation = _orientation(image)
    return image if orientation == 1 else image.transpose(_UPRIGHT[orientation])


def read_palette(image: Image.Image) -> bytes:
    """Returns the palette as ``grey_levels`` takes it, once the pixels are read."""
    return bytes(image.getpalette("RGB") or [0, 0, 0])


def _has_colours(image: Image.Image) -> bool:
    try:
        return grey_levels(read_palette(image)) is None
    except _BROKEN as error:
        raise _damaged(error) from error


def _orientation(image: Image.Image) -> int:
    # Pillow would decode a whole PNG to look for EXIF data behind the pixels.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except _BROKEN as error:
        raise Undecodable(f"has damaged EXIF data ({error})") from error
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


def _to_8_bits(image: Image.Image, channels: int) -> Image.Image:
    if image.mode == "F":
        raise Undecodable("holds fractions; write it with 8 or 16 bits a channel")
    if image.mode.startswith("I"):
        values = whole_numbers(np.asarray(image))
        if values.size and (values.min() < 0 or values.max() > 0xFFFF):
            raise Undecodable("has more than 16 bits a channel")
        image = Image.fromarray((values >> 8).astype(np.uint8))
    return convert(image, "L" if channels == 1 else "RGB")


def convert(image: Image.Image, mode: str) -> Image.Image:
    """Returns the image in another of Pillow's modes.

    Raises:
        Undecodable: Pillow does not know how.
    """
    if "transparency" in image.info:
        # It is dropped in any case; of palettes Pillow warns that it is.
        image = image.copy()
        del image.info["transparency"]
    try:
        return image.convert(mode)
    except ValueError as error:
        raise Undecodable(f"has colours of a kind not read ({error})") from error


def whole_numbers(values: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Returns the values as integers.

    Raises:
        Undecodable: one of them is a fraction.
    """
    with np.errstate(invalid="ignore"):
        whole = values.astype(np.int32)
    if (whole != values).any():
        raise Undecodable("holds fractions; a mask's values are whole numbers")
    return whole
