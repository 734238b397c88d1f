"""A config in which nothing about mask values is open any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from keras_unet.data.class_list import ClassList
from keras_unet.data.mask_guess import (
    Guess,
    guess,
    has_soft_edges,
    is_grey_scale,
    negatives,
)
from keras_unet.data.mask_set import MaskSet, find_reading
from keras_unet.data.mask_values import MaskValues
from keras_unet.data.masks import shown
from keras_unet.data_config import IGNORE, DataConfig
from keras_unet.errors import BadUsage


@dataclass(frozen=True)
class Coding:
    """A config in which nothing about mask values is open, and why it is as it is.

    Attributes:
        data: the config.
        reason: what the values mean, and why.
        notes: what else is to be said of them.
    """

    data: DataConfig
    reason: str
    notes: tuple[str, ...] = ()


def find_coding(
    masks: Sequence[MaskValues],
    data: DataConfig,
    files: Sequence[Path] = (),
    names: ClassList | None = None,
) -> Coding:
    """Returns ``data`` with what was open about mask values filled in.

    What the user gave stays.

    Args:
        masks: the values of every mask of the set.
        data: ``mask_reading``, ``mask_kind``, ``foreground_above``, ``class_values``,
            ``class_names``, ``ignore_values`` and ``snap_values`` may be open.
        files: names of the masks, for messages.
        names: of classes, from a file beside the masks.

    Raises:
        BadData: what the values mean cannot be told; the message has the ways on.
        BadUsage: the given names or values do not fit together.
    """
    said = ""
    if data.mask_reading == "auto":
        reading, said = find_reading(masks)
        data = replace(data, mask_reading=reading)
    seen = MaskSet(masks, data, files)
    data, left_out = _without_negatives(seen, data)
    if names and not data.class_values:
        data = _without_listed(seen, data, names)
    meaning = _meaning(seen, data, names)
    seen.drop(meaning.ignored)
    data = replace(
        data,
        mask_kind=meaning.kind,
        ignore_values=(*data.ignore_values, *meaning.ignored),
        snap_values=data.snap_values or meaning.snaps,
    )
    if data.targets == "borders" and meaning.kind != "instances":
        raise BadUsage(
            "--targets borders is made of masks that number their objects, and these "
            f"are {meaning.kind} ({meaning.reason}): leave it out, or, if their values "
            "are such numbers, give --mask-kind instances"
        )
    if meaning.kind == "classes":
        coding = _classes(data, seen, meaning, names)
    else:
        coding = _binary(data, seen, meaning)
    notes = (said, left_out, meaning.note, *coding.notes)
    return replace(coding, notes=tuple(filter(None, notes)))


def _without_negatives(seen: MaskSet, data: DataConfig) -> tuple[DataConfig, str]:
    """Returns the config with negative values ignored, and what is to be said of it."""
    if data.class_values or data.foreground_above is not None:
        return data, ""
    negative = negatives(seen)
    if not negative:
        return data, ""
    note = (
        f"{100 * seen.share(negative):.1f} % of the masks' pixels are "
        f"{seen.shown(negative)}, which is no class and ignored (--ignore-values)"
    )
    seen.drop(negative)
    return replace(data, ignore_values=(*data.ignore_values, *negative)), note


def _without_listed(seen: MaskSet, data: DataConfig, names: ClassList) -> DataConfig:
    """Returns the config with what the list says is no class ignored."""
    found = names.ignored(seen.values, seen.coloured)
    new = tuple(value for value in found if value not in data.ignore_values)
    seen.drop(new)
    return replace(data, ignore_values=(*data.ignore_values, *new))


def _meaning(seen: MaskSet, data: DataConfig, names: ClassList | None) -> Guess:
    if data.mask_kind != "auto":
        given = "as --mask-kind, layout or run says"
        return Guess(data.mask_kind, given, data.foreground_above)
    if names and not data.class_values and names.knows(seen.values, seen.coloured):
        known = {*names.names(seen.values, seen.coloured), 0}
        void = tuple(value for value in seen.values if value not in known)
        return Guess("classes", f"named in {names.file.name}", ignored=void)
    if data.class_values:
        return Guess("classes", "by --class-values")
    if data.foreground_above is not None:
        return Guess("binary", "by --foreground-above", data.foreground_above)
    return guess(seen)


_BINARY, _BORDERS = ("background", "foreground"), ("background", "cell", "border")


def _binary(data: DataConfig, seen: MaskSet, meaning: Guess) -> Coding:
    above = meaning.above
    if above is None:
        above = 0 if meaning.kind == "instances" else _threshold(seen)
    data = replace(data, foreground_above=above)
    white_paper = (
        "the foreground fills most of the masks' borders; if it is the background: "
        f"--class-values {' '.join(map(str, reversed(seen.values)))}"
    )
    odd = (
        len(seen.values) == 2 and seen.border[seen.values[1]] > seen.border.total() / 2
    )
    bright = [value for value in seen.values if value > above]
    merged = f"{shown(bright, data)} all count as foreground"
    several = meaning.kind == "binary" and len(bright) > 1 and not _is_soft(seen)
    ignored = data.ignore_values
    also = f", {shown(ignored, data)} ignored" if ignored else ""
    return Coding(
        _named(data, _BINARY if data.targets == "mask" else _BORDERS),
        f"mask values: {meaning.kind}, foreground above {above}{also} "
        f"({meaning.reason})",
        tuple(note for note, said in ((white_paper, odd), (merged, several)) if said),
    )


def _threshold(seen: MaskSet) -> int:
    highest = seen.values[-1] if seen.values else 0
    soft = len(seen.values) <= 2 or _is_soft(seen)
    return highest // 2 if soft and highest <= IGNORE else 0


def _is_soft(seen: MaskSet) -> bool:
    return has_soft_edges(seen) or is_grey_scale(seen)


def _classes(
    data: DataConfig, seen: MaskSet, meaning: Guess, names: ClassList | None
) -> Coding:
    values, note = data.class_values, ""
    if not values:
        values, note = _ordered(seen, meaning.levels or tuple(seen.values))
    if not 1 <= len(values) <= IGNORE or len(set(values)) < len(values):
        raise BadUsage(
            f"--class-values must be 1 to {IGNORE} different values, "
            f"not {shown(values, data)}"
        )
    data = replace(data, class_values=values)
    listed = names.names(values, seen.coloured) if names else {}
    from_list = ""
    if names and not data.class_names:
        whose = f"{len(listed)} of {len(values)} classes have their names from"
        from_list = f"{whose} {names.file}" if listed else names.unused()
    data = _named(data, tuple(listed.get(v) or _name(v, data) for v in values))
    table = ", ".join(
        f"{shown([value], data)} → {name}"
        for value, name in zip(values, data.class_names, strict=True)
    )
    ignored = data.ignore_values
    also = f", {shown(ignored, data)} → ignored" if ignored else ""
    return Coding(
        data,
        f"mask values: classes {table}{also} ({meaning.reason}; if they number single "
        "objects: --mask-kind instances)",
        (note, from_list, *_rare(seen, data)),
    )


def _rare(seen: MaskSet, data: DataConfig) -> list[str]:
    """Returns a line on each class of so few pixels that it may be a slip."""
    return [
        f"{seen.told([value])} of value {seen.shown([value])}, all that there are; if "
        f"they are no class: --ignore-values {seen.shown([value])}"
        for value in seen.strays()
        if value in data.class_values
    ]


def _ordered(seen: MaskSet, values: Sequence[int]) -> tuple[tuple[int, ...], str]:
    """Returns the values, the background's first, and what is to be said of that."""
    first = seen.background() if values else 0
    if first not in values:
        return tuple(values), ""
    rest = (value for value in values if value != first)
    note = (
        f"{seen.shown([first])} fills most of the masks' borders and is taken for the "
        "background, class 0 (--class-values, the background's first, changes that)"
    )
    return (first, *rest), "" if first in (0, seen.usual_background) else note


def _name(value: int, data: DataConfig) -> str:
    first = value == data.class_values[0]
    if first and (value == 0 or data.mask_reading in ("colours", "indices")):
        return "background"
    return f"class_{shown([value], data).removeprefix('0x')}"


def _named(data: DataConfig, names: tuple[str, ...]) -> DataConfig:
    if data.class_names and len(data.class_names) != len(names):
        raise BadUsage(
            f"--class-names must be {len(names)} names, one a class, "
            f"not {' '.join(data.class_names)}"
        )
    return replace(data, class_names=data.class_names or names)
