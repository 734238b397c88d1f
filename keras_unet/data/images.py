"""One image file: its header, and its pixels as the network is to see them.

Images are upright and have 8 bits. They lose their alpha channel, whose colours count
as they are stored, and of 16 bits the set's own white decides which 8 are kept.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from keras_unet import types
from keras_unet.console import is_installed
from keras_unet.data import tiff
from keras_unet.data.folders import opened
from keras_unet.data.pillow import (
    convert,
    find_orientation,
    identified,
    is_deep,
    load,
    open_image,
    require_size,
    take_lower_bytes,
)
from keras_unet.data_config import DataConfig
from keras_unet.errors import Undecodable

_STRIP = 4_000_000  # Pixels that are converted at a time.
LARGE = 2**29 // 3  # Pixels, above which TensorFlow decodes no JPEG.

BRIGHTEST = 0xFFFF
"""What counts as white where nothing is known: all 16 bits are used."""


@dataclass(frozen=True)
class Header:
    """What a file says of itself before its pixels are read.

    Attributes:
        format: Pillow's name of the format, by content.
        mode: Pillow's name of the pixels' layout; "RGB;16" where its own leaves the
            16 bits out, "5×8" where it has none for 5 bands of 8 bits.
        shape: (height, width), upright.
        orientation: EXIF's 1 to 8; 1 is upright.
    """

    format: str
    mode: str
    shape: tuple[int, int]
    orientation: int

    @property
    def size(self) -> str:
        """Width and height in words."""
        return f"{self.shape[1]}×{self.shape[0]}"

    @property
    def is_plain(self) -> bool:
        """Whether it has 8 bits and a layout that Pillow reads."""
        deep = self.mode.startswith(("I", "F"))
        return not (deep or ";" in self.mode or "×" in self.mode)


def read_header(file: BinaryIO, max_pixels: int, check_pixels: bool = False) -> Header:
    """Returns what the header of an image file, open, says.

    With ``check_pixels`` the file is also decoded, as coarsely as its format allows,
    so that a damaged one is found.

    Raises:
        Undecodable: damaged, no image, or too large.
    """
    page = tiff.find_page(file)
    if page and open_image(file, page) is None:
        require_size(page.shape, max_pixels)
        return Header("TIFF", page.mode, page.shape, page.orientation)
    with identified(file, max_pixels) as image:
        orientation = find_orientation(image)
        height, width = image.height, image.width
        # Of a TIFF image Pillow tells the size once turned.
        lies = orientation >= 5 and image.format != "TIFF"
        deep = ";16" if is_deep(image) else ""
        header = Header(
            image.format or "",
            image.mode + deep,
            (width, height) if lies else (height, width),
            orientation,
        )
        if check_pixels:
            image.draft(image.mode, (1, 1))
            load(image)
        return header


def read_image(path: Path, channels: int, data: DataConfig) -> types.Image:
    """Returns the upright image of a file at its own size, uint8 (h, w, channels).

    Channels are 3 (RGB) or 1 (grey); of ``data``, ``bands``, ``white`` and
    ``max_pixels`` say how.

    Raises:
        Unreadable: missing, forbidden, damaged, no image, too large, or of a kind
            whose brightness has no known scale.
    """
    with opened(path) as file:
        return decode_image(file, channels, data)


def decode_image(file: BinaryIO, channels: int, data: DataConfig) -> types.Image:
    """Returns the upright image in an open file, uint8 (h, w, channels).

    Raises:
        Undecodable: as ``read_image`` says, but for what is wrong with the path.
    """
    return as_channels(to_8_bits(decode_values(file, data), data.white), channels)


def pixels_of(image: Image.Image, channels: int, data: DataConfig) -> types.Image:
    """Returns the upright pixels of Pillow's image, uint8 (h, w, channels).

    Raises:
        Undecodable: damaged, or of a kind whose brightness has no known scale.
    """
    values = _picked(_in_strips(load(image), bool(data.bands)), data.bands)
    return as_channels(to_8_bits(values, data.white), channels)


def as_channels(pixels: types.Image, channels: int) -> types.Image:
    """Returns pixels, uint8 (h, w, 3 or 1), as RGB or grey."""
    if pixels.shape[-1] == channels:
        return np.ascontiguousarray(pixels)
    if channels == 3:
        return pixels.repeat(3, axis=-1)
    grey = np.empty((*pixels.shape[:2], 1), np.uint8)
    for rows in _strips(*pixels.shape[:2]):
        grey[rows, :, 0] = Image.fromarray(pixels[rows]).convert("L")
    return grey


def decode_values(file: BinaryIO, data: DataConfig) -> npt.NDArray[Any]:
    """Returns the upright image in an open file, uint8 or uint16 (h, w, 1 or 3).

    Raises:
        Undecodable: as by ``decode_image``.
    """
    page = tiff.find_page(file)
    if page:
        tiff.refuse_negative(page)
        known = open_image(file, page)
        if known is None or max(data.bands, default=0) > len(known.getbands()):
            return _values_of_page(file, page, data)
    with identified(file, data.max_pixels) as image:
        deep = is_deep(image)
        large = image.width * image.height > LARGE and _large_rgb(file, image, page)
        if isinstance(large, np.ndarray):
            return _picked(large, data.bands)
        values = _in_strips(load(image), bool(data.bands))
    if deep:
        with identified(file, data.max_pixels) as image:
            take_lower_bytes(image)
            low = _in_strips(load(image), bool(data.bands))
        values = (values.astype(np.uint16) << 8) | low
    return _picked(values, data.bands)


def _large_rgb(
    file: BinaryIO, image: Image.Image, page: tiff.Page | None
) -> types.Image | None:
    """Returns a JPEG's or TIFF's pixels (h, w, 3), and none where Pillow is needed.

    Pillow has four bytes a pixel, beside which the three that are wanted need not fit.
    """
    plain = image.mode == "RGB" and not is_deep(image) and find_orientation(image) == 1
    if not plain or not is_installed("imagecodecs"):
        return None
    if image.format == "JPEG":
        import imagecodecs

        # Coarsely, because imagecodecs takes what is cut short for whole.
        image.draft("RGB", (1, 1))
        load(image)
        file.seek(0)
        decoded: types.Image = imagecodecs.jpeg8_decode(file.read())
        return decoded
    if page and page.bands == 3:
        # What tifffile cannot read, Pillow may, or tells what is wrong.
        with contextlib.suppress(Undecodable):
            return tiff.read_page(file, page, image.width * image.height)
    return None


def image_shape(path: Path, max_pixels: int) -> tuple[int, int]:
    """Returns (height, width) of the upright image of a file, from its header.

    Raises:
        Unreadable: the file is no image.
    """
    with opened(path) as file:
        return read_header(file, max_pixels).shape


def _values_of_page(
    file: BinaryIO, page: tiff.Page, data: DataConfig
) -> npt.NDArray[Any]:
    require_size(page.shape, data.max_pixels)
    bands = data.bands or page.own_bands
    if not bands:
        needed = "" if is_installed("tifffile") else f" (after {tiff.INSTALL})"
        three = "--bands 1 2 3 picks three" if page.bands > 2 else "--bands 1 picks one"
        raise Undecodable(f"is a {page}, which is not read; {three}{needed}")
    values = tiff.read_page(file, page, data.max_pixels)
    return _unsigned(_picked(values, bands))


def _in_strips(image: Image.Image, all_of_them: bool) -> npt.NDArray[Any]:
    """Returns ``_channels``, some rows at a time: on the way Pillow copies them."""
    values: npt.NDArray[Any] | None = None
    for rows in _strips(image.height, image.width):
        strip = image.crop((0, rows.start, image.width, rows.stop))
        part = _channels(strip, all_of_them)
        if values is None:
            values = np.empty((image.height, *part.shape[1:]), part.dtype)
        values[rows] = part
    return np.empty((0, 0, 1), np.uint8) if values is None else values


def _strips(height: int, width: int) -> Iterator[slice]:
    step = max(1, _STRIP // max(1, width))
    return (slice(top, min(top + step, height)) for top in range(0, height, step))


def _channels(image: Image.Image, all_of_them: bool) -> npt.NDArray[Any]:
    """Returns grey, RGB, or what channels there are, (h, w, channels)."""
    if image.mode[0] in "IF":
        return _unsigned(np.asarray(image)[..., np.newaxis])
    if image.mode == "1":
        image = convert(image, "L")
    if image.mode not in ("L", "LA", "La", "RGB", "RGBA", "RGBX"):
        image = convert(image, "RGB")
    values = np.asarray(image)
    values = values.reshape((*values.shape[:2], -1))
    return values if all_of_them else values[..., : 3 if values.shape[-1] > 2 else 1]


def _unsigned(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns the values as uint8 or uint16.

    Raises:
        Undecodable: they are no whole numbers from 0 to 65535.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind not in "iu":
        raise Undecodable("holds fractions; write it with 8 or 16 bits a channel")
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if low < 0:
        fitting = (b for b in (8, 16, 32) if -low <= 2 ** (b - 1) > high)
        bits = next(fitting, 64)
        raise Undecodable(
            f"has signed {bits} bits from about {_rounded(low)} to {_rounded(high)}, "
            "as CT has, and no known black and white: write all files anew with one "
            "window, for example as numpy.clip((values + 1000) / 2000 * 255, 0, 255)"
            '.astype("uint8")'
        )
    if high > BRIGHTEST:
        raise Undecodable("has more than 16 bits a channel")
    return values.astype(np.uint16)


def _rounded(value: int) -> int:
    """Returns it with one digit, away from 0, so that files alike are told together."""
    step = int("1" + "0" * (len(str(abs(value))) - 1))
    return -(-abs(value) // step) * step * (1 if value >= 0 else -1)


def _picked(values: npt.NDArray[Any], bands: tuple[int, ...]) -> npt.NDArray[Any]:
    if not bands:
        return values
    count = values.shape[-1]
    if max(bands) > count:
        has = f"{count} band" + ("s" if count > 1 else "")
        raise Undecodable(f"has {has}, and --bands asks for number {max(bands)}")
    return values[..., [band - 1 for band in bands]]


def to_8_bits(values: npt.NDArray[Any], white: int | None) -> types.Image:
    """Returns values, uint8 or uint16 of any shape, as uint8.

    Args:
        values: uint8 stays as it is.
        white: the 16-bit value that becomes 255, as all above it do; 0 becomes 0. Of
            2**k - 1, the upper 8 of k bits are kept. None is known where a training saw
            no image of 16 bits.

    Raises:
        Undecodable: none is known, and not all 16 bits are used.
    """
    if values.dtype == np.uint8:
        return values
    bits = 16 if white else max(8, int(values.max(initial=0)).bit_length())
    if bits < 16:
        raise Undecodable(
            f"has 16 bits of which {bits} are used, and the run was trained on images "
            "of 8, so that what counts as white is not known: keras_unet.predict "
            f"--white {2**bits - 1}, or --white {BRIGHTEST}"
        )
    levels: types.Image = _table(white or BRIGHTEST)[values]
    return levels


@functools.lru_cache(maxsize=4)
def _table(white: int) -> types.Image:
    values = np.minimum(np.arange(BRIGHTEST + 1), white)
    return (values * 256 // (white + 1)).astype(np.uint8)


def find_white(
    brightest: Sequence[int], white: int | None
) -> tuple[int | None, list[str]]:
    """Returns what counts as white, and what is to be said of it.

    ``brightest`` are the largest values of the images of 16 bits.
    """
    if not brightest:
        return white, []
    most = max(brightest)
    if white is not None:
        above = sum(value > white for value in brightest)
        note = f"images: {above} of 16 bits have values above --white {white} ({most})"
        return white, [f"{note}, which become white too"] if above else []
    median = sorted(brightest)[len(brightest) // 2]
    bits, usual = (max(8, value.bit_length()) for value in (most, median))
    white = 2**bits - 1
    used = f"images: 16 bits of which {bits} are used: {white} counts as white"
    if usual + 1 < bits:
        dark = f"the median image's brightest pixel has {median}"
        return white, [f"{used}, but {dark}: --white {2**usual - 1} would show it"]
    return white, [f"{used} (--white)"] if bits < 16 else []
