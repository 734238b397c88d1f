"""What the values of masks mean where nobody said, or the question that is left."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from keras_unet.config import IGNORE
from keras_unet.data.mask_ids import ids_of
from keras_unet.data.mask_set import MaskSet
from keras_unet.errors import BadData

_MOST_CLASSES = 32
_DARK, _LIGHT = 31, 224
_SMALL = 63
"""The highest id that 255 beside it can be no more of."""
_FEW = 0.005
"""Share of pixels whose soft edge may happen to look like a region."""
_TELLABLE = 24
"""Distance of levels that JPEG leaves apart."""


@dataclass(frozen=True)
class Guess:
    """What values mean.

    Attributes:
        kind: of the masks.
        reason: why.
        above: foreground is every value above it; None leaves it open.
        levels: the values of classes, where not all are.
        ignored: values that are no class.
        snaps: other values count as the nearest level.
        note: what else is to be said.
    """

    kind: Literal["binary", "instances", "classes"]
    reason: str
    above: int | None = None
    levels: tuple[int, ...] = ()
    ignored: tuple[int, ...] = ()
    snaps: bool = False
    note: str = ""


def guess(seen: MaskSet) -> Guess:
    """Returns what the values mean.

    Raises:
        BadData: that cannot be told; the message shows them and has the ways on.
    """
    if seen.coloured:
        return _colours(seen)
    if _is_two(seen.values):
        return Guess("binary", f"only {seen.shown(seen.values)}")
    if seen.lossy:
        return _lossy(seen)
    return _strays(seen) or _with_255(seen) or _levels(seen)


def _levels(seen: MaskSet) -> Guess:
    if not any(map(seen.is_region, seen.values)):
        raise _unknown(seen)
    if has_soft_edges(seen):
        return _by_levels(seen, seen.levels(), "soft edges")
    if lines := _between_regions(seen):
        raise BadData(
            f"the masks hold {seen.shares()}, and {seen.shown(lines)} nowhere fills a "
            "region. If it is a soft edge: --foreground-above 127. If it is a class: "
            "--mask-kind classes. If it is no label: --ignore-values "
            f"{seen.shown(lines)}"
        )
    return _ids(seen)


def negatives(seen: MaskSet) -> tuple[int, ...]:
    """Returns the values below 0, or NaN, which are no class if two others remain.

    Raises:
        BadData: fewer remain.
    """
    negative = tuple(value for value in seen.values if value < 0)
    if negative and len(seen.values) - len(negative) < 2:
        every = " ".join(map(str, seen.values))
        raise BadData(
            f"the masks hold {seen.shown(seen.values)}, and what is below 0 may be a "
            f"class or no label. If it is a class: --class-values {every} (the first "
            "is the background). If it is no label: --ignore-values "
            f"{' '.join(map(str, negative))}"
        )
    return negative


def has_soft_edges(seen: MaskSet) -> bool:
    """Returns whether values lie between others that fill regions."""
    if len(_between_regions(seen)) > 2:
        return True
    regions = {value for value in seen.values if seen.is_region(value)}
    levels = seen.levels()
    if len(regions) == len(seen.values):
        return False
    ends = all(value <= _DARK or value >= _LIGHT for value in seen.values)
    return ends and len(levels) == 2 and regions <= set(levels)


def _between_regions(seen: MaskSet) -> list[int]:
    """Returns the values that fill no region and lie between two that do, far apart."""
    regions = [value for value in seen.values if seen.is_region(value)]
    if not regions or regions[-1] - regions[0] <= _SMALL or seen.wide:
        return []
    return [
        value
        for value in seen.values
        if value not in regions and regions[0] < value < regions[-1]
    ]


def _is_two(values: Sequence[int]) -> bool:
    return len(values) <= 1 or (len(values) == 2 and values[0] == 0)


def _strays(seen: MaskSet) -> Guess | None:
    """Returns the meaning of two values and a few odd pixels, if that is it."""
    strays = seen.strays()
    solid = [value for value in seen.values if value not in strays]
    if not strays or not _is_two(solid):
        return None
    note = (
        f"{seen.told(strays)} of value {seen.shown(strays)}; all others are "
        f"{seen.shown(solid)}, so these count as the nearest of them"
    )
    reason = f"{seen.shown(solid)}, and a few odd pixels"
    return Guess("binary", reason, solid[-1] // 2, note=note)


def _with_255(seen: MaskSet) -> Guess | None:
    """Returns what 255 beside other values means; None if it is one of them."""
    if IGNORE not in seen.values or seen.wide:
        return None
    high = [value for value in seen.values if value >= _LIGHT]
    rest = [value for value in seen.values if value < _LIGHT]
    if len(high) > 1 and len(rest) > 1 and rest[-1] <= _SMALL and _all_regions(seen):
        raise _doubt(seen, high)
    if len(high) > 1 or not rest:
        return None
    apart = not any({1, IGNORE} <= mask.keys() for mask in seen.per_mask)
    if rest == [0, 1] and apart:
        return Guess("binary", "0 and 1 in some masks, 0 and 255 in others", 0)
    step = max(b - a for a, b in itertools.pairwise([0, *rest]))
    gap = IGNORE - rest[-1]
    if gap <= 1.5 * step:
        return None
    many = len(rest) >= 8 and gap > 3 * step
    # Noise around 0 looks like ids that are nowhere a region.
    noise = [v for v in rest if seen.is_region(v)] == [0] and seen.is_region(IGNORE)
    if noise or not (rest[-1] <= _SMALL or many):
        raise _doubt(seen, high)
    if rest == [0, 1]:
        return Guess("binary", "0 and 1, and 255 for ignored", 0, ignored=(IGNORE,))
    seen.drop([IGNORE])
    found = _ids(seen)
    return replace(found, reason=f"{found.reason}, and 255", ignored=(IGNORE,))


def _doubt(seen: MaskSet, high: Sequence[int]) -> BadData:
    values = " ".join(map(str, high))
    return BadData(
        f"the masks hold {seen.shares()}. What {values} means cannot be told. If it is "
        f"no label: --ignore-values {values}. If it is a class: --class-values "
        f"{' '.join(map(str, seen.values))}. If it is the foreground: "
        "--foreground-above 127"
    )


def _all_regions(seen: MaskSet) -> bool:
    return all(map(seen.is_region, seen.values))


def _lossy(seen: MaskSet) -> Guess:
    levels = seen.levels()
    if len(levels) < 2 or seen.closest(levels) < _TELLABLE:
        raise BadData(
            "the masks are JPEG, which changes each value by a few, and hold "
            f"{seen.shown(seen.values)}: values so close cannot be told apart any "
            "more; write the masks as PNG from what they were made of"
        )
    return _by_levels(seen, levels, "JPEG noise")


def _by_levels(seen: MaskSet, levels: Sequence[int], between: str) -> Guess:
    """Returns the meaning of masks whose other values are edges or noise."""
    if len(levels) == 2 and levels[0] <= _DARK and not seen.coloured:
        reason = (
            f"{between}: {len(seen.values)} values, of which nearly all are close to "
            f"{levels[0]} or {levels[1]}"
        )
        return Guess("binary", reason, sum(levels) // 2)
    if not 2 <= len(levels) <= _MOST_CLASSES or _loses_regions(seen, levels):
        raise _unknown(seen)
    share = 100 * seen.beside(levels)
    note = (
        f"{between}: {share:.1f} % of the masks' pixels are of none of the values "
        f"{seen.shown(levels)} and count as the nearest (--snap-values)"
    )
    reason = f"{len(levels)} values with {between}"
    return Guess("classes", reason, levels=tuple(levels), snaps=True, note=note)


def _loses_regions(seen: MaskSet, levels: Sequence[int]) -> bool:
    return not seen.lossy and seen.merged(levels) > _FEW


def _unknown(seen: MaskSet) -> BadData:
    return BadData(
        f"what the masks' {len(seen.values)} values ({seen.shown(seen.values)}) mean "
        "cannot be told: give --mask-kind binary, instances or classes (with "
        "--class-values)"
    )


def _ids(seen: MaskSet) -> Guess:
    values = seen.values
    background = 0 if 0 in values else seen.background()
    kind = ids_of(seen.per_mask, background, seen.wide)
    if kind == "instances":
        most = max(map(len, seen.per_mask))
        reason = f"up to {most} values a mask, each of them one piece"
        return Guess("instances", reason, 0)
    if kind == "classes":
        return Guess("classes", f"{len(values)} values")
    if kind == "unknown":
        raise _unknown(seen)
    raise BadData(
        f"the masks hold {len(values)} values ({seen.shown(values)}), each of them one "
        "connected piece of a mask. If they number objects: --mask-kind instances. "
        "If they are classes: --mask-kind classes"
    )


def _colours(seen: MaskSet) -> Guess:
    values = seen.values
    loose = [value for value in values if not seen.is_region(value)]
    if seen.lossy:
        return _lossy(seen)
    if len(values) > _MOST_CLASSES or len(loose) > 2:
        levels = seen.levels()
        every = sorted({*levels, *seen.off_levels(levels)})
        few = 1 < len(levels) <= len(every) <= _MOST_CLASSES
        if few and len(every) < len(values) and not _loses_regions(seen, every):
            return _by_levels(seen, every, "soft edges")
    if len(values) > _MOST_CLASSES:
        raise BadData(
            f"the masks have {len(values)} colours, too many for classes: name those "
            "that count with --class-values (others count as the nearest with "
            "--snap-values), save masks as PNG, because JPEG blurs colours, or give "
            "--mask-kind instances if each colour is an object"
        )
    if _is_two(values) and seen.background() == 0:
        return Guess("binary", f"only {seen.shown(values)}", 0)
    once = sum(len(seen.files[value]) == 1 for value in values)
    if once > max(4.0, 0.8 * len(values)) and len(seen.per_mask) > 2:
        raise BadData(
            f"{once} of the masks' {len(values)} colours ({seen.shown(values)}) are in "
            "one mask each. If each is an object: --mask-kind instances. If each is a "
            "class: --mask-kind classes"
        )
    return Guess("classes", f"{len(values)} colours")
