"""What the values of masks mean, found by counting them in the whole set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from PIL import Image

from keras_unet.config import IGNORE, DataConfig
from keras_unet.data.masks import GREY_STEP, shown
from keras_unet.errors import BadData, BadUsage
from keras_unet.types import Values

Kind = Literal["grey", "wide", "palette", "colour", "runs"]


@dataclass(frozen=True)
class MaskValues:
    """The values of one mask.

    Attributes:
        counts: pixels by value.
        kind: how the file holds them; wide is more than 8 bits, runs are run lengths.
        flat: those of the pixels whose right and lower neighbours are the same; of a
            mask of two values or fewer, which cannot have soft edges, all.
    """

    counts: dict[int, int]
    kind: Kind = "grey"
    flat: dict[int, int] = field(default_factory=dict)


def count_values(values: Values, kind: Kind) -> MaskValues:
    """Returns the values of one mask (h, w)."""
    counts = _histogram(values)
    if len(counts) <= 2:
        return MaskValues(counts, kind, counts)
    inner = values[:-1, :-1]
    flat = inner[(inner == values[1:, :-1]) & (inner == values[:-1, 1:])]
    return MaskValues(counts, kind, _histogram(flat))


def _histogram(values: Values) -> dict[int, int]:
    if values.dtype == np.uint8:
        # Four times as fast as NumPy's bincount, which widens to 64 bits first.
        counts = Image.fromarray(np.atleast_2d(values)).histogram()
        return {value: count for value, count in enumerate(counts) if count}
    present, times = np.unique(values, return_counts=True)
    return dict(zip(present.tolist(), times.tolist(), strict=True))


_MOST_CLASSES = 32
_DARK, _LIGHT = 31, 224
# Of a region's pixels most have equal neighbours, of a soft edge's hardly any.
_REGION = 0.3


@dataclass(frozen=True)
class Coding:
    """A config in which nothing about mask values is open, and why it is as it is."""

    data: DataConfig
    reason: str


def find_coding(masks: Sequence[MaskValues], data: DataConfig) -> Coding:
    """Returns ``data`` with what was open about mask values filled in.

    What the user gave stays.

    Args:
        masks: the values of every mask of the set.
        data: ``mask_kind``, ``foreground_above``, ``class_values``, ``class_names`` and
            ``ignore_value`` may be open.

    Raises:
        BadData: what the values mean cannot be told.
        BadUsage: the given names or values do not fit together.
    """
    seen = _AllValues(masks, data.ignore_value)
    if data.mask_kind != "auto":
        return _fill(data, seen, "as given")
    if data.class_values:
        return _fill(replace(data, mask_kind="classes"), seen, "by --class-values")
    if data.foreground_above is not None:
        return _fill(replace(data, mask_kind="binary"), seen, "by --foreground-above")
    return _guess(data, seen)


class _AllValues:
    """The values of all masks together.

    Attributes:
        values: every value, in order; grey colours as levels where no colour is.
        per_mask: the values of each mask.
        counts: pixels by value, over all masks.
        flat: those of them that lie in regions.
        coloured: some value is a colour.
    """

    def __init__(self, masks: Sequence[MaskValues], ignore_value: int | None) -> None:
        self.kinds = {mask.kind for mask in masks}
        self.coloured = any(
            value % GREY_STEP
            for mask in masks
            if mask.kind == "colour"
            for value in mask.counts
        )
        self.counts, self.flat = Counter[int](), Counter[int]()
        self.per_mask: list[set[int]] = []
        for mask in masks:
            counts, flat = self._levels(mask.counts), self._levels(mask.flat)
            if ignore_value is not None:
                counts.pop(ignore_value, None)
            self.per_mask.append(set(counts))
            self.counts.update(counts)
            self.flat.update(flat)
        self.values = sorted(self.counts)

    def _levels(self, counts: dict[int, int]) -> dict[int, int]:
        if self.coloured:
            return dict(counts)
        return {v // GREY_STEP if v >= GREY_STEP else v: c for v, c in counts.items()}

    def pixels(self, values: Iterable[int]) -> int:
        return sum(self.counts[value] for value in values)

    def are_regions(self, values: Iterable[int]) -> bool:
        chosen = list(values)
        flat = sum(self.flat[value] for value in chosen)
        return flat >= _REGION * max(1, self.pixels(chosen))

    def vary(self) -> bool:
        return len(self.per_mask) < 2 or any(
            values != self.per_mask[0] for values in self.per_mask
        )


def _guess(data: DataConfig, seen: _AllValues) -> Coding:
    values = seen.values
    if len(values) <= 1 or (len(values) == 2 and values[0] == 0):
        return _fill(replace(data, mask_kind="binary"), seen, f"only {shown(values)}")
    if seen.coloured:
        return _guess_colours(data, seen)
    if "wide" in seen.kinds:
        return _guess_wide(data, seen)
    return _guess_grey(data, seen)


def _guess_colours(data: DataConfig, seen: _AllValues) -> Coding:
    if len(seen.values) > _MOST_CLASSES:
        raise BadData(
            f"the masks have {len(seen.values)} colours, too many for classes: name "
            "those that count with --class-values, and save masks as PNG, because JPEG "
            "blurs colours"
        )
    return _classes(data, seen, f"{len(seen.values)} colours")


def _guess_wide(data: DataConfig, seen: _AllValues) -> Coding:
    if len(seen.values) <= _MOST_CLASSES and not seen.vary():
        return _classes(data, seen, "the same few 16-bit values in every mask")
    reason = f"{len(seen.values)} 16-bit values, other ones in each mask"
    return _fill(replace(data, mask_kind="instances"), seen, reason)


def _guess_grey(data: DataConfig, seen: _AllValues) -> Coding:
    values = seen.values
    if values == [0, 1, IGNORE]:
        return _guess_mixed(data, seen)
    small = [value for value in values if value != IGNORE]
    if small[-1] <= _DARK and small != values and seen.are_regions(small[1:]):
        ignoring = replace(data, ignore_value=IGNORE)
        return _classes(ignoring, seen, f"ids up to {small[-1]}, and 255 for ignored")
    if _has_soft_edges(seen):
        reason = f"{len(values)} values, of which nearly all are close to 0 or 255"
        return _fill(
            replace(data, mask_kind="binary", foreground_above=127),
            seen,
            (f"soft edges: {reason}"),
        )
    if len(values) <= _MOST_CLASSES:
        return _classes(data, seen, f"{len(values)} values")
    if all(len(v | {0}) >= 0.9 * (max(v | {0}) + 1) for v in seen.per_mask):
        reason = f"up to {values[-1]} ids, counted through in each mask"
        return _fill(replace(data, mask_kind="instances"), seen, reason)
    raise BadData(
        f"what the masks' {len(values)} values ({shown(values)}) mean cannot be told: "
        "give --mask-kind binary, instances or classes (with --class-values)"
    )


def _guess_mixed(data: DataConfig, seen: _AllValues) -> Coding:
    binary = replace(data, mask_kind="binary", foreground_above=0)
    if any({1, IGNORE} <= values for values in seen.per_mask):
        reason = "0 and 1, and 255 for ignored"
        return _fill(replace(binary, ignore_value=IGNORE), seen, reason)
    return _fill(binary, seen, "0 and 1 in some masks, 0 and 255 in others")


def _has_soft_edges(seen: _AllValues) -> bool:
    dark = [value for value in seen.values if value <= _DARK]
    light = [value for value in seen.values if value >= _LIGHT]
    between = [value for value in seen.values if _DARK < value < _LIGHT]
    if not dark or not light or seen.pixels(between) > seen.pixels(light):
        return False
    if not between:
        return True
    many = len(between) > 100
    return many or (len(between) > 2 and not seen.are_regions(between))


def _classes(data: DataConfig, seen: _AllValues, reason: str) -> Coding:
    return _fill(replace(data, mask_kind="classes"), seen, reason)


def _fill(data: DataConfig, seen: _AllValues, reason: str) -> Coding:
    if data.mask_kind == "classes":
        return _fill_classes(data, seen, reason)
    above = data.foreground_above
    if above is None:
        above = 0 if data.mask_kind == "instances" else _threshold(seen)
    data = replace(data, foreground_above=above)
    return Coding(
        _named(data, ["background", "foreground"]),
        f"mask values: {data.mask_kind}, foreground above {above} ({reason})",
    )


def _fill_classes(data: DataConfig, seen: _AllValues, reason: str) -> Coding:
    found = [value for value in seen.values if value != data.ignore_value]
    values = data.class_values or tuple(found)
    if not 1 <= len(values) <= IGNORE or len(set(values)) < len(values):
        raise BadUsage(
            f"--class-values must be 1 to {IGNORE} different values, "
            f"not {shown(values)}"
        )
    names = ["background"] + [f"class_{value}" for value in range(1, len(values))]
    data = _named(replace(data, class_values=values), names)
    table = ", ".join(
        f"{shown([value])} → {name}"
        for value, name in zip(values, data.class_names, strict=True)
    )
    ignored = data.ignore_value
    also = f", {shown([ignored])} → ignored" if ignored is not None else ""
    return Coding(
        data,
        f"mask values: classes {table}{also} ({reason}; if they number single objects: "
        "--mask-kind instances)",
    )


def _named(data: DataConfig, names: list[str]) -> DataConfig:
    if data.class_names and len(data.class_names) != len(names):
        raise BadUsage(
            f"--class-names must be {len(names)} names, one a class, "
            f"not {' '.join(data.class_names)}"
        )
    return replace(data, class_names=data.class_names or tuple(names))


def _threshold(seen: _AllValues) -> int:
    highest = seen.values[-1] if seen.values else 0
    if highest > IGNORE:
        return 0
    soft = len(seen.values) <= 2 or _has_soft_edges(seen)
    return highest // 2 if soft else 0
