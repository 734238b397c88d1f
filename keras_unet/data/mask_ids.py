"""Whether the ids in masks number single objects or name classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from keras_unet.config import IGNORE

_MOST_CLASSES, _SEVERAL = 32, 8
_NEARLY = 0.9
_MANY = 6
"""Ids of one mask, counted through, that are hardly classes any more."""


def ids_of(
    masks: Sequence[Mapping[int, int]], background: int, wide: bool
) -> Literal["classes", "instances", "either", "unknown"]:
    """Returns what the ids are; either and unknown are questions.

    Ids number objects if nearly each is one connected piece of its mask and they are
    counted through in each mask, which hold more or fewer of them, or if they are very
    many; they are classes if they are few and recur.

    Args:
        masks: connected pieces by value of each mask.
        background: the value that is no id.
        wide: the files have more than 8 bits, which classes seldom need.
    """
    found = [{v: p for v, p in mask.items() if v != background} for mask in masks]
    found = [mask for mask in found if mask]
    ids = {value for mask in found for value in mask}
    if not ids:
        return "classes"
    pieces = [p for mask in found for p in mask.values()]
    counts = [len(mask) for mask in found]
    spread, many = max(counts) - min(counts), max(counts) >= _MANY
    through = sum(max(mask) == len(mask) for mask in found) >= _NEARLY * len(found)
    if sum(p == 1 for p in pieces) < _NEARLY * len(pieces):
        if through and many and spread > 2:
            return "either"
        small = len(ids) <= _MOST_CLASSES
        recur = len(pieces) >= 1.5 * len(ids) and max(ids) < IGNORE
        return "classes" if small or recur else "unknown"
    if many and spread > 2 and (through or (wide and len(ids) > _SEVERAL)):
        return "instances"
    if through and (spread > 1 or len(found) < 3) and max(counts) > 2:
        return "either"
    if len(ids) > _MOST_CLASSES:
        return "instances" if wide else "unknown"
    return "either" if wide else "classes"
