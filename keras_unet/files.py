"""Files and folders written so that none is ever half, and tables as CSV."""

from __future__ import annotations

import contextlib
import csv
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Yields a name beside ``path`` to write to; renames it at the end.

    Whatever happens in between, even a power cut, the old one or the new one is there
    as a whole; of two folders, which no system exchanges at once, the old one may be
    left under the name ``.replaced-<name>``. The name written to keeps the suffixes,
    which Keras reads.
    """
    with _aside(path) as aside:
        yield aside
        _flush(aside)
        if path.is_dir():
            old = path.with_name(f".replaced-{path.name}")
            remove(old)
            path.replace(old)
            aside.replace(path)
            remove(old)
        else:
            aside.replace(path)
        _flush_entry(path.parent)


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
        _flush_entry(folder.parent)


def remove(path: Path) -> None:
    """Removes a file or a folder, if it is there; a link, not what it points to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def read_rows(file: Path) -> list[dict[str, str]]:
    """Returns the rows of a CSV file by its header; none where there is no file."""
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def write_rows(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes a CSV file whole, its columns those of the first row."""
    with (
        write_whole(file) as aside,
        aside.open("w", newline="", encoding="utf-8") as stream,
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
    for file in _inside(path):
        with file.open("rb") as stream:
            os.fsync(stream.fileno())


def _inside(path: Path) -> Iterable[Path]:
    return (
        (file for file in path.rglob("*") if file.is_file())
        if path.is_dir()
        else [path]
    )


def _flush_entry(folder: Path) -> None:
    """Has the new name reach the disk, where folders can be opened to say so."""
    with contextlib.suppress(OSError):
        entry = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(entry)
        finally:
            os.close(entry)
