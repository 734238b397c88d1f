"""Random-access stores of decoded pictures: in memory or in one unnamed file."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from keras_unet.errors import BadUsage

Row = npt.NDArray[np.uint8]

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


class Store(Protocol):
    """Rows of bytes that are put once and got in any order, from any thread."""

    def get(self, index: int) -> Row | None:
        """Returns the row, or None where there is none."""

    def put(self, index: int, row: Row) -> None:
        """Keeps the row, if the store has a place for it."""


class MemoryStore:
    """Keeps the first ``places`` rows in memory, which is taken as they come."""

    def __init__(self, places: int, row_bytes: int) -> None:
        """Reserves addresses, not memory."""
        self._rows = np.empty((places, row_bytes), np.uint8)
        self._filled = np.zeros(places, bool)

    def get(self, index: int) -> Row | None:
        """Returns the row, or None where there is none."""
        there = index < len(self._filled) and self._filled[index]
        return self._rows[index] if there else None

    def put(self, index: int, row: Row) -> None:
        """Keeps the row, if it is one of the first."""
        if index < len(self._filled):
            self._rows[index] = row
            # Last, so that no other thread reads half a row.
            self._filled[index] = True


class DiskStore:
    """Keeps rows in a file in ``folder`` that has no name and ends with the process."""

    def __init__(self, count: int, row_bytes: int, folder: Path | None) -> None:
        """Opens the file; without a folder, where the system keeps temporary ones.

        Raises:
            BadUsage: the disk has no room for ``count`` rows.
        """
        folder = Path(tempfile.gettempdir()) if folder is None else folder
        folder.mkdir(parents=True, exist_ok=True)
        _require_room(count * row_bytes, folder)
        # A plain file, no memory map: a full disk is then an error, not a signal.
        self._file: Any = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._filled = np.zeros(count, bool)
        self._row_bytes = row_bytes
        self._lock = threading.Lock()

    def get(self, index: int) -> Row | None:
        """Returns the row, or None where there is none."""
        if not self._filled[index]:
            return None
        row = np.empty(self._row_bytes, np.uint8)
        with self._lock:
            self._file.seek(int(index) * self._row_bytes)
            self._file.readinto(row)
        return row

    def put(self, index: int, row: Row) -> None:
        """Keeps the row."""
        with self._lock:
            self._file.seek(int(index) * self._row_bytes)
            self._file.write(row)
            self._filled[index] = True


def machine_memory() -> int:
    """Returns the bytes of memory that this process may use, or 4 GiB if none says."""
    try:
        found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        found = 4 * 2**30
    limit = _CGROUP_LIMIT.read_text().strip() if _CGROUP_LIMIT.is_file() else "max"
    return min(found, int(limit)) if limit.isdigit() else found


def _require_room(needed: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BadUsage(
            f"--cache disk needs {needed / 1e9:.1f} GB in {folder}, which has "
            f"{free / 1e9:.1f} GB free: take --cache none, a smaller --image-size or "
            "an --output on a larger disk"
        )
