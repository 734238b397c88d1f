"""One pair looked at as a whole: headers, pixels, mask values, and what is wrong."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_unet.data import decode, masks
from keras_unet.data.decode import GREY_STEP
from keras_unet.data.found import Problem
from keras_unet.data.mask_values import Kind, MaskValues, Values, count_values
from keras_unet.data.pair import Pair, Record
from keras_unet.data.picture_file import Header, Unreadable, read_header
from keras_unet.errors import BadData

_FORMAT_OF = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **dict.fromkeys((".bmp", ".dib"), "BMP"),
    **{".png": "PNG", ".gif": "GIF", ".webp": "WEBP"},
}


@dataclass(frozen=True)
class Seen:
    """What a look at one pair found.

    Attributes:
        pair: the pair.
        image: the image's header; None where it cannot be read.
        mask: the mask's header; None for run lengths, too.
        values: the mask's values; None where it cannot be read.
        digest: of the image file's content.
        problems: why the pair cannot be used; empty where it can.
        notices: what is odd about it and does no harm.
    """

    pair: Pair
    image: Header | None = None
    mask: Header | None = None
    values: MaskValues | None = None
    digest: str = ""
    problems: tuple[Problem, ...] = ()
    notices: tuple[Problem, ...] = ()


def survey(pair: Pair, max_pixels: int) -> Seen:
    """Returns what is in the files of ``pair``, all pixels read."""
    if pair.record and not all(f.is_file() for f in (pair.image, pair.mask) if f):
        return _survey_record(pair, pair.record)
    problems = []
    image = mask = values = None
    digest = ""
    try:
        image = read_header(pair.image, max_pixels, check_pixels=True)
        digest = hashlib.sha256(pair.image.read_bytes()).hexdigest()
        notices = _about_image(pair.image, image, max_pixels)
    except Unreadable as error:
        problems, notices = [Problem(error.file, error.cause)], []
    try:
        if pair.mask is not None:
            mask = read_header(pair.mask, max_pixels)
            notices += _about_name(pair.mask, mask)
        if pair.mask is not None or image is not None:
            pixels = masks.read_values(pair, max_pixels)
            values = count_values(pixels, _kind(mask))
    except Unreadable as error:
        problems.append(Problem(error.file, error.cause))
    if image and mask:
        problems += _about_sizes(pair, image, mask)
        notices += _about_turns(pair, image, mask)
    return Seen(pair, image, mask, values, digest, tuple(problems), tuple(notices))


def _survey_record(pair: Pair, record: Record) -> Seen:
    # Behind it is TensorFlow, which a look at files can do without.
    from keras_unet.data import records

    try:
        image, pixels = records.read_record(record, 3)
    except BadData as error:
        cause = str(error).removeprefix(f"{record.file}: ")
        return Seen(pair, problems=(Problem(record.file, cause),))
    return Seen(
        pair,
        Header("record", "RGB", image.shape[:2], 1, False),
        values=count_values(pixels, _kind_of_values(pixels)),
        digest=hashlib.sha256(image.tobytes()).hexdigest(),
        notices=(Problem(pair.image, "is gone: it can be trained on, not scored"),),
    )


def _kind_of_values(pixels: Values) -> Kind:
    if pixels.dtype == np.uint8:
        return "grey"
    return "colour" if pixels.max() >= GREY_STEP else "wide"


def _kind(mask: Header | None) -> Kind:
    if mask is None:
        return "runs"
    if mask.indexed:
        return "palette"
    if mask.mode[0] in "IF":
        return "wide"
    return "grey" if mask.mode in ("1", "L", "LA", "La", "P") else "colour"


def _about_image(file: Path, image: Header, max_pixels: int) -> list[Problem]:
    if not image.mode.startswith("I"):
        return _about_name(file, image)
    brightest = int(decode.read_image(file, 1, max_pixels).max())
    if brightest > 15:
        return _about_name(file, image)
    cause = "uses only the darkest sixteenth of its 16 bits; scale it up to be seen"
    return [*_about_name(file, image), Problem(file, cause)]


def _about_name(file: Path, header: Header) -> list[Problem]:
    named = _FORMAT_OF.get(file.suffix.lower(), header.format)
    found = "JPEG" if header.format == "MPO" else header.format
    if named == found:
        return []
    return [Problem(file, f"is a {found} file called {file.suffix}; read as {found}")]


def _about_sizes(pair: Pair, image: Header, mask: Header) -> list[Problem]:
    if image.shape == mask.shape:
        return []
    turned = ""
    if image.orientation != mask.orientation:
        turned = (
            f" (turned upright as EXIF says: orientation {mask.orientation} "
            f"against {image.orientation})"
        )
    # Without the image's name: pairs of the same two sizes have the same cause.
    cause = f"is {_size(mask)}, its image {_size(image)}{turned}"
    return [Problem(pair.mask or pair.image, cause)]


def _about_turns(pair: Pair, image: Header, mask: Header) -> list[Problem]:
    if image.orientation == mask.orientation or image.shape != mask.shape:
        return []
    cause = (
        f"has EXIF orientation {image.orientation}, its mask {mask.orientation}; "
        "each is turned as its own says: look whether they agree"
    )
    return [Problem(pair.image, cause)]


def _size(header: Header) -> str:
    return f"{header.shape[1]}×{header.shape[0]}"
