"""A config in which nothing about mask values is open any more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from keras_unet.data.class_list import BACKGROUND, ClassList, named, plain_name
from keras_unet.data.mask_guess import Guess, guess, is_soft, void_of
from keras_unet.data.mask_values import GREY_STEP, MaskSet, MaskValues, coordinates
from keras_unet.data.objects import about_numbers
from keras_unet.data_config import IGNORE, MOST_VALUE, DataConfig, Reading
from keras_unet.errors import BadData, BadUsage


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

    What the user gave stays. ``files`` are those of the masks, for messages, and
    ``names`` are of classes, from a file beside the masks.

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
        data = _ignoring(seen, data, names.ignored(seen.values, seen.coloured))
    meaning = _meaning(seen, data, names)
    data = replace(
        _ignoring(seen, data, meaning.ignored),
        mask_kind=meaning.kind,
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
    """Returns the config with values below 0, or NaN, ignored, and a note on them.

    Raises:
        BadData: fewer than two others remain, or instances without a background.
    """
    negative = tuple(value for value in seen.values if value < 0)
    if not negative or data.class_values or data.foreground_above is not None:
        return data, ""
    none_is_0 = data.mask_kind == "instances" and 0 not in seen.values
    if none_is_0 or len(seen.values) - len(negative) < 2:
        raise BadData(
            f"the masks hold {seen.shown(seen.values)}. If what is below 0 is the "
            f"background: --foreground-above {min(0, seen.values[-1] - 1)}. If it is "
            "no label, the masks have no background: write them with one"
        )
    note = (
        f"{100 * seen.share(negative):.1f} % of the masks' pixels are "
        f"{seen.shown(negative)}, which is no class and ignored (--ignore-values)"
    )
    return _ignoring(seen, data, negative), note


def _ignoring(seen: MaskSet, data: DataConfig, values: Sequence[int]) -> DataConfig:
    seen.drop(values)
    every = dict.fromkeys((*data.ignore_values, *values))
    return replace(data, ignore_values=tuple(every))


def _meaning(seen: MaskSet, data: DataConfig, names: ClassList | None) -> Guess:
    is_open = not data.class_values and data.foreground_above is None
    void = void_of(seen, names) if is_open else ()
    others = [value for value in seen.values if value not in void]
    if data.mask_kind == "binary" and others != [0, 1]:
        void = ()  # It may be the foreground.
    if data.mask_kind != "auto":
        given = "as --mask-kind, layout or run says"
        return Guess(data.mask_kind, given, data.foreground_above, ignored=void)
    if data.class_values:
        return Guess("classes", "by --class-values")
    if data.foreground_above is not None:
        return Guess("binary", "by --foreground-above", data.foreground_above)
    if names and names.knows(others, seen.coloured):
        return Guess("classes", f"named in {names.file.name}", ignored=void)
    return guess(seen)


_BINARY, _BORDERS = ("background", "foreground"), ("background", "cell", "border")


def _binary(data: DataConfig, seen: MaskSet, meaning: Guess) -> Coding:
    above, highest = meaning.above, max(seen.values, default=0)
    if above is None:
        is_level = meaning.kind == "binary" and highest <= IGNORE
        halved = is_level and (len(seen.values) <= 2 or is_soft(seen))
        above = highest // 2 if halved else 0
    data = replace(data, foreground_above=above)
    by_flag = meaning.kind == "instances" and meaning.above is None
    notes = about_numbers(seen) if by_flag else []
    levels = coordinates(seen.values, data.mask_reading).max(-1).tolist()
    bright = [v for v, level in zip(seen.values, levels, strict=True) if level > above]
    dark = [value for value in seen.values if value not in bright]
    filled = 2 * sum(seen.border[value] for value in bright) > seen.border.total()
    two = meaning.kind == "binary" or len(seen.values) == 2
    if filled and two and dark and dark[0] >= 0:
        snap = " --snap-values" if len(seen.values) > 2 else ""
        notes.append(
            "the foreground fills most of the masks' borders; if it is the background: "
            f"--class-values {seen.shown([bright[-1], dark[0]])}{snap}"
        )
    for values, what in (dark, "background"), (bright, "foreground"):
        if meaning.kind == "binary" and len(values) > 1 and not is_soft(seen):
            notes.append(f"{seen.shown(values)} all count as {what}")
    ignored = data.ignore_values
    also = f", {seen.shown(ignored)} ignored" if ignored else ""
    return Coding(
        named(data, _BINARY if data.targets == "mask" else _BORDERS),
        f"mask values: {meaning.kind}, foreground above {above}{also} "
        f"({meaning.reason})",
        tuple(notes),
    )


def _classes(
    data: DataConfig, seen: MaskSet, meaning: Guess, names: ClassList | None
) -> Coding:
    values, note = data.class_values, ""
    if not values:
        if names and not data.class_names:
            names.require_one_count(seen)
        values, note = _ordered(seen, meaning.levels or seen.values, names)
    fits = values and 0 <= min(values) <= max(values) <= MOST_VALUE
    if not fits or len(values) > IGNORE or len(set(values)) < len(values):
        raise BadUsage(
            f"--class-values must be 1 to {IGNORE} different values of 0 to "
            f"{MOST_VALUE}, as masks are written, not {seen.shown(values)}"
        )
    data = replace(data, class_values=values)
    listed = names.names(values, seen.coloured) if names else {}
    from_list = ""
    if names and not data.class_names:
        unused = "names none of the masks' classes: its lines do not fit their values"
        from_list = (
            f"{len(listed)} of {len(values)} classes have their names from {names.file}"
            if listed
            else f'{names.file} {unused}; write "value name" lines'
        )
    data = named(data, tuple(listed.get(v) or plain_name(v, data) for v in values))
    table = ", ".join(
        f"{seen.shown([value])} → {name}"
        for value, name in zip(values, data.class_names, strict=True)
    )
    ignored = data.ignore_values
    also = f", {seen.shown(ignored)} → ignored" if ignored else ""
    rare = [
        f"{seen.told([value])} of value {seen.shown([value])}, all that there are; if "
        f"they are no class: --ignore-values {seen.shown([value])}"
        for value in seen.strays()
        if value in values
    ]
    return Coding(
        data,
        f"mask values: classes {table}{also} ({meaning.reason}; if they number single "
        "objects: --mask-kind instances)",
        (note, from_list, *rare),
    )


_NEARLY_ALL = 0.98
"""Share of the borders of a value that may be the background although there is 0."""


def _ordered(
    seen: MaskSet, values: Sequence[int], names: ClassList | None
) -> tuple[tuple[int, ...], str]:
    """Returns the values, the background's first, and what is to be said of that."""
    first = seen.background() if values else 0
    if first not in values:
        return tuple(values), ""
    most = max(values, key=lambda value: (seen.border[value], value == first))
    fills = seen.border[most] > _NEARLY_ALL * seen.border.total()
    called = names.names(values, seen.coloured).get(most, "") if names else ""
    if most != first and (first or (fills and called.lower() in ("", *BACKGROUND))):
        black = ", black in their palette," if first else ""
        snap = " --snap-values" if len(values) < len(seen.values) else ""
        ways = (
            f"--class-values {' '.join(map(str, sorted(values, key=one.__ne__)))}{snap}"
            for one in (first, most)
        )
        raise BadData(
            f"the masks' background may be {first}{black} or {most}, which fills most "
            f"of their borders: {' or '.join(ways)}"
        )
    rest = (value for value in values if value != first)
    note = (
        f"{seen.shown([first])} fills most of the masks' borders and is taken for the "
        "background, class 0 (--class-values, the background's first, changes that)"
    )
    return (first, *rest), "" if first in (0, seen.black) else note


