"""Files read by threads, a few before they are needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")

# Enough to keep two cores busy; a batch of Carvana's pictures takes 100 MB.
BATCH, READERS = 4, 2


def read_ahead(items: Iterable[_T], read: Callable[[_T], _R]) -> Iterator[_R]:
    """Yields ``read`` of each item, in order, a few of them read beforehand.

    What ``read`` raises is raised when its item's turn comes.
    """
    waiting: deque[Future[_R]] = deque()
    with ThreadPoolExecutor(READERS) as pool:
        for item in items:
            waiting.append(pool.submit(read, item))
            if len(waiting) > BATCH + READERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def batches(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Yields lists of ``size`` items; the last may be shorter."""
    batch: list[_T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
