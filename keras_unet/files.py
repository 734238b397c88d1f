"""Files and folders written so that none is ever half."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Yields a name beside ``path`` to write to; renames it at the end.

    Whatever happens in between, the old one or the new one is there as a whole; of two
    folders, which no system exchanges at once, the old one may be left under the name
    ``.replaced-<name>``. The name written to keeps the suffixes, which Keras reads.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".writing-{os.getpid()}-{path.name}")
    remove(aside)
    try:
        yield aside
        if path.is_dir():
            old = path.with_name(f".replaced-{path.name}")
            remove(old)
            path.replace(old)
            aside.replace(path)
            remove(old)
        else:
            aside.replace(path)
    finally:
        remove(aside)


def remove(path: Path) -> None:
    """Removes a file or a folder, if it is there; a link, not what it points to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
