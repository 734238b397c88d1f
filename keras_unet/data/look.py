"""What is in the files of one pair: each is opened once, then remembered."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from keras_unet.data.images import Header, Unreadable, decode_image, opened, read_header
from keras_unet.data.look_cache import LookCache
from keras_unet.data.mask_values import Kind, MaskValues, count_values
from keras_unet.data.masks import GREY_STEP, decode_mask_values, decode_runs
from keras_unet.data.objects import object_files, read_objects
from keras_unet.data.pair import Fingerprint, Pair, Problem, Record
from keras_unet.errors import BadData
from keras_unet.types import Values

_FORMAT_OF = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **dict.fromkeys((".bmp", ".dib"), "BMP"),
    **{".png": "PNG", ".gif": "GIF", ".webp": "WEBP"},
}
_FRESH = 2.0
"""Seconds after a change in which another one may leave the time as it is."""


@dataclass(frozen=True)
class Look:
    """What a look into one file, or at one mask's run lengths, found.

    Attributes:
        fingerprint: by which the file is known again.
        header: what it says of itself; None for run lengths.
        values: a mask's values.
        is_dark: an image of 16 bits of which only the lowest few are used.
    """

    fingerprint: Fingerprint
    header: Header | None = None
    values: MaskValues | None = None
    is_dark: bool = False


@dataclass(frozen=True)
class Seen:
    """What a look at one pair found.

    Attributes:
        pair: the pair.
        image: what is in the image's file; None where it cannot be read.
        mask: what is in the mask's file or its run lengths; None likewise.
        problems: why the pair cannot be used; empty where it can.
        notices: what is odd about it and does no harm.
    """

    pair: Pair
    image: Look | None = None
    mask: Look | None = None
    problems: tuple[Problem, ...] = ()
    notices: tuple[Problem, ...] = ()


def look_at(pair: Pair, max_pixels: int, cache: LookCache) -> Seen:
    """Returns what is in the files of ``pair``, all pixels read.

    Args:
        pair: which.
        max_pixels: the largest image that is opened.
        cache: what is known of files that have not changed since.
    """
    if pair.record and not all(f.exists() for f in (pair.image, pair.mask) if f):
        return _look_at_record(pair, pair.record)
    problems, notices = list[Problem](), list[Problem]()
    image = mask = None
    try:
        image = _remembered(pair.image, max_pixels, False, cache)
        notices += _about_image(pair.image, image)
    except Unreadable as error:
        problems.append(Problem(error.file, error.cause))
    try:
        if pair.mask is not None and pair.mask.is_dir():
            mask = _look_at_objects(pair.mask, max_pixels, cache)
        elif pair.mask is not None:
            mask = _remembered(pair.mask, max_pixels, True, cache)
            notices += _about_name(pair.mask, mask)
        elif image is not None:
            mask = _look_at_runs(pair, image, cache)
    except Unreadable as error:
        problems.append(Problem(error.file, error.cause))
    if image and mask and pair.mask:
        problems += _about_sizes(pair.mask, image, mask)
        notices += _about_turns(pair.image, image, mask)
    return Seen(pair, image, mask, tuple(problems), tuple(notices))


def _remembered(path: Path, max_pixels: int, is_mask: bool, cache: LookCache) -> Look:
    """Returns what is in a file, which is opened only if it is not known.

    Raises:
        Unreadable: the file cannot be used.
    """
    with_time = _key(path, max_pixels, is_mask)
    known = cache.get(with_time) if with_time else None
    if known is not None:
        return _from_json(known)
    with opened(path) as file:
        look = _look_into(file, max_pixels, is_mask)
    if with_time and time.time() - look.fingerprint.modified / 1e9 > _FRESH:
        cache.keep(with_time, _to_json(look))
    return look


def _key(path: Path, max_pixels: int, is_mask: bool) -> str | None:
    try:
        status = path.stat()
    except OSError:
        # Opening it says what is wrong.
        return None
    kind = "mask" if is_mask else "image"
    state = status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
    # Names need not be text.
    name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()
    return f"{kind} {max_pixels} {state} {name}"


def _look_into(file: BinaryIO, max_pixels: int, is_mask: bool) -> Look:
    header = read_header(file, max_pixels, check_pixels=not is_mask)
    fingerprint = Fingerprint.of(file)
    if is_mask:
        pixels = decode_mask_values(file, max_pixels)
        return Look(fingerprint, header, count_values(pixels, _kind(header)))
    is_dark = (
        header.mode.startswith("I") and decode_image(file, 1, max_pixels).max() < 16
    )
    return Look(fingerprint, header, is_dark=bool(is_dark))


def _look_at_runs(pair: Pair, image: Look, cache: LookCache) -> Look:
    """Returns what is in the pair's run lengths.

    Raises:
        Unreadable: they are missing or broken.
    """
    shape = image.header.shape if image.header else (0, 0)
    fingerprint = Fingerprint.of_text(pair.run_lengths or "")
    key = f"runs {pair.coding} {shape} {fingerprint.sha256}"
    known = cache.get(key)
    if known is not None:
        return _from_json(known)
    look = Look(fingerprint, values=count_values(decode_runs(pair, shape), "runs"))
    cache.keep(key, _to_json(look))
    return look


def _look_at_objects(folder: Path, max_pixels: int, cache: LookCache) -> Look:
    """Returns what is in the masks of one object each.

    Raises:
        Unreadable: one of them cannot be used.
    """
    files = object_files(folder)
    keys = [_key(file, max_pixels, True) for file in files]
    key = "objects " + hashlib.sha256(repr(keys).encode()).hexdigest()
    known = cache.get(key)
    if known is not None:
        return _from_json(known)
    values = read_objects(folder, lambda file: decode_mask_values(file, max_pixels))
    fingerprint = Fingerprint.of_files(files)
    header = Header("folder", "of objects", values.shape, 1, False)
    look = Look(fingerprint, header, count_values(values, "wide"))
    if None not in keys and time.time() - fingerprint.modified / 1e9 > _FRESH:
        cache.keep(key, _to_json(look))
    return look


def _look_at_record(pair: Pair, record: Record) -> Seen:
    # Behind it is TensorFlow, which a look at files can do without.
    from keras_unet.data import records

    try:
        image, pixels = records.read_record(record, 3)
    except BadData as error:
        cause = str(error).removeprefix(f"{record.file}: ")
        return Seen(pair, problems=(Problem(record.file, cause),))
    header = Header("record", "RGB", image.shape[:2], 1, False)
    return Seen(
        pair,
        Look(Fingerprint.of_text(image.tobytes()), header),
        Look(record.fingerprint, None, count_values(pixels, _kind_of_values(pixels))),
        notices=(Problem(pair.image, "is gone: it can be trained on, not scored"),),
    )


def _to_json(look: Look) -> list[Any]:
    values = look.values
    return [
        astuple(look.fingerprint),
        astuple(look.header) if look.header else None,
        [[*values.counts.items()], values.kind, [*values.flat.items()]]
        if values
        else None,
        look.is_dark,
    ]


def _from_json(found: Sequence[Any]) -> Look:
    fingerprint, header, values, is_dark = found
    if header:
        header = Header(header[0], header[1], tuple(header[2]), *header[3:])
    if values:
        values = MaskValues(dict(values[0]), values[1], dict(values[2]))
    return Look(Fingerprint(*fingerprint), header, values, is_dark)


def _kind_of_values(pixels: Values) -> Kind:
    if pixels.dtype == np.uint8:
        return "grey"
    return "colour" if pixels.max() >= GREY_STEP else "wide"


def _kind(mask: Header) -> Kind:
    if mask.indexed:
        return "palette"
    if mask.mode[0] in "IF":
        return "wide"
    return "grey" if mask.mode in ("1", "L", "LA", "La", "P") else "colour"


def _about_image(file: Path, image: Look) -> list[Problem]:
    cause = "uses only the darkest sixteenth of its 16 bits; scale it up to be seen"
    dark = [Problem(file, cause)] if image.is_dark else []
    return [*_about_name(file, image), *dark]


def _about_name(file: Path, look: Look) -> list[Problem]:
    came = look.header.format if look.header else ""
    named = _FORMAT_OF.get(file.suffix.lower(), came)
    found = "JPEG" if came == "MPO" else came
    if named == found:
        return []
    return [Problem(file, f"is a {found} file called {file.suffix}; read as {found}")]


def _about_sizes(file: Path, image: Look, mask: Look) -> list[Problem]:
    one, other = image.header, mask.header
    if not one or not other or one.shape == other.shape:
        return []
    turned = ""
    if one.orientation != other.orientation:
        turned = (
            f" (turned upright as EXIF says: orientation {other.orientation} "
            f"against {one.orientation})"
        )
    # Without the image's name: pairs of the same two sizes have the same cause.
    return [Problem(file, f"is {other.size}, its image {one.size}{turned}")]


def _about_turns(file: Path, image: Look, mask: Look) -> list[Problem]:
    one, other = image.header, mask.header
    if not one or not other or one.shape != other.shape:
        return []
    if one.orientation == other.orientation:
        return []
    cause = (
        f"has EXIF orientation {one.orientation}, its mask {other.orientation}; "
        "each is turned as its own says: look whether they agree"
    )
    return [Problem(file, cause)]
