"""Kaggle's Carvana set fetched and unpacked.

https://www.kaggle.com/c/carvana-image-masking-challenge
"""

from __future__ import annotations

import lzma
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import IO

from keras_unet.console import require_extra
from keras_unet.errors import BadData
from keras_unet.files import no_empty_folders, remove_leftovers, write_whole

COMPETITION = "carvana-image-masking-challenge"
COUNTS = {"train": 5_088, "train_masks": 5_088, "test": 100_064}
"""Images in each folder of the complete set."""

_RULES = f"https://www.kaggle.com/c/{COMPETITION}/rules"
_TOKEN = "https://www.kaggle.com/settings"
_FORBIDDEN = (401, 403)
_ENCRYPTED = 1
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, NotImplementedError, UnicodeDecodeError),
)

Fetch = Callable[[str, str], str]


def download(
    folder: Path,
    fetch: Fetch | None = None,
    expected: Mapping[str, int] = COUNTS,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, int]:
    """Returns the number of images by folder, after fetching and unpacking the set.

    Called again after a stop it goes on where it was: Kaggle's library keeps what has
    arrived, and files that are already unpacked are left as they are.

    Args:
        folder: gets train/, train_masks/, train_masks.csv and test/.
        fetch: ``kagglehub.competition_download``: takes the competition and the name
            of one of its files, returns where that file now is.
        expected: the number of images that each folder must have in the end.
        say: is told what is being done.

    Raises:
        BadData: no credentials, rules not accepted, no network, a damaged archive or
            one that wants to write elsewhere, or fewer images than there must be.
        BadUsage: the extra kaggle is missing.
    """
    if fetch is None:
        require_extra("data download", "kaggle")
        fetch = _fetch_from_kaggle
    with no_empty_folders(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for place in (folder, *filter(Path.is_dir, folder.iterdir())):
            remove_leftovers(place)
        for part in [*expected, "train_masks.csv"]:
            if _count(folder / part) == expected.get(part, 1):
                say(f"{folder / part} is complete")
                continue
            name = f"{part}.zip"
            say(f"fetching {name}")
            unpack(_fetch(fetch, name), folder, name)
    counts = {part: _count(folder / part) for part in expected}
    if counts != dict(expected):
        came = ", ".join(
            f"{part} {counts[part]} of {expected[part]}" for part in counts
        )
        raise BadData(f"{folder}: the set is not complete: {came}; run this again")
    return counts


def unpack(archive: Path, folder: Path, name: str) -> None:
    """Writes an archive's files into ``folder``, each one whole; leaves existing ones.

    It is a ZIP file, or the one file that it would hold, already unpacked; at Kaggle it
    is called ``name``.

    Raises:
        BadData: the archive is damaged or encrypted, names a place outside of
            ``folder``, or holds more than the disk has room for; nothing was unpacked
            but what lies before a damaged file.
    """
    if not zipfile.is_zipfile(archive):
        # Kaggle's library unpacks an archive of one table on its own.
        if not name.endswith(".csv.zip"):
            raise BadData(f"{archive}: is no ZIP file; delete it and run this again")
        with archive.open("rb") as file:
            _copy(file, folder / name.removesuffix(".zip"))
        return
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [m for m in opened.infolist() if not m.is_dir()]
            # The archives were made on a Mac, which adds a shadow of each file.
            members = [m for m in members if "__MACOSX" not in m.filename.split("/")]
            targets = [_target(folder, archive, member) for member in members]
            absent = [
                (member, target)
                for member, target in zip(members, targets, strict=True)
                if not target.is_file() or target.stat().st_size != member.file_size
            ]
            folder.mkdir(parents=True, exist_ok=True)
            # No more is read of a member than the size that it declares.
            _require_room(archive, sum(m.file_size for m, _ in absent), folder)
            for member, target in absent:
                _write_member(opened, member, target)
    except _DAMAGE as error:
        raise BadData(
            f"{archive}: is damaged ({error}); delete it, try again"
        ) from error


def _require_room(archive: Path, needed: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise BadData(
            f"{archive}: holds {needed / 1e9:,.1f} GB to be unpacked, {folder} has "
            f"{free / 1e9:,.1f} GB free"
        )


def _write_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path
) -> None:
    try:
        with archive.open(member) as file:
            _copy(file, target)
    except _DAMAGE as error:
        raise BadData(
            f"{archive.filename}: {member.filename} in it is damaged ({error}); delete "
            "the archive, try again"
        ) from error


def _target(folder: Path, archive: Path, member: zipfile.ZipInfo) -> Path:
    name = member.filename.replace("\\", "/")
    path = PurePosixPath(name)
    if member.flag_bits & _ENCRYPTED:
        raise BadData(f"{archive}: {member.filename} in it is encrypted")
    if path.is_absolute() or ".." in path.parts or ":" in name:
        raise BadData(f"{archive}: {member.filename} would be written outside {folder}")
    return folder / path


def _copy(file: IO[bytes], target: Path) -> None:
    with write_whole(target, flush=False) as aside, aside.open("wb") as out:
        shutil.copyfileobj(file, out, 1 << 20)


def _count(folder: Path) -> int:
    """Returns how many images the folder has; 1 where it is a file."""
    if not folder.is_dir():
        return int(folder.is_file())
    return sum(path.suffix in (".jpg", ".gif") for path in folder.iterdir())


def _fetch(fetch: Fetch, name: str) -> Path:
    try:
        return Path(fetch(COMPETITION, name))
    except PermissionError as error:
        raise BadData(
            f"Kaggle wants to know who you are: make an API token at {_TOKEN}, save it "
            "as ~/.kaggle/kaggle.json (or set KAGGLE_USERNAME and KAGGLE_KEY), and "
            f"accept the rules at {_RULES}"
        ) from error
    except OSError as error:
        response = getattr(error, "response", None)
        if getattr(response, "status_code", None) in _FORBIDDEN:
            raise BadData(
                f"Kaggle refused {name}: sign in there, accept the rules at {_RULES}, "
                f"see that the API token ({_TOKEN}) is yours, and run this again"
            ) from error
        raise BadData(
            f"{name} could not be fetched ({error}); run this again, it goes on here"
        ) from error


def _fetch_from_kaggle(competition: str, name: str) -> str:
    import kagglehub
    from kagglehub import exceptions

    try:
        path: str = kagglehub.competition_download(competition, name)
    except (exceptions.UnauthenticatedError, exceptions.CredentialError) as error:
        raise PermissionError(str(error)) from error
    except exceptions.DataCorruptionError as error:
        raise OSError(str(error)) from error
    return path
