"""What is in the files of one pair: each is opened once, then remembered.

Memory is SQLite in the user's cache folder, which several processes may write to.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import PIL

from keras_unet.data import records_index
from keras_unet.data.folders import opened
from keras_unet.data.images import (
    Header,
    decode_values,
    find_white,
    read_header,
)
from keras_unet.data.mask_pixels import count_values, look_at_mask
from keras_unet.data.mask_values import GREY_STEP, MaskValues
from keras_unet.data.masks import decode_runs, read_objects_of
from keras_unet.data.objects import mask_files
from keras_unet.data.pair import Fingerprint, Pair, Problem, Record
from keras_unet.data.pillow import late_orientation
from keras_unet.data_config import DataConfig, Reading
from keras_unet.errors import BadData, Unreadable
from keras_unet.types import Values

_FORMAT_OF = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **dict.fromkeys((".bmp", ".dib"), "BMP"),
    **{".png": "PNG", ".gif": "GIF", ".webp": "WEBP"},
}
_FRESH = 2.0
"""Seconds after a change in which another one may leave the time as it is."""
_VERSION = 6
"""Of what is remembered; to be raised when a look finds more or something else."""
_SET_UP = (
    # What a power cut loses is looked at again.
    "PRAGMA synchronous = OFF",
    "CREATE TABLE IF NOT EXISTS looks (key TEXT PRIMARY KEY, found)",
    # Of two million files and more, the latest are kept.
    "DELETE FROM looks WHERE rowid <= (SELECT MAX(rowid) - 2000000 FROM looks)",
)


@dataclass(frozen=True)
class Look:
    """What a look into one file, or at one mask's run lengths, found.

    Attributes:
        fingerprint: by which the file is known again.
        header: what it says of itself; None for run lengths.
        values: a mask's values.
        brightest: the largest value of an image of 16 bits.
        late_orientation: what EXIF data behind the pixels of an image say, which do
            not count.
    """

    fingerprint: Fingerprint
    header: Header | None = None
    values: MaskValues | None = None
    brightest: int | None = None
    late_orientation: int = 1


class LookCache:
    """What looks found, where it can be kept, by a key that changes with the file."""

    def __init__(self) -> None:
        """Opens the file, or makes it."""
        self._lock = threading.Lock()
        self._table: sqlite3.Connection | None = None
        name = f"looks-{_VERSION}-pillow-{PIL.__version__}.sqlite"
        # There may be no place for it, or no home.
        with contextlib.suppress(OSError, RuntimeError):
            home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
            self._open(Path(home) / "keras_unet" / name)

    def once(self, key: str | None, look: Callable[[], Look]) -> Look:
        """Returns what was kept under the key, or else what ``look`` finds now.

        That is kept, but of a file that was changed a moment ago, or has no key.
        """
        kept = self._execute("SELECT found FROM looks WHERE key = ?", key)
        with contextlib.suppress(LookupError, msgspec.DecodeError):
            return msgspec.json.decode(kept[0][0], type=Look)
        found = look()
        if key and time.time() - found.fingerprint.modified / 1e9 > _FRESH:
            text = msgspec.json.encode(found).decode()
            self._execute("REPLACE INTO looks VALUES (?, ?)", key, text)
        return found

    def _open(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._table = sqlite3.connect(
                file, isolation_level=None, check_same_thread=False
            )
            for statement in _SET_UP:
                self._table.execute(statement)
        except sqlite3.Error as error:
            self.close()
            # Else another process has it for too long, or the disk is full.
            if not isinstance(error, sqlite3.OperationalError):
                # It is damaged: the next command makes it anew.
                file.unlink(missing_ok=True)

    def _execute(self, statement: str, *values: str | None) -> list[tuple[str]]:
        with self._lock:
            try:
                found = self._table and self._table.execute(statement, values)
                return found.fetchall() if found else []
            except sqlite3.Error:
                self.close()
                return []

    def close(self) -> None:
        """Closes the file."""
        if self._table:
            self._table.close()
        self._table = None


@dataclass(frozen=True)
class Seen:
    """What a look at one pair found.

    Attributes:
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


