"""Random-access caches of decoded, resized pairs: in memory or in one unnamed file.

By hand, because the cache of ``tf.data`` is read in the order that it was filled in.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_unet.config import Config
from keras_unet.errors import BadUsage
from keras_unet.types import Image, Mask

Arrays = tuple[Image, Mask]
"""An image (h, w, c), and its mask (h, w) or, with weights, (h, w, 2)."""
Sizes = npt.NDArray[np.int64]
"""Height and width of each image, (n, 2)."""

ALL = slice(None)
MEMORY_SHARE = 0.3
"""Of the memory; the stores of training and of validation live side by side."""
_GROUPS, _OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def pair_bytes(sizes: Sizes, channels: int, planes: int) -> npt.NDArray[np.int64]:
    """Returns how many bytes each image takes with the planes of its mask, (n,)."""
    taken: npt.NDArray[np.int64] = sizes.prod(1) * (channels + planes)
    return taken


def mask_planes(config: Config) -> int:
    """Returns the bytes of a mask's pixel: its class id and, if wanted, its weight."""
    return 1 + config.loss.weight_map


class _Bytes:
    """Pairs of any sizes, one behind the other."""

    def __init__(self, sizes: Sizes, channels: int, planes: int) -> None:
        self._sizes, self._channels, self._planes = sizes, channels, planes
        ends = np.cumsum(pair_bytes(sizes, channels, planes))
        self._starts = np.concatenate([np.zeros(1, np.int64), ends])
        self._filled = np.zeros(len(sizes), bool)

    def get(self, index: int, rows: slice = ALL) -> Arrays | None:
        """Returns these rows of image and mask, or None where there are none."""
        if index >= len(self._filled) or not self._filled[index]:
            return None
        height, width = self._sizes[index].tolist()
        first, end, _ = rows.indices(height)
        image = int(self._starts[index])
        mask, row = image + height * width * self._channels, width * self._channels
        pixels = self._read(image + first * row, (end - first) * row)
        row = width * self._planes
        ids = self._read(mask + first * row, (end - first) * row)
        shape = (-1, width) if self._planes == 1 else (-1, width, self._planes)
        return pixels.reshape(-1, width, self._channels), ids.reshape(shape)

    def put(self, index: int, arrays: Arrays) -> None:
        """Keeps image and mask, if the pair is one of the first."""
        if index < len(self._filled):
            image, mask = arrays
            start = int(self._starts[index])
            self._write(start, image)
            self._write(start + image.size, mask)
            # Last, so that no other thread reads half an image.
            self._filled[index] = True

    def _read(self, start: int, count: int) -> npt.NDArray[np.uint8]:
        raise NotImplementedError

    def _write(self, start: int, array: npt.NDArray[np.uint8]) -> None:
        raise NotImplementedError


class MemoryStore(_Bytes):
    """Keeps the first pairs in memory, which is taken as they come."""

    def __init__(self, sizes: Sizes, channels: int, planes: int = 1) -> None:
        """Reserves addresses, not memory, for pairs of these sizes."""
        super().__init__(sizes, channels, planes)
        self._bytes = np.empty(int(self._starts[-1]), np.uint8)

    def _read(self, start: int, count: int) -> npt.NDArray[np.uint8]:
        return self._bytes[start : start + count]

    def _write(self, start: int, array: npt.NDArray[np.uint8]) -> None:
        self._bytes[start : start + array.size] = array.reshape(-1)


class DiskStore(_Bytes):
    """Keeps pairs in a file in ``folder`` that has no name and ends with us."""

    def __init__(
        self, sizes: Sizes, channels: int, folder: Path | None, planes: int = 1
    ) -> None:
        """Opens the file; without a folder, where the system keeps temporary ones.

        Raises:
            BadUsage: the disk has no room for all pairs.
        """
        super().__init__(sizes, channels, planes)
        folder = Path(tempfile.gettempdir()) if folder is None else folder
        _require_room(int(self._starts[-1]), folder)
        # A plain file, no memory map: a full disk is then an error, not a signal.
        self._file: Any = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()

    def _read(self, start: int, count: int) -> npt.NDArray[np.uint8]:
        array = np.empty(count, np.uint8)
        with self._lock:
            self._file.seek(start)
            self._file.readinto(array)
        return array

    def _write(self, start: int, array: npt.NDArray[np.uint8]) -> None:
        with self._lock:
            self._file.seek(start)
            self._file.write(np.ascontiguousarray(array))


