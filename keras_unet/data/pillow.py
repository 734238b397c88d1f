"""One image file through Pillow: identified, upright, its pixels or what is wrong.

It takes open files and knows no names: ``folders.opened`` adds them.
"""

from __future__ import annotations

import re
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import (
    BmpImagePlugin,  # noqa: F401, each registers its format
    GifImagePlugin,  # noqa: F401
    Image,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
)

from keras_unet.data import tiff
from keras_unet.data.tiff import BROKEN, damaged
from keras_unet.errors import Undecodable

# Of blocks up to 32 MB (Pillow's have 16) glibc keeps what was freed, in every thread.
Image.core.set_block_size(1 << 26)  # type: ignore[attr-defined]
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
_LIMITED = ("GIF", "TIFF", "WEBP")
"""Formats whose readers ask for Pillow's own limit; ``Image.open`` always does."""
_DEEP = re.compile("RGB[AX]?;16[BLN]")
"""Raw modes of which Pillow keeps the upper bytes alone."""
_OTHER_BYTE = {"B": "L", "L": "B", "N": "B"}
"""By the raw modes' last letters; N is the machine's own order, lower byte first."""


class _WithoutLimit:
    """A block in which Pillow's limit, a global, is off; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._limit: int | None = None

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._limit = Image.MAX_IMAGE_PIXELS
            self._inside += 1
            Image.MAX_IMAGE_PIXELS = None

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                Image.MAX_IMAGE_PIXELS = self._limit


_without_limit = _WithoutLimit()


@contextmanager
def identified(file: BinaryIO, max_pixels: int) -> Iterator[Image.Image]:
    """Gives the file's one image, its pixels not yet read where Pillow can wait.

    Raises:
        Undecodable: no image, several images, too large, or a TIFF of several bands
            of a kind that Pillow does not know.
    """
    page = tiff.find_page(file)
    if page:
        require_size(page.shape, max_pixels)
    image = open_image(file, page)
    if image is None and page:
        if page.bands > 1:
            raise Undecodable(f"is a {page}, which is not read")
        values = tiff.read_page(file, page, max_pixels)[..., 0]
        image = Image.fromarray(whole_numbers(values))
    if image is None:
        raise Undecodable(_what_it_is(file))
    if page and page.kind == 2 and image.mode == "L":
        image = _signed(image)
    with image:
        require_size((image.height, image.width), max_pixels)
        # A phone's MPO holds a preview beside its image; other files' frames are
        # images of their own, and which one is meant is not ours to guess.
        frames = 1 if page or image.format == "MPO" else _frames(image)
        if frames > 1:
            raise Undecodable(f"holds {frames} images; write one file for each")
        yield image


def _signed(image: Image.Image) -> Image.Image:
    """Returns levels that are signed bytes, which Pillow takes for unsigned ones."""
    values = np.asarray(load(image)).view(np.int8)
    if (values >= 0).all():
        return image
    signed = Image.fromarray(values.astype(np.int32))
    signed.format = image.format  # type: ignore[misc]
    return signed


def require_size(shape: tuple[int, int], max_pixels: int) -> None:
    """Refuses an image (height, width) of more than ``max_pixels``.

    Raises:
        Undecodable: it has more.
    """
    if shape[0] * shape[1] > max_pixels:
        raise Undecodable(
            f"{shape[1]}×{shape[0]} pixels are more than --max-pixels "
            f"{max_pixels} allows"
        )


def open_image(file: BinaryIO, page: tiff.Page | None) -> Image.Image | None:
    """Returns the image, of a TIFF that of ``page``; None where Pillow reads none."""
    # Pillow takes the first byte of each such value for the value itself.
    if page and page.apart and page.bands > 1 and page.bits > 8:
        return None
    file.seek(0)
    start = file.read(16)
    for name in _FORMATS:
        factory, accept = Image.OPEN[name]
        if accept is None or accept(start) is True:
            file.seek(0)
            try:
                # Image.open would ask for Pillow's limit.
                with _without_limit if name in _LIMITED else nullcontext():
                    image: Image.Image = factory(file, "")
                    if page and page.index:
                        image.seek(page.index)
                    if page:
                        # Of alpha tagged as premultiplied Pillow would divide by it.
                        _change_raw_modes(image, lambda raw: raw.replace("a", "A"))
                    return image
            except BROKEN:
                return None
    return None


def _what_it_is(file: BinaryIO) -> str:
    file.seek(0)
    start = file.read(64)
    if not start:
        return "is empty (0 bytes)"
    if start[4:8] == b"ftyp":
        avif = b"avif" in start or b"avis" in start
        if avif or start[8:12] in _HEIC:
            kind = "an AVIF" if avif else "a HEIC"
            return f"is {kind} image, which is not read; convert it to JPEG or PNG"
    return "is no image (JPEG, PNG, GIF, BMP, TIFF or WebP) or is damaged"


_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def _frames(image: Image.Image) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except BROKEN as error:
        raise damaged(error) from error


def load(image: Image.Image) -> Image.Image:
    """Returns the image upright, its pixels read.

    Raises:
        Undecodable: the file is damaged.
    """
    # Before the pixels, as the header has it: behind them Pillow may find another.
    orientation = find_orientation(image)
    try:
        with _without_limit if image.format in _LIMITED else nullcontext():
            image.load()
    except BROKEN as error:
        raise damaged(error) from error
    # Pillow turns TIFF images itself, and no others.
    if orientation == 1 or image.format == "TIFF":
        return image
    return image.transpose(_UPRIGHT[orientation])


def find_orientation(image: Image.Image) -> int:
    """Returns EXIF's orientation, 1 to 8, of an image whose pixels are not yet read.

    EXIF data behind the pixels of a PNG count nowhere: most programs ignore them.

    Raises:
        Undecodable: the EXIF data are damaged.
    """
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    try:
        return _known(image.getexif())
    except BROKEN as error:
        raise Undecodable(f"has damaged EXIF data ({error})") from error


def _known(exif: Image.Exif) -> int:
    orientation = int(exif.get(_ORIENTATION, 1))
    return orientation if orientation in _UPRIGHT else 1


def late_orientation(file: BinaryIO) -> int:
    """Returns what the EXIF data behind the pixels of a PNG say, 1 if there are none.

    No pixel is read.
    """
    place, behind = 8, False
    while True:
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return 1
        length, name = struct.unpack(">I4s", head)
        if name == b"eXIf" and behind:
            exif = Image.Exif()
            try:
                exif.load(file.read(min(length, 1 << 20)))
                return _known(exif)
            except BROKEN:
                return 1
        behind |= name == b"IDAT"
        place += length + 12


def is_deep(image: Image.Image) -> bool:
    """Returns whether Pillow keeps the upper 8 of its 16 bits; before they are read.

    Raises:
        Undecodable: the lower 8 cannot be had.
    """
    raw = next(iter(_raw_modes(image)), "")
    if raw == "LA;16B":
        raise Undecodable(
            "is grey with alpha, of 16 bits, which is not read; write it without alpha"
        )
    return bool(_DEEP.fullmatch(raw))


def take_lower_bytes(image: Image.Image) -> None:
    """Has an image that ``is_deep`` be read as its lower 8 bits."""
    _change_raw_modes(image, lambda raw: raw[:-1] + _OTHER_BYTE[raw[-1]])


def _raw_modes(image: Any) -> Iterator[str]:
    for *_, args in getattr(image, "tile", ()):
        yield args if isinstance(args, str) else str(args[0] if args else "")


def _change_raw_modes(image: Any, change: Callable[[str], str]) -> None:
    """Changes the names by which Pillow knows how pixels are stored."""
    tiles = []
    for tile, raw in zip(image.tile, _raw_modes(image), strict=True):
        args, new = tile[3], change(raw)
        args = new if isinstance(args, str) else (new, *args[1:])
        # Plain tuples before Pillow 11.1.
        make = getattr(tile, "_make", tuple)
        tiles.append(make((*tile[:3], args)))
    image.tile = tiles


def read_palette(image: Image.Image) -> bytes:
    """Returns the palette as ``grey_levels`` takes it, once the pixels are read."""
    return bytes(image.getpalette("RGB") or [0, 0, 0])


def grey_levels(palette: bytes) -> bytes | None:
    """Returns the level of each of the 256 indices; None if there are others or none.

    The palette, red, green and blue of 256 indices or fewer, decides as a whole, used
    or not, because a mask of a coloured set may happen to show only its grey entries.
    """
    red = palette[::3]
    if not red or palette[1::3] != red or palette[2::3] != red:
        return None
    return (red * 256)[:256]


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
        Undecodable: one of them is a fraction, or beyond 32 bits.
    """
    with np.errstate(invalid="ignore"):
        whole = values.astype(np.int32)
    if (whole == values).all():
        return whole
    if values.dtype.kind in "iu" or not (np.abs(values) <= 2**31).all():
        raise Undecodable("holds values of more than 32 bits")
    raise Undecodable(
        "holds fractions; a mask's values are whole numbers: write probabilities as "
        '(values > 0.5).astype("uint8")'
    )
