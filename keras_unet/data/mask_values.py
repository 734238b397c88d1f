"""The values of one mask, by each way to read its file, and those of a set together."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_unet.data_config import DataConfig, Reading
from keras_unet.errors import BadData

GREY_STEP = 0x010101
"""Distance between the packed colours of two neighbouring greys."""
NOTHING = -(2**31)
"""Value of pixels whose file says NaN."""


@dataclass(frozen=True)
class Stats:
    """The values of one mask, each with a number of pixels.

    Attributes:
        counts: all of them.
        flat: those whose right and lower neighbours are the same.
        border: those at the image's border.
        pieces: no pixels, but connected pieces; 1 where one makes up nearly all.
            Unknown of 8-bit masks of two values and fewer.
    """

    counts: dict[int, int]
    flat: dict[int, int] = field(default_factory=dict)
    border: dict[int, int] = field(default_factory=dict)
    pieces: dict[int, int] = field(default_factory=dict)

    def renamed(self, name: Callable[[int], int]) -> Stats:
        """Returns the same with other values; those that become one are added up."""
        parts = []
        for part in vars(self).values():
            renamed = Counter[int]()
            for value, count in part.items():
                renamed[name(value)] += count
            parts.append(dict(renamed))
        return Stats(*parts)


@dataclass(frozen=True)
class MaskValues:
    """What one mask says, whichever way it is meant to be read.

    Attributes:
        readings: its values by how the file can be read, the file's own way first.
        palette: the packed colour of each index in use.
        wide: values have more than 8 bits.
        lossy: the file was compressed in a way that changes values.
        hidden: pixels without colour, because alpha hides them.
        shows_black: some pixels are black, and alpha does not hide them.
        negative: what is stored as 0 is seen, and read, as white (TIFF).
    """

    readings: Mapping[Reading, Stats]
    palette: Mapping[int, int] = field(default_factory=dict)
    wide: bool = False
    lossy: bool = False
    hidden: int = 0
    shows_black: bool = False
    negative: bool = False

    @property
    def own(self) -> Reading:
        """How the file is read where no other file says something else."""
        return next(iter(self.readings))

    def under(self, reading: Reading) -> Stats | None:
        """Returns the values under a reading; None where the file has none."""
        levels = self.readings.get("levels")
        if reading in self.readings or not levels:
            return self.readings.get(reading)
        if reading == "colours" and not self.wide:
            return levels.renamed(GREY_STEP.__mul__)
        return levels if reading == "indices" else None


def shown(values: Any, data: DataConfig) -> str:
    """Returns mask values as text; colours as 0xRRGGBB, and of many only the first."""
    wide = max(values, default=0) > 0xFFFF
    coloured = data.mask_reading == "colours" or (data.mask_reading == "auto" and wide)
    texts = [
        "NaN" if v == NOTHING else f"0x{v:06x}" if coloured else str(v) for v in values
    ]
    return " ".join(texts[:8]) + (f" … ({len(texts)} in all)" if len(texts) > 8 else "")


def coordinates(values: Sequence[int], reading: Reading) -> npt.NDArray[np.int64]:
    """Returns the values as points (n, 1), colours as points (n, 3)."""
    points = np.array(values, np.int64).reshape(-1, 1)
    if reading != "colours":
        return points
    return np.concatenate([points >> 16, points >> 8 & 255, points & 255], 1)


MOST_CLASSES = 32
"""More values than these are no classes unless the user says so."""
_REGION, _LEVEL = 0.3, 0.2
"""Of a region's pixels most have equal neighbours, of a soft edge's hardly any. The
same of a level, in whose neighbourhood noise is counted too."""
_NEAR, _APART = 8, 16
"""Values so near are noise around one level; levels are at least so far apart."""
_HALO, _WEAK = 24, 0.2
"""How far JPEG strays from a colour, and how little of it does."""
SMALL = 63
"""Up to it values may be ids: near each other, unlike in meaning, far from 255."""
LIGHT = 224
"""From it on a level is nearly white."""
MIXTURES = 6
"""Values between others that are a soft edge, and no classes of thin lines."""
SEVERAL = 8
"""Values of which one far above the others stands out."""
_ODD, _MOST_ODD = 1e-4, 16
"""Share of all pixels, and pixels, up to which a value may be a slip of the hand."""


class MaskSet:
    """The values of all masks under one reading, less those that are ignored.

    Attributes:
        values: every value, in order.
        counts: pixels by value, over all masks.
        flat: those of them that lie in regions.
        border: those of them at the images' borders.
        per_mask: connected pieces by value of each mask; 1 where it is not known.
        files: those with each value, or their numbers.
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
        self.counts, self.flat, self.border = (Counter[int]() for _ in range(3))
        self.per_mask = list[dict[int, int]]()
        self.files = defaultdict[int, list[Path | int]](list)
        names: Sequence[Path | int] = files or range(len(masks))
        for name, mask in zip(names, masks, strict=True):
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
                self.files[value].append(name)
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

    def share(self, values: Iterable[int], of: Counter[int] | None = None) -> float:
        """Returns the share of all pixels that have the values, or are ``of`` them."""
        counts = self.counts if of is None else of
        return sum(counts[value] for value in values) / max(1, self.pixels)

    def is_region(self, value: int) -> bool:
        """Returns whether the value fills areas, and no lines and points alone."""
        return self.flat[value] >= _REGION * self.counts[value]

    def loose(self) -> list[int]:
        """Returns the values that fill no areas."""
        return [value for value in self.values if not self.is_region(value)]

    def is_grey_scale(self) -> bool:
        """Returns whether values are many, far apart and nowhere fill a region."""
        loose = self.loose()
        if len(loose) < max(MIXTURES, len(self.values) / 2) or self.wide:
            return False
        return len(loose) > SEVERAL or loose[-1] - loose[0] > SMALL

    def between_regions(self) -> list[int]:
        """Returns values that fill no region and lie between two that do, far apart."""
        regions = [value for value in self.values if self.is_region(value)]
        low, high = (regions[0], regions[-1]) if regions else (0, 0)
        lines = [value for value in self.loose() if low < value < high]
        # All values between two small ones are more likely to be steps.
        steps = len(regions) == 2 and 1 < len(lines) == high - low - 1
        return lines if (steps or high - low > SMALL) and not self.wide else []

    def ids_and_high(self) -> tuple[list[int], list[int]]:
        """Returns ids and few values far above them; no high ones if they are none."""
        *below, top = self.values
        ids = [value for value in below if value]
        numbered = self.data.mask_kind == "instances" and len(ids) > 1
        # Numbers of objects need not begin at 1.
        steps = [b - a for a, b in itertools.pairwise(ids if numbered else [0, *ids])]
        if (numbered or len(below) > SEVERAL) and top - below[-1] > 3 * max(steps):
            return below, [top]
        rest = [value for value in self.values if value <= SMALL]
        high = [value for value in self.values if value > SMALL]
        alone = rest == [0] and not (len(high) == 2 and min(high) >= LIGHT)
        noise = len(rest) == 1 and not all(map(self.is_region, high))
        if alone or noise or len(high) > 3:
            return rest, []
        steps = [b - a for a, b in itertools.pairwise([0, *rest])] or [0]
        far = high and high[0] - rest[-1] > 1.5 * max(steps) if rest else False
        return rest, high if far else []

    def strays(self) -> list[int]:
        """Returns values of so few pixels in so few files that they may be slips."""
        most = max(3.0, min(_ODD * self.pixels, _MOST_ODD))
        return [
            value
            for value in self.loose()
            if self.counts[value] <= most
            and 4 * len(self.files[value]) <= max(4, len(self.per_mask))
        ]

    def told(self, values: Sequence[int]) -> str:
        """Returns how many pixels have the values and in which files, as text."""
        pixels = sum(self.counts[value] for value in values)
        first, *others = dict.fromkeys(f for value in values for f in self.files[value])
        more = f" and {len(others)} other files" if others else ""
        return f"{first}{more}: {pixels} pixel" + "s" * (pixels != 1)

    def shown(self, values: Sequence[int]) -> str:
        """Returns the values as text."""
        return shown(values, self.data)

    def flags(self, values: Sequence[int]) -> str:
        """Returns the flags by which the values are classes, others as the nearest."""
        ordered = sorted(values, key=self.background().__ne__)
        names = " ".join(self.shown([value]) for value in ordered)
        return f"--class-values {names} --snap-values"

    def shares(self) -> str:
        """Returns all values with their shares of the pixels, as text."""
        return ", ".join(
            f"{self.shown([value])} ({100 * self.share([value]):.2g} %)"
            for value in self.values
        )

    def background(self) -> int:
        """Returns the background's value.

        That is 0 among levels, black in a palette; else what fills most of the images'
        borders.
        """
        if not self.coloured and self.black in self.values:
            return self.black
        return max(self.values, key=lambda value: (self.border[value], -value))

    def levels(self) -> list[int]:
        """Returns the values around which regions lie, soft edges and noise left out.

        The value with the most flat pixels comes first; what lies near belongs to it.
        Of more than ``MOST_CLASSES`` only the first are found: photographs have many.
        """
        points = self._points(self.values)
        counts = np.array([self.counts[value] for value in self.values])
        flat = np.array([self.flat[value] for value in self.values])
        left, found_at = np.ones(len(points), np.bool_), list[int]()
        for place in np.argsort(-flat, kind="stable"):
            if not flat[place] or len(found_at) > MOST_CLASSES:
                break
            if not left[place]:
                continue
            far = np.abs(points - points[place]).max(-1)
            near = (far <= _NEAR) & left
            mass = flat[near].sum()
            if mass < max(4, _LEVEL * counts[near].sum()):
                continue
            # Around a strong colour, JPEG makes weak ones that are as even.
            haloes = self.lossy and self.coloured
            strong = flat[found_at][far[found_at] <= _HALO] if haloes else []
            if not any(mass < _WEAK * other for other in strong):
                found_at.append(place)
            left &= far > _APART
        return sorted(self.values[place] for place in found_at)

    def twins(self) -> list[list[int]]:
        """Returns groups of values that are nearly the same, if some of them are.

        None are if all are, of indices, or if some are small levels: those are ids.
        """
        if self.data.mask_reading == "indices":
            return []
        from scipy.sparse.csgraph import connected_components

        points = self._points(self.values)
        far = np.abs(points[:, None] - points).max(-1)
        count, group = connected_components(far <= _NEAR)
        groups = [np.array(self.values)[group == n].tolist() for n in range(count)]
        ids = points.max() <= SMALL
        if not self.coloured:
            ids = sum(value <= SMALL for value in self.values) > 1
        return [] if ids or count in (1, len(points)) else groups

    def closest(self, levels: Sequence[int]) -> int:
        """Returns the distance of the two levels, of two at least, that are closest."""
        points = self._points(levels)
        far = np.abs(points[:, None] - points).max(-1)
        return int(far[~np.eye(len(points), dtype=bool)].min())

    def far_from(self, levels: Sequence[int]) -> list[int]:
        """Returns the values that are near none of the levels."""
        points, ends = self._points(self.values), self._points(levels)
        far = np.abs(points[:, None] - ends).max(-1).min(-1)
        return [v for v, d in zip(self.values, far, strict=True) if d > _NEAR]

    def off_levels(self, levels: Sequence[int]) -> list[int]:
        """Returns values that are neither near a level nor a mixture of two."""
        points = self._points(self.values).astype(float)
        ends = self._points(levels).astype(float)
        far = np.full(len(points), np.inf)
        for start in ends:
            for way in ends - start:
                part = (points - start) @ way / max(1.0, way @ way)
                foot = start + np.clip(part, 0, 1)[:, None] * way
                far = np.minimum(far, np.abs(points - foot).max(-1))
        return [value for value, d in zip(self.values, far, strict=True) if d > _APART]

    def _points(self, values: Sequence[int]) -> npt.NDArray[np.int64]:
        return coordinates(values, self.data.mask_reading)
