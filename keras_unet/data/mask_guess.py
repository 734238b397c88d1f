"""What the values of masks mean where nobody said, or the question that is left."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from keras_unet.data.mask_values import MaskSet
from keras_unet.data_config import IGNORE
from keras_unet.errors import BadData

_MOST_CLASSES = 32
_DARK, _LIGHT = 31, 224
_SMALL = 63
"""The highest id that 255 beside it can be no more of."""
_LOW = 10
"""The highest id that is one although no other but 0 is beside it."""
_SEVERAL = 8
"""Values of which one far above the others stands out."""
_NEARLY = 0.9
_MANY = 6
"""Ids of one mask, counted through, that are hardly classes any more."""
_WIDE_IGNORE = 0xFFFF
_MIXTURES = 6
"""Values between others that are a soft edge, and no classes of thin lines."""
_VOC_VOID = 0xE0E0C0
"""Colour of contours in Pascal VOC, which are no label."""
_FEW = 0.005
"""Share of pixels whose soft edge may happen to look like a region."""
_LOST = 0.002
"""Share of pixels in even areas of a value that JPEG may have made up."""
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
    if _is_two(seen):
        return Guess("binary", f"only {seen.shown(seen.values)}")
    if seen.lossy:
        return _lossy(seen)
    return _strays(seen) or _with_void(seen) or _levels(seen)


def _levels(seen: MaskSet) -> Guess:
    if has_soft_edges(seen):
        return _by_levels(seen, seen.levels(), "soft edges")
    if is_grey_scale(seen) or len(seen.loose()) == len(seen.values):
        raise _unknown(seen)
    if lines := _between_regions(seen):
        raise BadData(
            f"the masks hold {seen.shares()}, and {seen.shown(lines)} nowhere fills a "
            "region. If it is a soft edge: --foreground-above 127. If it is a class: "
            "--mask-kind classes. If it is no label: --ignore-values "
            f"{' '.join(map(str, lines))}"
        )
    return _ids(seen)


def has_soft_edges(seen: MaskSet) -> bool:
    """Returns whether values lie between others that fill regions."""
    loose = seen.loose()
    if not loose:
        # Of many objects, levels take seconds to find.
        return False
    levels = seen.levels()
    two = len(levels) == 2 and levels[0] <= _DARK and levels[1] >= _LIGHT
    ends = two and {*seen.values} <= {*loose, *levels}
    if len(_between_regions(seen)) >= (3 if ends else _MIXTURES):
        return True
    return ends and all(value <= _DARK or value >= _LIGHT for value in seen.values)


def is_grey_scale(seen: MaskSet) -> bool:
    """Returns whether values are many, far apart and nowhere fill a region."""
    loose = seen.loose()
    if len(loose) < max(_MIXTURES, len(seen.values) / 2) or seen.wide:
        return False
    return len(loose) > _SEVERAL or loose[-1] - loose[0] > _SMALL


def _between_regions(seen: MaskSet) -> list[int]:
    """Returns the values that fill no region and lie between two that do, far apart."""
    regions = [value for value in seen.values if seen.is_region(value)]
    if not regions or regions[-1] - regions[0] <= _SMALL or seen.wide:
        return []
    return [value for value in seen.loose() if regions[0] < value < regions[-1]]


def _is_two(seen: MaskSet, values: Sequence[int] | None = None) -> bool:
    """Returns whether the values are a background of 0, and one foreground at most."""
    values = seen.values if values is None else values
    two = len(values) == 2 and values[0] == 0 and seen.background() == 0
    return len(values) <= 1 or two


def _strays(seen: MaskSet) -> Guess | None:
    """Returns the meaning of two values and a few odd pixels, if that is it."""
    strays = seen.strays()
    solid = [value for value in seen.values if value not in strays]
    if not strays or not _is_two(seen, solid):
        return None
    note = (
        f"{seen.told(strays)} of value {seen.shown(strays)}; all others are "
        f"{seen.shown(solid)}, so these count as the nearest of them"
    )
    reason = f"{seen.shown(solid)}, and a few odd pixels"
    return Guess("binary", reason, solid[-1] // 2, note=note)


def _with_void(seen: MaskSet) -> Guess | None:
    """Returns what high values apart from ids mean; None if there are none.

    255, and 65535 of 16 bits, are no label beside several ids; else it is a question.
    """
    rest, high = _ids_and_high(seen)
    known = high in ([IGNORE], [_WIDE_IGNORE])
    if not rest or not high or (seen.wide and not known):
        return None
    if not known or not _are_ids(seen, rest, high[0]):
        raise _doubt(seen, rest, high)
    seen.drop(high)
    reason = f"{seen.shown(rest)}, and {high[0]} for ignored"
    if _is_two(seen):
        return Guess("binary", reason, rest[-1] // 2, ignored=tuple(high))
    found = _ids(seen)
    reason = f"{found.reason}, and {high[0]}"
    return replace(found, reason=reason, ignored=tuple(high))


def _ids_and_high(seen: MaskSet) -> tuple[list[int], list[int]]:
    """Returns ids and few values far above them; no high ones if they are none."""
    *below, top = seen.values
    steps = [b - a for a, b in itertools.pairwise([0, *below])]
    if len(below) > _SEVERAL and top - below[-1] > 3 * max(steps):
        return below, [top]
    rest = [value for value in seen.values if value <= _SMALL]
    high = [value for value in seen.values if value > _SMALL]
    alone = rest == [0] and not (len(high) == 2 and min(high) >= _LIGHT)
    noise = len(rest) == 1 and not all(map(seen.is_region, high))
    if alone or noise or len(high) > 3:
        return rest, []
    steps = [b - a for a, b in itertools.pairwise([0, *rest])] or [0]
    far = high and high[0] - rest[-1] > 1.5 * max(steps) if rest else False
    return rest, high if far else []


def _are_ids(seen: MaskSet, rest: Sequence[int], void: int) -> bool:
    """Returns whether values beside ``void`` are clearly ids."""
    if seen.data.mask_reading == "indices":
        return True
    # Noise around 0 looks like ids that are nowhere a region.
    noise = [v for v in rest if seen.is_region(v)] == [0] and seen.is_region(void)
    if rest == [0, 1]:
        masks = [mask.keys() & {1, void} for mask in seen.per_mask]
        # Where 255 is without 1, it may be the foreground.
        alone, both = masks.count({void}), masks.count({1, void})
        return not noise and both > alone and not ({1} in masks and alone)
    return not noise and (len(rest) > 2 or (len(rest) == 2 and rest[-1] <= _LOW))


def _doubt(seen: MaskSet, rest: Sequence[int], high: Sequence[int]) -> BadData:
    values = " ".join(map(str, high))
    mean, it_is = ("mean", "they are") if len(high) > 1 else ("means", "it is")
    return BadData(
        f"the masks hold {seen.shares()}. What {values} {mean} cannot be told. If "
        f"{it_is} no label: --ignore-values {values}. If {it_is} a class: "
        f"--class-values {' '.join(map(str, seen.values))}. If {it_is} the foreground: "
        f"--foreground-above {0 if rest == [0, 1] else 127}"
    )


def _lossy(seen: MaskSet) -> Guess:
    levels = seen.levels()
    if (
        len(levels) < 2
        or seen.share(seen.far_from(levels), seen.flat) > _LOST
        or seen.closest(levels) < _TELLABLE
    ):
        raise BadData(
            "the masks are JPEG, which changes each value by a few, and hold "
            f"{seen.shown(seen.values)}: which of them were meant cannot be told any "
            "more. Write the masks as PNG from what they were made of; or give "
            "--foreground-above 127 if they were 0 and 255, or --class-values and "
            "--snap-values"
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
    share = 100 * seen.share(seen.far_from(levels))
    note = (
        f"{between}: {share:.1f} % of the masks' pixels are of none of the values "
        f"{seen.shown(levels)} and count as the nearest (--snap-values)"
    )
    reason = f"{len(levels)} values with {between}"
    return Guess("classes", reason, levels=tuple(levels), snaps=True, note=note)


def _loses_regions(seen: MaskSet, levels: Sequence[int]) -> bool:
    lost = {*seen.values}.difference(seen.loose(), levels)
    return not seen.lossy and seen.share(lost) > _FEW


def _unknown(seen: MaskSet) -> BadData:
    return BadData(
        f"what the masks' {len(seen.values)} values ({seen.shown(seen.values)}) mean "
        "cannot be told: give --mask-kind binary, instances or classes (with "
        "--class-values)"
    )


def _ids(seen: MaskSet) -> Guess:
    values, kind = seen.values, ids_of(seen)
    if kind == "instances":
        most = max(len(mask.keys() - {seen.background()}) for mask in seen.per_mask)
        reason = f"up to {most} objects a mask, each of them one piece"
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


def ids_of(seen: MaskSet) -> Literal["classes", "instances", "either", "unknown"]:
    """Returns what the ids are; either and unknown are questions.

    Ids number objects if nearly each is one connected piece of its mask and they are
    counted through in each mask, which hold more or fewer of them, or if they are very
    many; they are classes if they are few and recur.
    """
    zero = seen.background()
    found = [{v: p for v, p in mask.items() if v != zero} for mask in seen.per_mask]
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
    if many and spread > 2 and (through or (seen.wide and len(ids) > _SEVERAL)):
        return "instances"
    if through and (spread > 1 or len(found) < 3) and max(counts) > 2:
        return "either"
    if len(ids) > _MOST_CLASSES:
        return "instances" if seen.wide else "unknown"
    return "either" if seen.wide else "classes"


def _colours(seen: MaskSet) -> Guess:
    if seen.lossy:
        return _lossy(seen)
    if _VOC_VOID in seen.values and len(seen.values) > 2:
        seen.drop([_VOC_VOID])
        note = "0xe0e0c0, the colour of Pascal VOC's contours, is ignored"
        return replace(_colours(seen), ignored=(_VOC_VOID,), note=note)
    strays = seen.strays()
    if strays and len(seen.values) - len(strays) == 2:
        return _by_levels(seen, sorted({*seen.values} - {*strays}), "odd pixels")
    return _mixed_colours(seen) or _plain_colours(seen)


def _mixed_colours(seen: MaskSet) -> Guess | None:
    """Returns the meaning of colours with soft edges; None if there are none."""
    values = seen.values
    if len(values) <= _MOST_CLASSES and len(seen.loose()) < _MIXTURES:
        return None
    levels = seen.levels()
    every = sorted({*levels, *seen.off_levels(levels)})
    few = 1 < len(levels) <= len(every) <= _MOST_CLASSES
    if not few or len(every) == len(values) or _loses_regions(seen, every):
        return None
    return _by_levels(seen, every, "soft edges")


def _plain_colours(seen: MaskSet) -> Guess:
    values = seen.values
    if len(values) > _MOST_CLASSES:
        raise BadData(
            f"the masks have {len(values)} colours, too many for classes: name those "
            "that count with --class-values (others count as the nearest with "
            "--snap-values), save masks as PNG, because JPEG blurs colours, or give "
            "--mask-kind instances if each colour is an object"
        )
    if _is_two(seen):
        return Guess("binary", f"only {seen.shown(values)}", 0)
    once = sum(len(seen.files[value]) == 1 for value in values)
    if once > max(4.0, 0.8 * len(values)) and len(seen.per_mask) > 2:
        raise BadData(
            f"{once} of the masks' {len(values)} colours ({seen.shown(values)}) are in "
            "one mask each. If each is an object: --mask-kind instances. If each is a "
            "class: --mask-kind classes"
        )
    return Guess("classes", f"{len(values)} colours")
