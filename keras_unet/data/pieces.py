"""Pieces of images: which image each is cut from, where, and how large.

All of it is decided by the seed and the piece's number alone: neither a cache nor a
stop in between changes a piece. Without TensorFlow.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from keras_unet.config import Config, FitConfig
from keras_unet.data.images import Header, image_shape
from keras_unet.data.masks import class_ids, read_values
from keras_unet.data.pair import Pair
from keras_unet.data.pair_cache import Sizes
from keras_unet.data_config import IGNORE, AugmentConfig, DataConfig
from keras_unet.types import Mask

_ELASTIC = 3.0
"""Standard deviations of the elastic displacements that a margin is made for."""
_PLACES, _MOST_PLACES = 16, 4096
"""Places of a class that are remembered: for each piece of an image, and in all."""


def seen_sizes(pairs: Sequence[Pair], data: DataConfig) -> Sizes:
    """Returns the size at which each image is seen as a whole, from its header."""
    if data.resolution is None:
        return np.tile(np.array(data.image_size, np.int64), (len(pairs), 1))
    own = [pair.size or image_shape(pair.image, data.max_pixels) for pair in pairs]
    return np.array([data.seen_size(size) for size in own], np.int64).reshape(-1, 2)


def count_pieces(pairs: Sequence[Pair], data: DataConfig) -> npt.NDArray[np.int64]:
    """Returns how many pieces an epoch has of each image: as many as cover its area."""
    areas = seen_sizes(pairs, data).prod(1) / math.prod(data.network_size)
    counts: npt.NDArray[np.int64] = np.maximum(1, np.rint(areas)).astype(np.int64)
    return counts


class Order:
    """Which image each piece of a training is cut from, epoch after epoch.

    Args:
        counts: pieces of each image in an epoch.
        fit: its seed and batch size.

    Attributes:
        length: pieces in an epoch; the last batch is filled up with some more.
    """

    def __init__(self, counts: npt.NDArray[np.int64], fit: FitConfig) -> None:
        """Keeps what the epochs are made of."""
        self._owners = np.repeat(np.arange(len(counts)), counts)
        self._seed = fit.seed
        self.length = -(-len(self._owners) // fit.batch_size) * fit.batch_size
        self._epoch = functools.lru_cache(maxsize=2)(self._shuffled)

    def image_of(self, number: int) -> int:
        """Returns the index of the image that piece ``number`` of the run is cut of."""
        epoch, place = divmod(number, self.length)
        return int(self._epoch(epoch)[place])

    def _shuffled(self, epoch: int) -> npt.NDArray[np.int64]:
        rng = np.random.default_rng((self._seed, epoch))
        more = np.resize(rng.permutation(self._owners), self.length)
        more = more[len(self._owners) :]
        return rng.permutation(np.concatenate([self._owners, more]))


@dataclass(frozen=True)
class Cut:
    """The sizes of a piece on its way to the network, (height, width) each.

    Attributes:
        tile: whose mask is learnt.
        seen: what the network sees: the tile, with padding "valid" and its context.
        window: what is cut out and augmented, so that nothing is missing of ``seen``.
        central: foreground that must be seen lies so far from the tile's middle at
            the most, so that no augmentation moves it out.
        augment: that of the config, its translation as a share of the window.
    """

    tile: tuple[int, int]
    seen: tuple[int, int]
    window: tuple[int, int]
    central: tuple[float, float]
    augment: AugmentConfig


def middle(pixels: Any, size: Sequence[int]) -> Any:
    """Returns the middle of arrays or tensors ([b,] h, w, c), ``size`` large."""
    rows, columns = (
        slice((of - side) // 2, (of - side) // 2 + side)
        for of, side in zip(pixels.shape[-3:-1], size, strict=True)
    )
    return pixels[..., rows, columns, :]


def cut_of(config: Config) -> Cut:
    """Returns the sizes of a run's pieces."""
    tile = seen = config.data.network_size
    if config.model.padding == "valid":
        # Behind it is TensorFlow.
        from keras_unet.model.layers import padded_size

        depth = config.model.depth
        height, width = (padded_size(side, depth, "valid") for side in tile)
        lost = 2 * config.model.margin
        seen, tile = (height, width), (height - lost, width - lost)
    augment, half = config.augment, np.array(seen) / 2
    ratio = max(1.0, (_reach(half, tile, augment) / half).max())
    margin = np.ceil((ratio - 1) * half).astype(int)
    height, width = (np.array(seen) + 2 * margin).tolist()
    share = augment.translation * tile[0] / height
    moved = replace(augment, translation=min(share, 1.0))
    return Cut(tile, seen, (height, width), _central(tile, augment), moved)


