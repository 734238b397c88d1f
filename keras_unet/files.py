"""Files and folders written so that none is ever half, and tables as CSV."""

from __future__ import annotations

import contextlib
import csv
import os
import shutil
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
    """
    with _aside(path) as aside:
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
    with _aside(folder) as aside:
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


@contextlib.contextmanager
def _aside(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The process's number alone may be that of one on another machine.
    unique = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    aside = path.with_name(f".writing-{unique}-{path.name}")
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
