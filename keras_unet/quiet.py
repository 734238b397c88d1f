"""C++ code kept from writing to stderr what no user can use."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator

# Of two threads, the second would take the first one's file for stderr, and keep it.
_ONE_THREAD = threading.RLock()


@contextlib.contextmanager
def held_back_stderr() -> Iterator[None]:
    """Keeps what C++ code writes to stderr, and shows it if an error ends the block."""
    sys.stderr.flush()
    with _ONE_THREAD, tempfile.TemporaryFile() as held:
        shown = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(shown, held.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)
