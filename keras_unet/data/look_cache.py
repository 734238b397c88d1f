"""What was found in files, kept between commands in the user's cache folder.

In SQLite, which several processes may write to at once.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import PIL

_VERSION = 2
"""Of what is remembered; to be raised when a look finds more or something else."""
_SET_UP = (
    # What a power cut loses is looked at again.
    "PRAGMA synchronous = OFF",
    "CREATE TABLE IF NOT EXISTS looks (key TEXT PRIMARY KEY, found)",
    # Of two million files and more, the latest are kept.
    "DELETE FROM looks WHERE rowid <= (SELECT MAX(rowid) - 2000000 FROM looks)",
)


class LookCache:
    """What was found, by a key that changes with the file.

    It is a cache: where it cannot be kept or read, files are looked at again.
    """

    def __init__(self) -> None:
        """Opens the file, or makes it."""
        self._lock = threading.Lock()
        self._table: sqlite3.Connection | None = None
        try:
            home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
            name = f"looks-{_VERSION}-pillow-{PIL.__version__}.sqlite"
            self._open(Path(home) / "keras_unet" / name)
        except (OSError, RuntimeError):
            # There is no place for it, or no home.
            self.close()

    def get(self, key: str) -> Any:
        """Returns what was kept under the key, or None."""
        rows = self._execute("SELECT found FROM looks WHERE key = ?", key)
        return json.loads(rows[0][0]) if rows else None

    def keep(self, key: str, found: Any) -> None:
        """Keeps what ``json`` can write."""
        self._execute("REPLACE INTO looks VALUES (?, ?)", key, json.dumps(found))

    def _open(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._table = sqlite3.connect(
                file, isolation_level=None, check_same_thread=False
            )
            for statement in _SET_UP:
                self._table.execute(statement)
        except sqlite3.OperationalError:
            # Another process has it for too long, or the disk is full.
            self.close()
        except sqlite3.Error:
            # It is damaged: the next command makes it anew.
            self.close()
            file.unlink(missing_ok=True)

    def _execute(self, statement: str, *values: str) -> list[Any]:
        with self._lock:
            if not self._table:
                return []
            try:
                return self._table.execute(statement, values).fetchall()
            except sqlite3.Error:
                self.close()
                return []

    def close(self) -> None:
        """Closes the file."""
        if self._table:
            self._table.close()
        self._table = None

    def __enter__(self) -> LookCache:
        """Returns itself; the file is closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the file."""
        self.close()