class SpilledStore:
    """Keeps the first pairs in memory and those after them on disk."""

    def __init__(self, memory: MemoryStore, places: int, disk: DiskStore) -> None:
        """Takes the two stores and how many pairs the first one has."""
        self._memory, self._places, self._disk = memory, places, disk

    def get(self, index: int, rows: slice = ALL) -> Arrays | None:
        """Returns these rows of image and mask, or None where there are none."""
        store, place = self._store_of(index)
        return store.get(place, rows)

    def put(self, index: int, arrays: Arrays) -> None:
        """Keeps image and mask."""
        store, place = self._store_of(index)
        store.put(place, arrays)

    def _store_of(self, index: int) -> tuple[_Bytes, int]:
        if index < self._places:
            return self._memory, index
        return self._disk, index - self._places


Store = _Bytes | SpilledStore
"""Pairs of images that are put once and got in any order, from any thread."""


def make_store(sizes: Sizes, config: Config) -> Store | None:
    """Returns what keeps pairs of these sizes as --cache says; None for none.

    Where training sees pieces, what does not fit into memory goes to disk, so that no
    large image is decoded for each of its pieces.

    Raises:
        BadUsage: the disk has no room for them.
    """
    data, channels, planes = config.data, config.model.channels, mask_planes(config)
    if data.cache == "none":
        return None
    if data.cache == "disk":
        return DiskStore(sizes, channels, config.output, planes)
    places = places_in_memory(sizes, config)
    memory = MemoryStore(sizes[:places], channels, planes)
    if places == len(sizes) or not data.tiles:
        return memory
    disk = DiskStore(sizes[places:], channels, config.output, planes)
    return SpilledStore(memory, places, disk)


def require_room(every: Iterable[Sizes], config: Config) -> None:
    """Refuses a disk without room for what ``make_store`` keeps there of all these.

    Raises:
        BadUsage: says what it takes.
    """
    needed, data = 0, config.data
    for sizes in every:
        taken = pair_bytes(sizes, config.model.channels, mask_planes(config))
        if data.cache == "memory":
            taken = taken[places_in_memory(sizes, config) :]
        needed += int(taken.sum())
    if data.cache == "disk" or (data.cache == "memory" and data.tiles):
        _require_room(needed, config.output or Path(tempfile.gettempdir()))


def places_in_memory(sizes: Sizes, config: Config) -> int:
    """Returns how many of the first pairs fit into memory."""
    until = np.cumsum(pair_bytes(sizes, config.model.channels, mask_planes(config)))
    share = int(machine_memory() * MEMORY_SHARE)
    return int(np.searchsorted(until, share, side="right"))


def cache_line(sizes: Sizes, config: Config) -> str:
    """Returns a line on where pairs of these sizes are kept, and what that takes."""
    data, count = config.data, len(sizes)
    kept = places_in_memory(sizes, config)
    taken = pair_bytes(sizes, config.model.channels, mask_planes(config))
    size, where = f"{taken.sum() / 1e6:,.0f} MB", f"on disk, in {config.output}"
    if data.cache == "none":
        return "none, every image is read from its file each time"
    if data.cache == "disk":
        return f"{size} {where}"
    if kept == count:
        return f"{size} of memory"
    if data.tiles:
        first, rest = (part.sum() / 1e6 for part in (taken[:kept], taken[kept:]))
        return f"{first:,.0f} MB of memory, and {rest:,.0f} MB {where}"
    return (
        f"{kept} of {count} images, which fill {MEMORY_SHARE:.0%} of the "
        f"memory; all would take {size} (--cache disk keeps them all)"
    )


def machine_memory() -> int:
    """Returns the bytes of memory that this process may use, or 4 GiB if none says."""
    try:
        found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        found = 4 * 2**30
    return min([found, *_limits()])


def _limits() -> Iterator[int]:
    """Yields what the control groups of Linux that this process is in leave to it."""
    text = _OWN_GROUPS.read_text() if _OWN_GROUPS.is_file() else ""
    for line in text.splitlines():
        _, kinds, path = line.split(":", 2)
        # Version 2 has one tree of groups, version 1 one for each kind of limit.
        name, tree = "memory.max", _GROUPS
        if "memory" in kinds.split(","):
            name, tree = "memory.limit_in_bytes", _GROUPS / "memory"
        group = PurePosixPath(path.lstrip("/"))
        for one in (group, *group.parents):
            with contextlib.suppress(OSError, ValueError):  # None, or "max".
                yield int((tree / one / name).read_text())


def _require_room(needed: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BadUsage(
            f"the cache needs {needed / 1e9:.1f} GB in {folder}, which has "
            f"{free / 1e9:.1f} GB free: take --cache none, a smaller --image-size or "
            "--resolution, or a larger disk (--output; of workers, TMPDIR)"
        )
