"""How the masks of a set are to be read, found by looking at all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from keras_unet.config import Reading
from keras_unet.data.mask_values import GREY_STEP, MaskValues
from keras_unet.errors import BadData

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
    hidden = sum(mask.sees_through for mask in masks)
    if hidden:
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
        colours |= mask.readings[mask.own].counts.keys()
    # A colour that alpha hides counts as black.
    return len(alphas) > 1 and len(colours - {0}) <= 1


def _by_colours(masks: Sequence[MaskValues]) -> tuple[Reading, str]:
    indexed = [mask for mask in masks if "indices" in mask.readings]
    coloured = [mask for mask in masks if mask.own == "colours"]
    grey = [m for m in masks if m.own == "levels" and "colours" not in m.readings]
    if not indexed:
        if coloured:
            _require_known_greys(grey, coloured)
        return ("colours" if coloured else "levels"), ""
    if not _share_palette(indexed):
        return _of_palettes_that_differ(indexed, coloured)
    palette = _palette(indexed)
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
    for mask in indexed:
        if len(set(mask.palette.values())) < len(mask.palette):
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
    if found <= palette.keys() | {255}:
        return "indices", "levels of grey masks count as indices of the others' palette"
    if {value * GREY_STEP for value in found} <= set(palette.values()):
        return "colours", "grey masks and palettes are mixed: colours count"
    raise BadData(
        f"some masks have a palette, {len(grey)} have grey levels that it does not "
        f"hold: what counts cannot be told, {_WAYS}"
    )


def _share_palette(indexed: Iterable[MaskValues]) -> bool:
    entries = {entry for mask in indexed for entry in mask.palette.items()}
    return len(entries) == len({index for index, _ in entries})


def _palette(indexed: Iterable[MaskValues]) -> dict[int, int]:
    return {i: colour for mask in indexed for i, colour in mask.palette.items()}


def _require_known_greys(
    grey: Sequence[MaskValues], coloured: Sequence[MaskValues]
) -> None:
    known = {colour for mask in coloured for colour in mask.readings["colours"].counts}
    known |= {0, 255 * GREY_STEP}
    for mask in grey:
        strange = [
            value
            for value in mask.readings["levels"].counts
            if value * GREY_STEP not in known
        ]
        if strange:
            raise BadData(
                f"{len(coloured)} masks hold colours and {len(grey)} grey levels that "
                f"are none of them, such as {strange[0]}: what they mean cannot be "
                "told; write all masks of the set in one way"
            )
