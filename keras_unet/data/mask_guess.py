"""What the values of masks mean where nobody said, or the question that is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from keras_unet.data.class_list import ClassList
from keras_unet.data.mask_values import LIGHT, MIXTURES, MOST_CLASSES, MaskSet
from keras_unet.data.objects import ids_of
from keras_unet.data_config import IGNORE
from keras_unet.errors import BadData

_DARK, _LOW = 31, 10
"""The highest level near 0, and id that is one although only 0 is beside it."""
_WIDE_IGNORE, _VOC_VOID = 0xFFFF, 0xE0E0C0
"""No label of 16 bits; the colour of contours in Pascal VOC, which are none either."""
_FEW, _LOST = 0.005, 0.002
"""Shares of pixels: whose soft edge may happen to look like a region, and of a value in
even areas that JPEG or soft edges may make up."""
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
    if _is_two(seen, seen.values):
        return Guess("binary", f"only {seen.shown(seen.values)}")
    if seen.lossy:
        return _lossy(seen)
    return _strays(seen) or _with_void(seen) or _levels(seen)


def _levels(seen: MaskSet) -> Guess:
    if _has_soft_edges(seen):
        return _by_levels(seen, seen.levels(), "soft edges")
    if seen.is_grey_scale() or len(seen.loose()) == len(seen.values):
        raise _unknown(seen)
    if lines := seen.between_regions():
        raise BadData(
            f"the masks hold {seen.shares()}, and {seen.shown(lines)} nowhere fills a "
            f"region. If it is a soft edge: --foreground-above {seen.values[-1] // 2}. "
            "If it is a class: --mask-kind classes. If it is no label: --ignore-values "
            f"{' '.join(map(str, lines))}"
        )
    return _ids(seen)


def is_soft(seen: MaskSet) -> bool:
    """Returns whether values are no classes, but between two that are."""
    return _has_soft_edges(seen) or seen.is_grey_scale()


def _has_soft_edges(seen: MaskSet) -> bool:
    """Returns whether values lie between others that fill regions."""
    loose = seen.loose()
    if not loose:
        # Of many objects, levels take seconds to find.
        return False
    levels = seen.levels()
    two = len(levels) == 2 and levels[0] <= _DARK and levels[1] >= LIGHT
    lost = {*seen.values}.difference(loose, levels)
    ends = two and seen.share(lost.intersection(seen.far_from(levels))) <= _FEW
    if len(seen.between_regions()) >= (3 if ends and not lost else MIXTURES):
        return True
    return ends and not lost and all(v <= _DARK or v >= LIGHT for v in seen.values)


def _refuse_twins(seen: MaskSet) -> None:
    """Refuses values of which some are so near each other that they may be one."""
    groups = seen.twins()
    if not groups:
        return
    most = [max(values, key=lambda value: seen.counts[value]) for values in groups]
    alike = ", ".join(seen.shown(values) for values in groups if len(values) > 1)
    raise BadData(
        f"the masks hold {seen.shares()}, and {alike} are nearly the same. If such "
        f"values are one class: {seen.flags(most)}. If each is a class: "
        "--mask-kind classes. If each is an object: --mask-kind instances"
    )


def _is_two(seen: MaskSet, values: Sequence[int]) -> bool:
    """Returns whether the values are a background of 0, and one foreground at most."""
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


def void_of(seen: MaskSet, names: ClassList | None = None) -> tuple[int, ...]:
    """Returns the values that clearly are no label, whatever the others number.

    Beside several ids, or two that a list names, that is 255, or 65535 of 16 bits;
    else these are a question. What the list names is a label.

    Raises:
        BadData: they stand apart from what is said to number objects, and may be one.
    """
    if seen.lossy or not seen.values:
        return ()
    listed = names.names(seen.values, seen.coloured) if names else {}
    if seen.coloured:
        void = _VOC_VOID in seen.values and _VOC_VOID not in listed
        return (_VOC_VOID,) if void and len(seen.values) > 2 else ()
    rest, high = seen.ids_and_high()
    known = bool(rest) and high in ([IGNORE], [_WIDE_IGNORE])
    are_named = bool(names and names.names_rest(seen))
    void = known and _are_ids(seen, rest, high[0], are_named)
    if known and not void and seen.data.mask_kind == "instances":
        raise _doubt(seen, rest, high)
    return tuple(v for v in high if v not in listed) if void else ()


def _with_void(seen: MaskSet) -> Guess | None:
    """Returns what high values apart from ids mean; None if there are none."""
    rest, high = seen.ids_and_high()
    known = [IGNORE], [_WIDE_IGNORE], [IGNORE, _WIDE_IGNORE]
    if not rest or not high or (seen.wide and high not in known):
        return None
    if not void_of(seen):
        raise _doubt(seen, rest, high)
    found = _apart_from(seen, high, _ids)
    return replace(found, reason=f"{found.reason}, and {high[0]}")


def _apart_from(
    seen: MaskSet, void: Sequence[int], meaning: Callable[[MaskSet], Guess]
) -> Guess:
    """Returns what the values but ``void`` mean; a question about them names it."""
    seen.drop(void)
    try:
        return replace(meaning(seen), ignored=tuple(void))
    except BadData as error:
        no_label = f"What is no label: --ignore-values {seen.shown(void)}"
        raise BadData(f"{error}. {no_label}") from error


def _are_ids(seen: MaskSet, rest: Sequence[int], void: int, are_named: bool) -> bool:
    """Returns whether values beside ``void`` are clearly ids."""
    if seen.data.mask_reading == "indices":
        return True
    fills = 2 * seen.border[void] > seen.border.total() and seen.share([void]) > 0.5
    if fills and all(map(seen.is_region, rest)):
        return False  # It may be the background.
    # Noise around 0 looks like ids that are nowhere a region.
    noise = [v for v in rest if seen.is_region(v)] == [0] and seen.is_region(void)
    if rest == [0, 1]:
        masks = [mask.keys() & {1, void} for mask in seen.per_mask]
        # Where 255 is without 1, it may be the foreground.
        alone, both = masks.count({void}), masks.count({1, void})
        both_ways = {1} in masks and alone and not are_named
        return not noise and both > alone and not both_ways
    several = len(rest) > 2 or (len(rest) == 2 and (are_named or rest[-1] <= _LOW))
    return several and not noise


def _doubt(seen: MaskSet, rest: Sequence[int], high: Sequence[int]) -> BadData:
    values = " ".join(map(str, high))
    mean, it_is = ("mean", "they are") if len(high) > 1 else ("means", "it is")
    otherwise = (
        f"a class: --class-values {' '.join(map(str, seen.values))} (the background's "
        f"first). If {it_is} the foreground: --foreground-above "
        f"{0 if rest == [0, 1] else 127}"
    )
    if seen.data.mask_kind == "instances":
        otherwise = "an object: --foreground-above 0"
    return BadData(
        f"the masks hold {seen.shares()}. What {values} {mean} cannot be told. If "
        f"{it_is} no label: --ignore-values {values}. If {it_is} {otherwise}"
    )


def _lossy(seen: MaskSet) -> Guess:
    levels = seen.levels()
    if (
        len(levels) < 2
        or _loses_levels(seen, levels)
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
    if not seen.coloured and _loses_levels(seen, levels):
        raise _unknown(seen)
    if len(levels) == 2 and levels[0] <= _DARK and not seen.coloured:
        reason = (
            f"{between}: {len(seen.values)} values, of which nearly all are close to "
            f"{levels[0]} or {levels[1]}"
        )
        return Guess("binary", reason, sum(levels) // 2)
    if not 2 <= len(levels) <= MOST_CLASSES or _loses_regions(seen, levels):
        raise _unknown(seen)
    share = 100 * seen.share(seen.far_from(levels))
    note = (
        f"{between}: {share:.1f} % of the masks' pixels are of none of the values "
        f"{seen.shown(levels)} and count as the nearest (--snap-values)"
    )
    reason = f"{len(levels)} values with {between}"
    return Guess("classes", reason, levels=tuple(levels), snaps=True, note=note)


def _loses_levels(seen: MaskSet, levels: Sequence[int]) -> bool:
    return seen.share(seen.far_from(levels), seen.flat) > _LOST


def _loses_regions(seen: MaskSet, levels: Sequence[int]) -> bool:
    lost = {*seen.values}.difference(seen.loose(), levels)
    return not seen.lossy and seen.share(lost) > _FEW


def _unknown(seen: MaskSet) -> BadData:
    return BadData(
        f"what the masks' {len(seen.values)} values ({seen.shown(seen.values)}) mean "
        "cannot be told: give --mask-kind binary, instances or classes (with "
        "--class-values, and --snap-values if others count as the nearest), or "
        f"--foreground-above {max(seen.values) // 2} if they are soft edges of two"
    )


def _ids(seen: MaskSet) -> Guess:
    if _is_two(seen, seen.values):
        return Guess("binary", f"only {seen.shown(seen.values)}")
    values, kind = seen.values, ids_of(seen)
    if kind == "instances":
        most = max(len(mask.keys() - {seen.background()}) for mask in seen.per_mask)
        reason = f"up to {most} objects a mask, a piece each; else --mask-kind classes"
        return Guess("instances", reason, 0)
    if kind == "classes":
        _refuse_twins(seen)
        return Guess("classes", f"{len(values)} values")
    if kind == "unknown":
        raise _unknown(seen)
    raise _either(seen)


def _either(seen: MaskSet) -> BadData:
    return BadData(
        f"the masks hold {len(seen.values)} values ({seen.shown(seen.values)}), each "
        "of them one connected piece of a mask. If they number objects: --mask-kind "
        "instances. If they are classes: --mask-kind classes"
    )


def _colours(seen: MaskSet) -> Guess:
    if seen.lossy:
        return _lossy(seen)
    if void := void_of(seen):
        note = "0xe0e0c0, the colour of Pascal VOC's contours, is ignored"
        return replace(_apart_from(seen, void, _colours), note=note)
    strays = seen.strays()
    if strays and len(seen.values) - len(strays) == 2:
        return _by_levels(seen, sorted({*seen.values} - {*strays}), "odd pixels")
    return _mixed_colours(seen) or _plain_colours(seen)


def _mixed_colours(seen: MaskSet) -> Guess | None:
    """Returns the meaning of colours with soft edges; None if there are none."""
    values = seen.values
    if len(values) <= MOST_CLASSES and len(seen.loose()) < MIXTURES:
        return None
    levels = seen.levels()
    if not 1 < len(levels) <= MOST_CLASSES:
        return None
    off = {*seen.off_levels(levels)}.difference(seen.strays(), levels)
    if _loses_regions(seen, [*levels, *off]) or len(off) + len(levels) == len(values):
        return None
    if off:
        raise BadData(
            f"the masks have {len(values)} colours, of which {seen.shown(levels)} fill "
            f"regions, and {seen.shown(sorted(off))} are no mixtures of two of them. "
            f"If edges or noise: {seen.flags(levels)}. If classes: name them too"
        )
    return _by_levels(seen, levels, "soft edges")


def _plain_colours(seen: MaskSet) -> Guess:
    values = seen.values
    if len(values) > MOST_CLASSES:
        raise BadData(
            f"the masks have {len(values)} colours, too many for classes: name those "
            "that count with --class-values (others count as the nearest with "
            "--snap-values), save masks as PNG, because JPEG blurs colours, or give "
            "--mask-kind instances if each colour is an object. Images have as many: "
            "are images and masks swapped?"
        )
    if _is_two(seen, seen.values):
        return Guess("binary", f"only {seen.shown(values)}", 0)
    if ids_of(seen) == "either":
        raise _either(seen)
    once = sum(len(seen.files[value]) == 1 for value in values)
    if once > max(4.0, 0.8 * len(values)) and len(seen.per_mask) > 2:
        raise BadData(
            f"{once} of the masks' {len(values)} colours ({seen.shown(values)}) are in "
            "one mask each. If each is an object: --mask-kind instances. If each is a "
            "class: --mask-kind classes"
        )
    _refuse_twins(seen)
    return Guess("classes", f"{len(values)} colours")