_WAYS = "indices or colours: --mask-reading indices, --mask-reading colours"


def find_reading(masks: Sequence[MaskValues]) -> tuple[Reading, str]:
    """Returns how to read the masks, and what is to be said of it, if anything.

    Indices count if all files share one palette whose used entries differ; else colours
    do, and where colours cannot tell indices apart, the indices. Alpha counts where
    the colours that can be seen are one in each mask.

    Raises:
        BadData: the files contradict each other.
    """
    recorded = {mask.own for mask in masks if len(mask.readings) == 1}
    if recorded & {"indices", "alpha"}:
        # Of files, these have other readings besides.
        return min(recorded & {"indices", "alpha"}), ""
    alphas = [mask for mask in masks if "alpha" in mask.readings]
    if alphas and _only_alpha_varies(alphas):
        if len(alphas) < len(masks):
            raise BadData(
                f"{len(alphas)} masks say something in their alpha channel alone, "
                f"{len(masks) - len(alphas)} have none: give --mask-reading alpha, "
                "colours or levels, and files of that kind alone"
            )
        return "alpha", "the masks' colours say nothing: their alpha channel counts"
    hidden = sum(mask.hidden for mask in masks)
    if hidden and any(mask.shows_black for mask in masks):
        raise BadData(
            f"{hidden} pixels of the masks are transparent and others opaque black, "
            "which may be two things: paint the transparent ones in a colour of their "
            "own, or give --mask-reading colours, which takes them for black"
        )
    return _by_colours(masks)


