"""Files and folders written so that none is ever half, and tables as CSV."""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import itertools
import os
import platform
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def write_whole(path: Path, flush: bool = True) -> Iterator[Path]:
    """Yields a name beside ``path`` to write to; renames it at the end.

    Whatever happens in between, even a power cut, the old one or the new one is there
    as a whole; of two folders, which no system exchanges at once, the old one may be
    left under the name ``.replaced-<name>``. The name written to keeps the suffixes,
    which Keras reads.

    Args:
        path: file or folder.
        flush: False spares the milliseconds that surviving a power cut takes.

    Raises:
        OSError: with ``path``, which what is raised by a full disk does not have.
    """
    with _naming(path), _aside(path) as aside:
        yield aside
        put_in_place(aside, path, flush)


def put_in_place(made: Path, path: Path, flush: bool = True) -> None:
    """Renames what was made on the same disk to ``path``, as ``write_whole`` says."""
    if flush:
        _flush(made)
    old = path.with_name(f".replaced-{path.name}")
    if path.is_dir():
        remove(old)
        path.replace(old)
    made.replace(path)
    remove(old)
    if flush:
        _flush_folder(path.parent)


@contextlib.contextmanager
def write_new(folder: Path) -> Iterator[Path]:
    """Yields a new folder beside ``folder``; renames it at the end.

    Raises:
        OSError: at the end, something that is no empty folder stands in its place.
    """
    remove_leftovers(folder.parent)
    with _naming(folder), _aside(folder) as aside:
        aside.mkdir()
        yield aside
        _flush(aside)
        # What is renamed to may not exist on every system, not even when it is empty.
        with contextlib.suppress(OSError):
            folder.rmdir()
        aside.rename(folder)
        _flush_folder(folder.parent)


def remove(path: Path) -> None:
    """Removes a file or a folder, if it is there; a link, not what it points to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def read_rows(file: Path) -> list[dict[str, str]]:
    """Returns the rows of a CSV file by its header; none where there is no file.

    Raises:
        ValueError: it is no CSV file.
    """
    if not file.is_file():
        return []
    # Names of files need not be text.
    with file.open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
        try:
            return list(csv.DictReader(stream))
        except csv.Error as error:
            raise ValueError(f"{file}: {error}") from error


def write_rows(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes a CSV file whole, of one row at least; its columns are the first one's."""
    with (
        write_whole(file) as aside,
        aside.open(
            "w", newline="", encoding="utf-8", errors="surrogateescape"
        ) as stream,
    ):
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def require_room(path: Path, size: int) -> None:
    """Refuses to write ``size`` bytes to a disk that has not as many left.

    What libraries say when they run into the end of a disk has no path, or is a
    traceback that cannot be caught.

    Raises:
        OSError: as the system would.
    """
    if shutil.disk_usage(path.parent).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


_OF_DISKS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    *(errno.EIO, errno.EROFS, errno.EACCES, errno.ENOENT),
)


def disk_error(text: str, path: Path) -> OSError | None:
    """Returns the system's error that a library tells of only in its message."""
    for number in _OF_DISKS:
        if os.strerror(number) in text:
            return OSError(number, os.strerror(number), str(path))
    return None


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.filename is not None or not error.errno:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
_PROCESS = uuid.uuid4().hex[:8]
_COUNT = itertools.count()
_OWNED = re.compile(r"\.[a-z]+-([0-9a-f]{8})-([0-9]+)-([0-9a-f]{8})-[0-9]+-")
_DAY = 86_400


def unfinished_name(kind: str, name: str = "") -> str:
    """Returns a hidden name, used once, that tells which process is writing it."""
    return f".{kind}-{_HOST}-{os.getpid()}-{_PROCESS}-{next(_COUNT)}-{name}"


def remove_leftovers(folder: Path) -> None:
    """Removes what processes that are gone left unfinished in a folder.

    Of another machine's process nobody can tell; a day later it counts as gone.
    """
    for path in folder.glob(".*-*"):
        owner = _OWNED.match(path.name)
        if owner and _is_gone(owner[1], int(owner[2]), owner[3], path):
            remove(path)


def restore_replaced(folder: Path) -> None:
    """Ends exchanges of two folders that were cut off; nobody else may be at one."""
    for old in folder.glob(".replaced-*"):
        path = old.with_name(old.name.removeprefix(".replaced-"))
        if path.exists():
            remove(old)
        else:
            old.rename(path)


def _is_gone(host: str, process: int, unique: str, path: Path) -> bool:
    # On Windows, os.kill would end the process that is asked for.
    if host != _HOST or os.name == "nt":
        return time.time() - path.lstat().st_mtime > _DAY
    if process == os.getpid():
        return unique != _PROCESS
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


@contextlib.contextmanager
def _aside(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(unfinished_name("writing", path.name))
    try:
        yield aside
    finally:
        remove(aside)


def _flush(path: Path) -> None:
    """Has what was written reach the disk before its name does."""
    for inside in [*path.rglob("*"), path] if path.is_dir() else [path]:
        if inside.is_dir():
            _flush_folder(inside)
        else:
            # For reading alone, Windows flushes nothing.
            with inside.open("r+b") as stream:
                os.fsync(stream.fileno())


def _flush_folder(folder: Path) -> None:
    """Has the names in a folder reach the disk, where a folder can be opened."""
    with contextlib.suppress(OSError):
        entry = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(entry)
        finally:
            os.close(entry)