def _reach(
    half: npt.NDArray[np.float64], tile: tuple[int, int], augment: AugmentConfig
) -> npt.NDArray[np.float64]:
    """Returns how far from the middle pixels of a rectangle are read, at the most."""
    if not augment.moves_pixels:
        return half
    turn = augment.rotation_degrees
    angle = np.radians(np.linspace(-turn, turn, 361))
    slant = np.tan(np.radians(augment.shear_degrees)) * np.array([[-1.0], [1.0]])
    cos, sin = np.cos(angle), np.sin(angle)
    rows = np.abs(cos - sin * slant) * half[0] + np.abs(sin) * half[1]
    columns = np.abs(sin + cos * slant) * half[0] + np.abs(cos) * half[1]
    turned = np.array([rows.max(), columns.max()]) / (1 - augment.scale)
    shift = augment.translation * np.array(tile)
    return turned + shift + _ELASTIC * augment.elastic_pixels + 1


def _central(tile: tuple[int, int], augment: AugmentConfig) -> tuple[float, float]:
    half = (np.array(tile) - 1) / 2
    if not augment.moves_pixels:
        return tuple(half.tolist())
    slant = math.tan(math.radians(augment.shear_degrees))
    # The largest singular value of a shear.
    stretch = (1 + augment.scale) * (slant + math.sqrt(slant**2 + 4)) / 2
    if augment.rotation_degrees or slant:
        half = np.full(2, half.min() / math.sqrt(2))
    shift = augment.translation * np.array(tile)
    left = half / stretch - shift - _ELASTIC * augment.elastic_pixels
    return tuple(np.maximum(left, 0).tolist())


Places = tuple[npt.NDArray[np.int32], ...]
"""Row and column, (n, 2), of some pixels of each class above 0 that an image has."""


def find_places(mask: Mask, pieces: int, seed: tuple[int, ...]) -> Places:
    """Returns pixels of each class of a mask (h, w), evenly drawn.

    Args:
        mask: class ids.
        pieces: of the image in an epoch; more of them need more places.
        seed: decides which.
    """
    rng = np.random.default_rng(seed)
    most = min(_MOST_PLACES, _PLACES * pieces)
    # Row by row, because NumPy makes eight bytes of each pixel.
    counts = np.stack([np.bincount(row, minlength=IGNORE + 1) for row in mask])
    present = np.flatnonzero(counts.sum(0))
    return tuple(
        _some_of(mask, class_id, counts[:, class_id].cumsum(), most, rng)
        for class_id in present.tolist()
        if 0 < class_id < IGNORE
    )


def _some_of(
    mask: Mask,
    class_id: int,
    until: npt.NDArray[np.int64],
    most: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.int32]:
    """Returns up to ``most`` pixels of a class; ``until`` counts them row by row."""
    total = int(until[-1])
    ranks = rng.integers(total, size=most) if total > most else np.arange(total)
    rows = np.searchsorted(until, ranks, side="right")
    found = [
        np.flatnonzero(mask[row] == class_id)[rank - until[row]]
        for row, rank in zip(rows, ranks, strict=True)
    ]
    return np.stack([rows, found], 1).astype(np.int32)


def place_tile(
    size: Sequence[int],
    cut: Cut,
    places: Places | None,
    rng: np.random.Generator,
) -> tuple[int, int]:
    """Returns row and column of a tile's upper left pixel in an image of ``size``.

    One of the places lies in the tile; without any, it lies anywhere. Of an image that
    is smaller than the tile, all is seen.
    """
    pixel = None
    if places:
        chosen = places[rng.integers(len(places))]
        pixel = chosen[rng.integers(len(chosen))]
    corner = []
    for axis in (0, 1):
        low, high = sorted((0, int(size[axis]) - cut.tile[axis]))
        if pixel is not None:
            low, high = _around(int(pixel[axis]), low, high, cut, axis)
        corner.append(int(rng.integers(low, high + 1)))
    return corner[0], corner[1]