def _only_alpha_varies(masks: Iterable[MaskValues]) -> bool:
    alphas, colours = set[int](), set[int]()
    for mask in masks:
        alphas |= mask.readings["alpha"].counts.keys()
        seen = mask.readings[mask.own].counts.keys()
        # A colour that alpha hides counts as black too.
        colours |= seen if mask.shows_black else seen - {0}
    return len(alphas) > 1 and len(colours) <= 1


def _by_colours(masks: Sequence[MaskValues]) -> tuple[Reading, str]:
    indexed = [mask for mask in masks if "indices" in mask.readings]
    coloured = [mask for mask in masks if mask.own == "colours"]
    grey = [m for m in masks if m.own == "levels" and "colours" not in m.readings]
    if not indexed:
        if coloured:
            _require_known_greys(grey, coloured)
        return ("colours" if coloured else "levels"), ""
    entries = {entry for mask in indexed for entry in mask.palette.items()}
    palette = dict(entries)
    if len(palette) < len(entries):
        return _of_palettes_that_differ(indexed, coloured)
    if len(set(palette.values())) < len(palette):
        if coloured:
            raise BadData(
                f"entries of the masks' palettes share a colour, and {len(coloured)} "
                f"masks have no palette: what counts cannot be told, {_WAYS}"
            )
        said = "entries of the masks' palette share a colour: their indices count"
        return "indices", said
    if coloured:
        return "colours", "palettes and colours say the same: colours count"
    return _of_one_palette(indexed, grey, palette)


def _of_palettes_that_differ(
    indexed: Sequence[MaskValues], coloured: Sequence[MaskValues]
) -> tuple[Reading, str]:
    if any(len(set(m.palette.values())) < len(m.palette) for m in indexed):
        raise BadData(
            "the masks have different palettes, and entries of one share a colour: "
            f"what counts cannot be told, {_WAYS}"
        )
    greys = all(not c % GREY_STEP for mask in indexed for c in mask.palette.values())
    if greys and not coloured:
        return "levels", ""
    return "colours", "the masks have different palettes: their colours count"


def _of_one_palette(
    indexed: Sequence[MaskValues], grey: Sequence[MaskValues], palette: dict[int, int]
) -> tuple[Reading, str]:
    if all(mask.own == "levels" for mask in indexed):
        return "levels", ""
    found = {value for mask in grey for value in mask.readings["levels"].counts}
    if not found:
        return "indices", ""
    if {value * GREY_STEP for value in found} <= set(palette.values()):
        return "colours", "grey masks and palettes are mixed: colours count"
    if found <= palette.keys():
        return "indices", "levels of grey masks count as indices of the others' palette"
    raise BadData(
        f"some masks have a palette, {len(grey)} have grey levels that it does not "
        f"hold: what counts cannot be told, {_WAYS}"
    )


def _require_known_greys(
    grey: Sequence[MaskValues], coloured: Sequence[MaskValues]
) -> None:
    known = {colour for mask in coloured for colour in mask.readings["colours"].counts}
    levels = (level for mask in grey for level in mask.readings["levels"].counts)
    strange = [level for level in levels if level * GREY_STEP not in {0, *known}]
    if strange:
        raise BadData(
            f"{len(coloured)} masks hold colours and {len(grey)} grey levels that are "
            f"none of them, such as {strange[0]}: what they mean cannot be told; write "
            "all masks of the set in one way"
        )
