"""What was found in files, kept between commands in the user's cache folder.

In SQLite, which several processes may write to at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import PIL

_MOST = 2_000_000
"""Files that are remembered; of more, the latest."""
_VERSION = 1
"""Of what is remembered; to be raised when a look finds more or something else."""


class LookCache:
    """What was found, by a key that changes with the file.

    It is a cache: where it cannot be kept or read, files are looked at again.
    """

    def __init__(self) -> None:
        """Opens the file, or makes it."""
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        name = f"looks-{_VERSION}-pillow-{PIL.__version__}.sqlite"
        self._file = Path(home) / "keras_unet" / name
        self._lock = threading.Lock()
        self._table: sqlite3.Connection | None = None
        try:
            self._table = self._opened()
        except (sqlite3.OperationalError, OSError):
            # No place for it, or another process holds it too long.
            self.close()
        except sqlite3.Error:
            self._forget()

    def get(self, key: str) -> Any:
        """Returns what was kept under the key, or None."""
        rows = self._execute("SELECT found FROM looks WHERE key = ?", key)
        return json.loads(rows[0][0]) if rows else None

    def keep(self, key: str, found: Any) -> None:
        """Keeps what ``json`` can write."""
        self._execute("REPLACE INTO looks VALUES (?, ?)", key, json.dumps(found))

    def _opened(self) -> sqlite3.Connection:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        table = sqlite3.connect(
            self._file, isolation_level=None, check_same_thread=False
        )
        # What a power cut loses is looked at again.
        table.execute("PRAGMA synchronous = OFF")
        table.execute("CREATE TABLE IF NOT EXISTS looks (key TEXT PRIMARY KEY, found)")
        table.execute(
            "DELETE FROM looks WHERE rowid <= (SELECT MAX(rowid) - ? FROM looks)",
            (_MOST,),
        )
        return table

    def _execute(self, statement: str, *values: str) -> list[Any]:
        with self._lock:
            try:
                return (
                    self._table.execute(statement, values).fetchall()
                    if self._table
                    else []
                )
            except sqlite3.Error:
                self._forget()
                return []

    def _forget(self) -> None:
        """Goes on without memory; a damaged file is made anew the next time."""
        self.close()
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)

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
