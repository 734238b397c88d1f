"""Random-access caches of decoded, resized pairs: in memory or in one unnamed file.

By hand, because the cache of ``tf.data`` is read in the order that it was filled in.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from keras_unet.errors import BadUsage
from keras_unet.types import Image, Mask

Arrays = tuple[Image, Mask]
Shapes = tuple[tuple[int, ...], tuple[int, ...]]

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


class Store(Protocol):
    """Pairs of images that are put once and got in any order, from any thread."""

    def get(self, index: int) -> Arrays | None:
        """Returns image and mask, or None where there are none."""

    def put(self, index: int, arrays: Arrays) -> None:
        """Keeps image and mask, if the store has a place for them."""


class MemoryStore:
    """Keeps the first ``places`` pairs in memory, which is taken as they come."""

    def __init__(self, places: int, shapes: Shapes) -> None:
        """Reserves addresses, not memory."""
        self._images, self._masks = (
            np.empty((places, *shape), np.uint8) for shape in shapes
        )
        self._filled = np.zeros(places, bool)

    def get(self, index: int) -> Arrays | None:
        """Returns image and mask, or None where there are none."""
        if index >= len(self._filled) or not self._filled[index]:
            return None
        return self._images[index], self._masks[index]

    def put(self, index: int, arrays: Arrays) -> None:
        """Keeps image and mask, if the pair is one of the first."""
        if index < len(self._filled):
            self._images[index], self._masks[index] = arrays
            # Last, so that no other thread reads half an image.
            self._filled[index] = True


class DiskStore:
    """Keeps pairs in a file in ``folder`` that has no name and ends with us."""

    def __init__(self, count: int, shapes: Shapes, folder: Path | None) -> None:
        """Opens the file; without a folder, where the system keeps temporary ones.

        Raises:
            BadUsage: the disk has no room for ``count`` pairs.
        """
        folder = Path(tempfile.gettempdir()) if folder is None else folder
        folder.mkdir(parents=True, exist_ok=True)
        self._shapes = shapes
        self._pair_bytes = sum(math.prod(shape) for shape in shapes)
        _require_room(count * self._pair_bytes, folder)
        # A plain file, no memory map: a full disk is then an error, not a signal.
        self._file: Any = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._filled = np.zeros(count, bool)
        self._lock = threading.Lock()

    def get(self, index: int) -> Arrays | None:
        """Returns image and mask, or None where there are none."""
        if not self._filled[index]:
            return None
        image, mask = (np.empty(shape, np.uint8) for shape in self._shapes)
        with self._lock:
            self._file.seek(int(index) * self._pair_bytes)
            self._file.readinto(image)
            self._file.readinto(mask)
        return image, mask

    def put(self, index: int, arrays: Arrays) -> None:
        """Keeps image and mask."""
        with self._lock:
            self._file.seek(int(index) * self._pair_bytes)
            for array in arrays:
                self._file.write(np.ascontiguousarray(array))
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
