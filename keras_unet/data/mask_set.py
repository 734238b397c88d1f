"""The masks of a set together: how they are to be read, and all their values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from keras_unet.data.mask_values import GREY_STEP, MaskValues
from keras_unet.data.masks import coordinates, shown
from keras_unet.data_config import DataConfig, Reading
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
    if {value * GREY_STEP for value in found} <= set(palette.values()):
        return "colours", "grey masks and palettes are mixed: colours count"
    if found <= palette.keys():
        return "indices", "levels of grey masks count as indices of the others' palette"
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
    known.add(0)
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


_REGION = 0.3
"""Of a region's pixels most have equal neighbours, of a soft edge's hardly any."""
_LEVEL = 0.2
"""The same of a level, in whose neighbourhood noise is counted too."""
_NEAR, _APART = 8, 16
"""Values so near are noise around one level; levels are at least so far apart."""
_HALO, _WEAK = 24, 0.2
"""How far JPEG strays from a colour, and how little of it does."""
_ODD = 1e-4
"""Share of all pixels up to which a value may be a slip of the hand."""
_MOST_ODD = 16
"""Pixels up to which it may be one, however many there are in all."""


class MaskSet:
    """The values of all masks under one reading, less those that are ignored.

    Attributes:
        values: every value, in order.
        counts: pixels by value, over all masks.
        flat: those of them that lie in regions.
        border: those of them at the images' borders.
        per_mask: connected pieces by value of each mask; 1 where it is not known.
        pixels: of all masks.
        wide: some file has more than 8 bits.
        coloured: the values are packed colours.
        black: the value that is seen as black.
        lossy: some file was compressed in a way that changes values.
    """

    def __init__(
        self, masks: Sequence[MaskValues], data: DataConfig, files: Sequence[Path]
    ) -> None:
        """Adds the masks up.

        Raises:
            BadData: a mask cannot be read that way.
        """
        self.data = data
        self.counts, self.flat = Counter[int](), Counter[int]()
        self.border = Counter[int]()
        self.per_mask: list[dict[int, int]] = []
        self.files: dict[int, list[Path | int]] = {}
        for place, mask in enumerate(masks):
            name = files[place] if files else place
            stats = mask.under(data.mask_reading)
            if stats is None:
                raise BadData(
                    f"{name}: cannot be read by --mask-reading {data.mask_reading}: "
                    f"it holds {mask.own}"
                )
            self.counts.update(stats.counts)
            self.flat.update(stats.flat)
            self.border.update(stats.border)
            self.per_mask.append({v: stats.pieces.get(v, 1) for v in stats.counts})
            for value in stats.counts:
                self.files.setdefault(value, []).append(name)
        self.pixels = self.counts.total()
        self.coloured = data.mask_reading == "colours"
        black = {i for mask in masks for i, c in mask.palette.items() if c == 0}
        indexed = data.mask_reading == "indices" and len(black) == 1
        self.black = black.pop() if indexed else 0
        self.wide = any(mask.wide for mask in masks)
        self.lossy = any(mask.lossy for mask in masks)
        self.drop(data.ignore_values)

    def drop(self, values: Iterable[int]) -> None:
        """Leaves values out."""
        for value in values:
            for counts in (self.counts, self.flat, self.border, *self.per_mask):
                counts.pop(value, None)
        self.values = sorted(self.counts)

    def share(self, values: Iterable[int]) -> float:
        """Returns the values' share of all pixels."""
        return sum(self.counts[value] for value in values) / max(1, self.pixels)

    def is_region(self, value: int) -> bool:
        """Returns whether the value fills areas, and no lines and points alone."""
        return self.flat[value] >= _REGION * self.counts[value]

    def strays(self) -> list[int]:
        """Returns values of so few pixels in so few files that they may be slips."""
        most = max(3.0, min(_ODD * self.pixels, _MOST_ODD))
        return [
            value
            for value in self.values
            if self.counts[value] <= most
            and 4 * len(self.files[value]) <= max(4, len(self.per_mask))
            and not self.is_region(value)
        ]

    def told(self, values: Sequence[int]) -> str:
        """Returns how many pixels have the values and in which files, as text."""
        pixels = sum(self.counts[value] for value in values)
        files = [file for value in values for file in self.files[value]]
        more = f" and {len(set(files)) - 1} other files" if len(set(files)) > 1 else ""
        have = "pixel" if pixels == 1 else "pixels"
        return f"{files[0]}{more}: {pixels} {have}"

    def shown(self, values: Sequence[int]) -> str:
        """Returns the values as text."""
        return shown(values, self.data)

    def shares(self) -> str:
        """Returns all values with their shares of the pixels, as text."""
        return ", ".join(
            f"{self.shown([value])} ({100 * self.share([value]):.2g} %)"
            for value in self.values
        )

    def levels(self) -> list[int]:
        """Returns the values around which regions lie, soft edges and noise left out.

        The value with the most flat pixels comes first; what lies near belongs to it.
        """
        points = coordinates(self.values, self.data.mask_reading)
        counts = np.array([self.counts[value] for value in self.values])
        flat = np.array([self.flat[value] for value in self.values])
        left, found_at = np.ones(len(points), np.bool_), list[int]()
        for place in np.argsort(-flat, kind="stable"):
            far = np.abs(points - points[place]).max(-1)
            near = (far <= _NEAR) & left
            mass = flat[near].sum()
            if not left[place] or mass < max(4, _LEVEL * counts[near].sum()):
                continue
            # Around a strong colour, JPEG makes weak ones that are as even.
            haloes = self.lossy and self.coloured
            strong = flat[found_at][far[found_at] <= _HALO] if haloes else []
            if not any(mass < _WEAK * other for other in strong):
                found_at.append(place)
            left &= far > _APART
        return sorted(self.values[place] for place in found_at)

    def merged(self, levels: Iterable[int]) -> float:
        """Returns the share of values that fill regions and are none of the levels."""
        lost = {value for value in self.values if self.is_region(value)}
        return self.share(lost.difference(levels))

    def background(self) -> int:
        """Returns the background's value.

        That is 0 among levels, black in a palette; else what fills most of the images'
        borders.
        """
        if self.usual_background is not None:
            return self.usual_background
        return max(self.values, key=lambda value: (self.border[value], -value))

    @property
    def usual_background(self) -> int | None:
        """The background's value by convention, if it occurs."""
        if self.coloured or self.black not in self.values:
            return None
        return self.black

    def closest(self, levels: Sequence[int]) -> int:
        """Returns the distance of the two levels, of two at least, that are closest."""
        points = coordinates(levels, self.data.mask_reading)
        far = np.abs(points[:, None] - points).max(-1)
        return int(far[~np.eye(len(points), dtype=bool)].min())

    def flat_beside(self, levels: Sequence[int]) -> float:
        """Returns the share of flat pixels that are not near one of the levels."""
        flat = sum(self.flat[value] for value in self._far_from(levels))
        return flat / max(1, self.pixels)

    def beside(self, levels: Sequence[int]) -> float:
        """Returns the share of the pixels that are not near one of the levels."""
        return self.share(self._far_from(levels))

    def _far_from(self, levels: Sequence[int]) -> list[int]:
        points = coordinates(self.values, self.data.mask_reading)
        ends = coordinates(levels, self.data.mask_reading)
        far = np.abs(points[:, None] - ends).max(-1).min(-1)
        return [v for v, d in zip(self.values, far, strict=True) if d > _NEAR]

    def off_levels(self, levels: Sequence[int]) -> list[int]:
        """Returns values that are neither near a level nor a mixture of two."""
        points = coordinates(self.values, self.data.mask_reading).astype(float)
        ends = coordinates(levels, self.data.mask_reading).astype(float)
        far = np.full(len(points), np.inf)
        for start in ends:
            for way in ends - start:
                part = (points - start) @ way / max(1.0, way @ way)
                foot = start + np.clip(part, 0, 1)[:, None] * way
                far = np.minimum(far, np.abs(points - foot).max(-1))
        return [value for value, d in zip(self.values, far, strict=True) if d > _APART]
