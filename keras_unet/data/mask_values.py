"""What is in one mask: its values by each way to read its file, and what ids number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from keras_unet.data_config import IGNORE, Reading
from keras_unet.types import Values

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


GREY_STEP = 0x010101
"""Distance between the packed colours of two neighbouring greys."""
NOTHING = -(2**31)
"""Value of pixels whose file says NaN."""
_LOOKED_AT = 256
"""Height or width at which pieces are counted, in pixels."""
_KEPT = 4096
"""Colours of one mask that are remembered; the noise of a JPEG has more."""


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
        return Stats(*(_renamed(part, name) for part in vars(self).values()))


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
    """

    readings: Mapping[Reading, Stats]
    palette: Mapping[int, int] = field(default_factory=dict)
    wide: bool = False
    lossy: bool = False
    hidden: int = 0
    shows_black: bool = False

    @property
    def own(self) -> Reading:
        """How the file is read where no other file says something else."""
        return next(iter(self.readings))

    def under(self, reading: Reading) -> Stats | None:
        """Returns the values under a reading; None where the file has none."""
        if reading in self.readings or "levels" not in self.readings:
            return self.readings.get(reading)
        levels = self.readings["levels"]
        if reading == "indices":
            return levels
        return levels.renamed(lambda value: value * GREY_STEP)


def count_values(values: Values, noise: int = 0) -> Stats:
    """Returns what is to be known of the values of one mask.

    Args:
        values: (h, w); if they are noisy, colours are packed.
        noise: neighbours that differ by no more than this, in each channel, are alike.
    """
    if noise:
        return _noisy(values, noise)
    if values.dtype == np.uint8:
        return _stats(values, wide=False)
    present = np.unique(values)
    few = np.uint8 if len(present) <= 256 else np.int32
    places = np.searchsorted(present, values).astype(few)
    return _stats(places, wide=True).renamed(present.tolist().__getitem__)


def _noisy(values: Values, noise: int) -> Stats:
    counts = _histogram(values)
    channels = (
        [values] if values.dtype == np.uint8 else [values >> 16, values >> 8, values]
    )
    alike = np.ones((values.shape[0] - 1, values.shape[1] - 1), np.bool_)
    for channel in channels:
        level = (channel & 255).astype(np.int16)
        inner = level[:-1, :-1]
        alike &= np.abs(inner - level[1:, :-1]) <= noise
        alike &= np.abs(inner - level[:-1, 1:]) <= noise
    flat = _histogram(values[:-1, :-1][alike])
    return Stats(_most(counts), _most(flat), _border(values))


def _border(place: npt.NDArray[Any]) -> dict[int, int]:
    edges = (place[0], place[-1], place[1:-1, 0], place[1:-1, -1])
    return _histogram(np.concatenate(edges) if min(place.shape) > 1 else place)


def _stats(place: npt.NDArray[Any], wide: bool) -> Stats:
    counts = _histogram(place)
    border = _border(place)
    plain = len(counts) <= 2 and min(counts.values()) > 0.02 * place.size
    if plain and not wide:
        # Two regions: what else there is to know would change nothing.
        return Stats(counts, counts, border)
    inner = place[:-1, :-1]
    flat = inner[(inner == place[1:, :-1]) & (inner == place[:-1, 1:])]
    return Stats(_most(counts), _most(_histogram(flat)), border, _pieces(place))


def _pieces(place: npt.NDArray[Any]) -> dict[int, int]:
    """Returns the connected pieces of each value, specks and small parts left out."""
    # Masks of two values, which most are, need not wait for it.
    from scipy import ndimage

    step = max(1, max(place.shape) // _LOOKED_AT)
    # What finds objects takes 0 for none.
    small = place[::step, ::step].astype(np.int32) + 1
    pieces = {}
    for value, box in enumerate(ndimage.find_objects(small)):
        if box is not None:
            parts, count = ndimage.label(small[box] == value + 1, np.ones((3, 3)))
            sizes = np.bincount(parts.ravel())[1:]
            pieces[value] = 1 if sizes.max() >= 0.9 * sizes.sum() else int(count)
    return pieces


def _most(counts: dict[int, int]) -> dict[int, int]:
    return dict(Counter(counts).most_common(_KEPT)) if len(counts) > _KEPT else counts


def _histogram(values: npt.NDArray[Any]) -> dict[int, int]:
    if values.dtype == np.uint8:
        # Four times as fast as NumPy's bincount, which widens to 64 bits first.
        counts = Image.fromarray(np.atleast_2d(values)).histogram()
        return {value: count for value, count in enumerate(counts) if count}
    present, times = np.unique(values, return_counts=True)
    return dict(zip(present.tolist(), times.tolist(), strict=True))


def _renamed(counts: Mapping[int, int], name: Callable[[int], int]) -> dict[int, int]:
    renamed = Counter[int]()
    for value, count in counts.items():
        renamed[name(value)] += count
    return dict(renamed)
