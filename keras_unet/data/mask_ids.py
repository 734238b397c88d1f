"""Whether the ids in masks number single objects or name classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

_MOST_CLASSES = 32
_MANY = 6
"""Ids of one mask, counted through, that are hardly classes any more."""


def ids_of(
    masks: Sequence[Mapping[int, int]], background: int, wide: bool
) -> Literal["classes", "instances", "either", "unknown"]:
    """Returns what the ids are; either and unknown are questions.

    Ids number objects if nearly each is one connected piece of its mask and they are
    counted through in each mask, or very many; they are classes if they are few and
    recur.

    Args:
        masks: connected pieces by value of each mask.
        background: the value that is no id.
        wide: the files have more than 8 bits, which classes seldom need.
    """
    found = [{v: p for v, p in mask.items() if v != background} for mask in masks]
    pieces = [p for mask in found for p in mask.values()]
    ids = {value for mask in found for value in mask}
    if not ids:
        return "classes"
    single = sum(p == 1 for p in pieces) >= 0.9 * len(pieces)
    recur = len(pieces) >= 1.5 * len(ids)
    most = max(map(len, found))
    numbered = sum(max(m, default=0) == len(m) for m in found) >= 0.9 * len(found)
    numbered = numbered and len({len(mask) for mask in found}) > 1
    if not single:
        small = len(ids) <= _MOST_CLASSES or (recur and max(ids) < 255)
        return "classes" if small else "unknown"
    if numbered and most >= _MANY:
        return "instances"
    if len(ids) > _MOST_CLASSES:
        return "instances" if wide else "unknown"
    if not wide:
        return "classes"
    return "instances" if not recur or most >= _MANY else "either"