def _around(pixel: int, low: int, high: int, cut: Cut, axis: int) -> tuple[int, int]:
    """Returns the range of starts that have ``pixel`` in the tile's central part."""
    side, far = cut.tile[axis], cut.central[axis]
    middle = (side - 1) / 2
    first = pixel - min(side - 1, math.ceil(middle + far))
    last = pixel - max(0, math.floor(middle - far))
    if last < low or first > high:
        # It lies at the image's edge: beyond it, pixels are mirrored.
        return (last, last) if last < low else (first, first)
    return max(low, first), min(high, last)


def window_places(
    size: Sequence[int], corner: tuple[int, int], cut: Cut
) -> list[npt.NDArray[np.int64]]:
    """Returns the rows and the columns of an image that the window of a tile shows.

    Beyond the image's edges they are mirrored, as often as it takes.
    """
    places = []
    for axis in (0, 1):
        start = corner[axis] - (cut.window[axis] - cut.tile[axis]) // 2
        place = np.arange(start, start + cut.window[axis])
        last = int(size[axis]) - 1
        place %= max(1, 2 * last)
        places.append(np.minimum(place, 2 * last - place) if last else place * 0)
    return places


_NOTED_RATIO, _SMALL_OBJECT = 1.4, 12
_MEASURED, _MOST_MEASURED, _LARGEST_MEASURED = 16, 16, 2048
"""One of so many masks, so many of a set, and the side of what of one is looked at."""


def about_squeezing(
    pairs: Sequence[tuple[Pair, Header | None]], data: DataConfig
) -> list[str]:
    """Returns what is to be said where bringing images to one size would hurt.

    Args:
        pairs: usable ones, each with what its image's file says.
        data: with what the masks' values mean.
    """
    whole = [(pair, at.shape) for pair, at in pairs if at and not pair.record]
    if data.resolution is not None or not whole:
        return []
    high, wide = data.image_size
    ratios = [max(h * wide / (w * high), w * high / (h * wide)) for _, (h, w) in whole]
    height, width = whole[ratios.index(max(ratios))][1]
    squeezed, across = max(ratios) > _NOTED_RATIO, _median_across(whole, data)
    found = []
    if squeezed:
        many = sum(ratio > _NOTED_RATIO for ratio in ratios)
        found.append(
            f"{many} of {len(whole)} become {max(ratios):.1f} times as long or wide as "
            f"they are (one of {width}×{height})"
        )
    if across < _SMALL_OBJECT:
        size = "" if squeezed else f" (images of {width}×{height})"
        found.append(f"the median object is {across:.0f} pixels across{size}")
    if not found:
        return []
    return [
        f"images: at --image-size {high} {wide}, {' and '.join(found)}; pieces of "
        "images as they are may be learnt better: --resolution 1 --tile-size 256 256"
    ]


def _median_across(
    whole: Sequence[tuple[Pair, tuple[int, int]]], data: DataConfig
) -> float:
    """Returns the diameter of a disc as large as the median object once resized."""
    count = min(_MOST_MEASURED, -(-len(whole) // _MEASURED))
    chosen = np.linspace(0, len(whole) - 1, count + 2)[1:-1].round().astype(int)
    areas: list[float] = []
    for pair, (height, width) in (whole[place] for place in chosen):
        scale = math.prod(data.image_size) / (height * width)
        areas += [scale * area for area in _object_areas(pair, data)]
    return 2 * math.sqrt(float(np.median(areas)) / math.pi) if areas else math.inf


def _object_areas(pair: Pair, data: DataConfig) -> list[int]:
    """Returns the pixels of each object in the middle of a mask."""
    values = read_values(pair, data)
    height, width = (min(side, _LARGEST_MEASURED) for side in values.shape)
    values = middle(values[..., None], (height, width))[..., 0]
    ids = class_ids(pair, values, data)
    if data.mask_kind == "instances":
        return [*map(int, np.unique(values[ids == 1], return_counts=True)[1])]
    areas: list[int] = []
    for class_id in np.unique(ids[(ids > 0) & (ids < IGNORE)]):
        pieces, _ = ndimage.label(ids == class_id, np.ones((3, 3)))
        areas += np.bincount(pieces.ravel())[1:].tolist()
    return areas