def look_at(pair: Pair, data: DataConfig, cache: LookCache) -> Seen:
    """Returns what is in the files of ``pair``, all pixels read or remembered."""
    if pair.record and not all(f.exists() for f in (pair.image, pair.mask) if f):
        return _look_at_record(pair, pair.record)
    problems, notices = list[Problem](), list[Problem]()
    image = mask = None
    try:
        image = _look_into(pair.image, data, False, cache)
        notices += _about_image(pair.image, image)
    except Unreadable as error:
        problems.append(Problem(error.file, error.cause))
    try:
        if pair.mask is not None and pair.mask.is_dir():
            mask = _look_at_objects(pair.mask, data, cache)
        elif pair.mask is not None:
            mask = _look_into(pair.mask, data, True, cache)
            notices += _about_name(pair.mask, mask)
        elif image is not None:
            mask = _look_at_runs(pair, image, data, cache)
            notices += _about_upright(pair.image, image)
    except Unreadable as error:
        problems.append(Problem(error.file, error.cause))
    one, other = image and image.header, mask and mask.header
    if pair.mask and one and other:
        problems += _about_sizes(pair.mask, one, other)
        notices += _about_turns(pair.image, one, other)
    return Seen(pair, image, mask, tuple(problems), tuple(notices))


def white_of(every: Sequence[Seen], data: DataConfig) -> tuple[int | None, list[str]]:
    """Returns what counts as white in 16-bit images, and what is to be said of it.

    Of records it is what they were written with.

    Raises:
        BadUsage: records were written with another one than wanted.
    """
    folders = {seen.pair.record.file.parent for seen in every if seen.pair.record}
    if folders:
        return records_index.white_of(sorted(folders), data.white), []
    looks = [seen.image for seen in every if seen.image]
    brightest = [look.brightest for look in looks if look.brightest is not None]
    return find_white(brightest, data.white)


def _key(path: Path, data: DataConfig, is_mask: bool) -> str | None:
    try:
        status = path.stat()
    except OSError:
        # Opening it says what is wrong.
        return None
    kind = "mask" if is_mask else f"image {data.bands}"
    state = status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
    # Names need not be text.
    name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()
    return f"{kind} {data.max_pixels} {state} {name}"


def _look_into(path: Path, data: DataConfig, is_mask: bool, cache: LookCache) -> Look:
    """Returns what is in a file, which is opened only if it is not known.

    Raises:
        Unreadable: the file cannot be used.
    """

    def look() -> Look:
        with opened(path) as file:
            header = read_header(file, data.max_pixels)
            fingerprint = Fingerprint.of(file)
            if is_mask:
                return Look(fingerprint, header, look_at_mask(file, data))
            late = late_orientation(file) if header.format == "PNG" else 1
            if header.is_plain and not data.bands:
                read_header(file, data.max_pixels, check_pixels=True)
                return Look(fingerprint, header, late_orientation=late)
            values = decode_values(file, data)
            brightest = None if values.dtype == np.uint8 else int(values.max())
            return Look(fingerprint, header, None, brightest, late)

    return cache.once(_key(path, data, is_mask), look)


def _look_at_runs(pair: Pair, image: Look, data: DataConfig, cache: LookCache) -> Look:
    """Returns what is in the pair's run lengths.

    Raises:
        Unreadable: they are missing or broken.
    """
    shape = image.header.shape if image.header else (0, 0)
    fingerprint = Fingerprint.of_text(pair.run_lengths or "")

    def look() -> Look:
        stats = count_values(decode_runs(pair, shape, data))
        return Look(fingerprint, values=MaskValues({"levels": stats}))

    ids = data.ignore_values if data.mask_kind == "instances" else ""
    return cache.once(f"runs {pair.coding}{ids} {shape} {fingerprint.sha256}", look)


