"""Files and folders written so that none is ever half, tables as CSV, checked JSON.

What was read is checked against the type that it should have by msgspec, which loads in
10 ms. It passes over keys that a dataclass does not have and does not tell what may be
chosen from; these two are done here.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import functools
import hashlib
import itertools
import json
import os
import platform
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec


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
    """Renames what was made on the same disk to ``path``, as ``write_whole`` says.

    Raises:
        IsADirectoryError: a file would take the place of a folder and all it holds.
    """
    if path.is_dir() and not made.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if flush:
        _flush(made)
    old = path.with_name(f".replaced-{path.name}")
    if path.is_dir():
        remove(old)
        path.replace(old)
    made.replace(path)
    if path.is_dir():  # A file's name may be too long for another in front.
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


@contextlib.contextmanager
def no_empty_folders(folder: Path) -> Iterator[None]:
    """Removes folders down to ``folder`` that the block made and left empty."""
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    finally:
        for path in absent:
            with contextlib.suppress(OSError):
                path.rmdir()


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
        aside.open("w", newline="", encoding="utf-8", errors="surrogateescape") as to,
    ):
        writer = csv.DictWriter(to, fieldnames=list(rows[0]), lineterminator="\n")
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
    # Its end alone, with the suffixes: it may be as long as a disk's names can be.
    name = name.encode("utf-8", "ignore")[-40:].decode("utf-8", "ignore")
    return f".{kind}-{_HOST}-{os.getpid()}-{_PROCESS}-{next(_COUNT)}-{name}"


def remove_leftovers(folder: Path) -> None:
    """Removes what processes that are gone left unfinished in a folder.

    Of another machine's process nobody can tell; a day later it counts as gone.
    """
    for path in folder.glob(".*-*"):
        owner = _OWNED.match(path.name)
        with contextlib.suppress(OSError):  # Another user's, or gone by now.
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
    except OSError as error:
        return isinstance(error, ProcessLookupError)
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


_T = TypeVar("_T")


def read_json(file: Path, kind: type[_T]) -> _T:
    """Returns what a JSON file holds.

    Args:
        file: in UTF-8, with or without the mark that some editors begin it with.
        kind: as for ``as_type``.

    Raises:
        ValueError: names the file, the key, what was expected and what was found.
    """
    try:
        values = json.loads(file.read_text("utf-8-sig"))
    except RecursionError:
        raise ValueError(f"{file}: is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{file}: is no JSON ({error})") from None
    try:
        return as_type(values, kind)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def write_json(file: Path, values: Any) -> None:
    """Writes a JSON file whole, as ``read_json`` takes it: paths are texts.

    Raises:
        TypeError: a value is neither JSON's nor a path.
    """
    with write_whole(file) as aside:
        text = json.dumps(values, indent=2, default=os.fspath, ensure_ascii=False)
        # What is no text in a file's name becomes \udcff, as JSON writes it too.
        aside.write_text(text + "\n", "utf-8", "backslashreplace")


def as_type(values: Any, kind: type[_T]) -> _T:
    """Returns what JSON can hold as a dataclass, or a collection of them.

    Args:
        values: dictionaries, lists, texts, numbers.
        kind: what is wanted; texts are turned into its paths, lists into its tuples.

    Raises:
        ValueError: names the key, what was expected and what was found.
    """
    unknown = next(_unknown(values, kind, ""), None)
    if unknown:
        raise ValueError(f"{unknown}: is unknown here")
    try:
        return msgspec.convert(values, kind, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise ValueError(_message(str(error), kind)) from None


def _unknown(values: Any, kind: Any, at: str) -> Iterator[str]:
    if isinstance(values, dict) and is_dataclass(kind):
        hints = _hints(kind)
        for key, value in values.items():
            if key in hints:
                yield from _unknown(value, hints[key], f"{at}{key}.")
            else:
                yield f"{at}{key}"
    elif isinstance(values, list) and any(map(is_dataclass, get_args(kind))):
        for place, value in enumerate(values):
            yield from _unknown(value, get_args(kind)[0], f"{at[:-1]}[{place}].")


_hints: Callable[[Any], dict[str, Any]] = functools.cache(get_type_hints)


def _path(kind: Any, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise ValueError(f"Expected `str`, got `{type(value).__name__}`")


def _message(text: str, kind: Any) -> str:
    """Returns what msgspec says with the key in front."""
    what, _, place = text.partition(" - at `$")
    key = place.strip("`.")
    value = what.removeprefix("Invalid enum value ")
    if value != what:
        choices = ", ".join(map(str, get_args(_kind_at(key, kind))))
        what = f"expected one of {choices}, found {value}"
    what = re.sub("^Expected ", "expected ", what).replace(", got ", ", found ")
    return f"{key}: {what.replace('`', '')}" if key else what.replace("`", "")


def _kind_at(key: str, kind: Any) -> Any:
    """Returns the type at a key such as ``records[3].file``."""
    for name in re.findall(r"[^.\[\]]+", key):
        kind = _hints(kind)[name] if is_dataclass(kind) else get_args(kind)[0]
    return kind
