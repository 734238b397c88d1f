"""Random-access stores of decoded pictures: in memory or in one unnamed file."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path
from typing import Protocol

import numpy as np

from keras_unet.errors import BadUsage


class Store(Protocol):
    """Rows of bytes that are put once and got in any order, from any thread."""

    def get(self, index: int) -> np.ndarray | None:
        """Returns the row, or None if it was not put yet."""

    def put(self, index: int, row: np.ndarray) -> None:
        """Keeps the row."""


class NoStore:
    """Keeps nothing."""

    def get(self, index: int) -> np.ndarray | None:
        """Returns None."""
        return None

    def put(self, index: int, row: np.ndarray) -> None:
        """Forgets the row."""


class MemoryStore:
    """Keeps rows in memory, which is taken as they come."""

    def __init__(self, count: int, row_bytes: int) -> None:
        """Reserves addresses for ``count`` rows, not memory."""
        self._rows = np.empty((count, row_bytes), np.uint8)
        self._filled = np.zeros(count, bool)

    def get(self, index: int) -> np.ndarray | None:
        """Returns the row, or None if it was not put yet."""
        return self._rows[index] if self._filled[index] else None

    def put(self, index: int, row: np.ndarray) -> None:
        """Keeps the row."""
        self._rows[index] = row
        # Last, so that no other thread reads half a row.
        self._filled[index] = True


class DiskStore:
    """Keeps rows in a file without a name, which ends with the process.

    Writes one temporary file into ``folder``.
    """

    def __init__(self, count: int, row_bytes: int, folder: Path) -> None:
        """Opens the file.

        Raises:
            BadUsage: the disk has no room for ``count`` rows.
        """
        folder.mkdir(parents=True, exist_ok=True)
        _require_room(count * row_bytes, folder)
        # A plain file, no memory map: a full disk is then an error, not a signal.
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._filled = np.zeros(count, bool)
        self._row_bytes = row_bytes
        self._lock = threading.Lock()

    def get(self, index: int) -> np.ndarray | None:
        """Returns the row, or None if it was not put yet."""
        if not self._filled[index]:
            return None
        row = np.empty(self._row_bytes, np.uint8)
        with self._lock:
            self._file.seek(index * self._row_bytes)
            self._file.readinto(row)
        return row

    def put(self, index: int, row: np.ndarray) -> None:
        """Keeps the row."""
        with self._lock:
            self._file.seek(index * self._row_bytes)
            self._file.write(row)
            self._filled[index] = True


def _require_room(needed: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BadUsage(
            f"--cache disk needs {needed / 1e9:.1f} GB in {folder}, which has "
            f"{free / 1e9:.1f} GB free: take --cache none, a smaller --image-size or "
            "an --output on a larger disk"
        )