def _look_at_objects(folder: Path, data: DataConfig, cache: LookCache) -> Look:
    """Returns what is in the masks of one object each.

    Raises:
        Unreadable: one of them cannot be used.
    """
    files = mask_files(folder)

    def look() -> Look:
        values = read_objects_of(folder, data)
        header = Header("folder", "of objects", values.shape, 1)
        found = MaskValues({"levels": count_values(values)}, wide=True)
        return Look(Fingerprint.of_files(files), header, found)

    keys = [_key(file, data, True) for file in files]
    key = "objects " + hashlib.sha256(repr(keys).encode()).hexdigest()
    return cache.once(None if None in keys else key, look)


def _look_at_record(pair: Pair, record: Record) -> Seen:
    # Behind it is TensorFlow, which a look at files can do without.
    from keras_unet.data import records

    try:
        image, pixels = records.read_record(record, 3)
    except BadData as error:
        cause = str(error).removeprefix(f"{record.file}: ")
        return Seen(pair, problems=(Problem(record.file, cause),))
    header = Header("record", "RGB", image.shape[:2], 1)
    return Seen(
        pair,
        Look(Fingerprint.of_text(image.tobytes()), header),
        Look(record.fingerprint, None, _values_of_record(pixels, record.mask_reading)),
        notices=(Problem(pair.image, "is gone: it can be trained on, not scored"),),
    )


def _values_of_record(pixels: Values, reading: Reading) -> MaskValues:
    """Returns the values of a record; in old ones how they were read is not said."""
    stats, wide = count_values(pixels), pixels.dtype != np.uint8
    if reading != "auto":
        return MaskValues({reading: stats}, wide=wide)
    if not wide or pixels.max() < GREY_STEP:
        return MaskValues({"levels": stats}, wide=wide)
    if any(value % GREY_STEP for value in stats.counts):
        return MaskValues({"colours": stats})
    return MaskValues({"levels": stats.renamed(lambda value: value // GREY_STEP)})


def _about_image(file: Path, image: Look) -> list[Problem]:
    problems = _about_name(file, image)
    if image.late_orientation != 1:
        cause = (
            f"has EXIF orientation {image.late_orientation} behind its pixels, where "
            "it does not count: look whether image and mask agree as they are stored"
        )
        problems.append(Problem(file, cause))
    return problems


def _about_name(file: Path, look: Look) -> list[Problem]:
    came = look.header.format if look.header else ""
    named = _FORMAT_OF.get(file.suffix.lower(), came)
    found = "JPEG" if came == "MPO" else came
    if named == found:
        return []
    return [Problem(file, f"is a {found} file called {file.suffix}; read as {found}")]


def _about_sizes(file: Path, one: Header, other: Header) -> list[Problem]:
    if one.shape == other.shape:
        return []
    turned = ""
    if one.orientation != other.orientation:
        turned = (
            f" (turned upright as EXIF says: orientation {other.orientation} "
            f"against {one.orientation})"
        )
    # Without the image's name: pairs of the same two sizes have the same cause.
    return [Problem(file, f"is {other.size}, its image {one.size}{turned}")]


def _about_upright(file: Path, image: Look) -> list[Problem]:
    turn = image.header.orientation if image.header else 1
    agree = "look whether its outlines or run lengths are of the upright image"
    cause = f"has EXIF orientation {turn} and is turned upright: {agree}"
    return [Problem(file, cause)] if turn != 1 else []


def _about_turns(file: Path, one: Header, other: Header) -> list[Problem]:
    if one.shape != other.shape or one.orientation == other.orientation:
        return []
    cause = (
        f"has EXIF orientation {one.orientation}, its mask {other.orientation}; "
        "each is turned as its own says: look whether they agree"
    )
    return [Problem(file, cause)]
