"""The pixels of one mask file, the ways to read them, and how many have a value."""

from __future__ import annotations

from collections import Counter
from typing import Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from keras_unet.data.mask_values import GREY_STEP, NOTHING, MaskValues, Stats
from keras_unet.data.pillow import (
    convert,
    grey_levels,
    identified,
    is_deep,
    load,
    read_palette,
    take_lower_bytes,
    whole_numbers,
)
from keras_unet.data_config import DataConfig, Reading
from keras_unet.errors import Undecodable
from keras_unet.types import Mask, Values

_COLOURS = 262
"""TIFF's PhotometricInterpretation; 0 is WhiteIsZero."""
_NOISE = 4
"""By how much lossy compression changes values within a region."""
_LOOKED_AT = 256
"""Height or width at which pieces are counted, in pixels."""
_KEPT = 4096
"""Colours of one mask that are remembered; the noise of a JPEG has more."""
_Pixels = TypeVar("_Pixels", bound=npt.NDArray[Any])


def look_at_mask(file: BinaryIO, data: DataConfig) -> MaskValues:
    """Returns the values of the mask in an open file under all ways to read it.

    Raises:
        Undecodable: as by ``decode_mask_values``.
    """
    with identified(file, data.max_pixels) as image:
        deep = is_deep(image)
        mask = MaskPixels(load(image))
        if deep:
            _require_8_bits_hold_all(file, image, data)
        lossy = _is_lossy(image, file)
        readings = mask.count(_NOISE if lossy else 0)
        indices = readings.get("indices")
        colours = mask.palette().tolist() if indices else []
        return MaskValues(
            readings,
            {i: colours[i] for i in indices.counts} if indices else {},
            wide=image.mode[0] in "IF",
            lossy=lossy,
            hidden=mask.hidden(),
            shows_black=mask.shows_black(),
            negative=_is_negative(image),
        )


def _require_8_bits_hold_all(
    file: BinaryIO, upper: Image.Image, data: DataConfig
) -> None:
    """Refuses colours of 16 bits whose lower 8, which are not read, say something."""
    with identified(file, data.max_pixels) as image:
        take_lower_bytes(image)
        low = np.asarray(image)
    if low.any() and (low != np.asarray(upper)).any():
        raise Undecodable(
            "is a mask in colours of 16 bits, of which 8 are read, and these do not "
            "say all: write it with 8 bits, or as grey"
        )


def _is_negative(image: Image.Image) -> bool:
    """Returns whether Pillow turned levels of a TIFF around: 0 is stored for white."""
    colours = getattr(image, "tag_v2", {}).get(_COLOURS)
    return colours == 0 and image.mode in ("1", "L")


def _is_lossy(image: Image.Image, file: BinaryIO) -> bool:
    if image.format == "WEBP":
        return _holds_lossy_webp(file)
    packing = str(image.info.get("compression", ""))
    return image.format in ("JPEG", "MPO") or "jpeg" in packing


def _holds_lossy_webp(file: BinaryIO) -> bool:
    """Returns whether the first of the file's chunks that is an image is lossy."""
    file.seek(0)
    content, place = file.read(), 12
    while len(head := content[place : place + 8]) == 8:
        if head[:4] in (b"VP8 ", b"VP8L"):
            return head[:4] == b"VP8 "
        length = int.from_bytes(head[4:], "little")
        place += 8 + length + length % 2
    return False


class MaskPixels:
    """The pixels of an upright mask, of ``size`` or its own, and ways to read them."""

    def __init__(self, mask: Image.Image, size: tuple[int, int] | None = None) -> None:
        """Turns rare kinds of pixels into the few that are read."""
        if mask.mode == "1":
            mask = mask.convert("L")
        if mask.mode == "La":
            mask = Image.merge("LA", (mask.getchannel(0), mask.getchannel(1)))
        if mask.mode in ("RGBa", "PA"):
            mask = mask.convert("RGBA")
        known = mask.mode in ("P", "L", "LA", "RGB", "RGBA") or mask.mode[0] in "IF"
        self.mask = mask if known else convert(mask, "RGB")
        self.size = size

    def values(self, reading: Reading) -> Values:
        """Returns the values (h, w) under a reading, or the file's own.

        Raises:
            Undecodable: the file cannot be read that way.
        """
        if reading == "auto":
            reading = self.own()
        if reading == "alpha":
            if not self._has_alpha():
                raise Undecodable("has no alpha channel, which is what masks say here")
            return self._pixels(self.mask.getchannel("A"))
        if self.mask.mode == "P":
            return self._indexed(reading)
        if self.mask.mode[0] in "IF":
            return _whole(self._pixels(self.mask))
        if self.mask.mode in ("L", "LA"):
            grey = self._visible(self._pixels(self.mask.getchannel(0)))
            return grey.astype(np.int32) * GREY_STEP if reading == "colours" else grey
        return self._coloured(reading)

    def own(self) -> Reading:
        """Returns how the file is read where no other file says something else."""
        if self.mask.mode == "P":
            return "levels" if grey_levels(read_palette(self.mask)) else "indices"
        return "colours" if self.mask.mode in ("RGB", "RGBA") else "levels"

    def readings(self) -> list[Reading]:
        """Returns all ways to read the file, its own first."""
        ways = [self.own()]
        if self.mask.mode == "P":
            ways += [way for way in ("indices", "colours") if way not in ways]
        elif ways == ["colours"] and not (self._packed() % GREY_STEP).any():
            ways.insert(0, "levels")
        if self._has_alpha():
            ways.append("alpha")
        return ways

    def count(self, noise: int) -> dict[Reading, Stats]:
        """Returns what is to be known of the values by each way to read the file."""
        found: dict[Reading, Stats] = {}
        for reading in self.readings():
            if reading == "colours" and "levels" in found:
                # What was counted once has but other names.
                found[reading] = found["levels"].renamed(lambda v: v * GREY_STEP)
            elif reading == "colours" and "indices" in found:
                colours = self.palette().tolist()
                found[reading] = found["indices"].renamed(colours.__getitem__)
            else:
                found[reading] = count_values(self.values(reading), noise)
        return found

    def palette(self) -> npt.NDArray[np.int32]:
        """Returns the packed colour of each of the 256 indices."""
        colours = np.frombuffer(read_palette(self.mask).ljust(768, b"\0"), np.uint8)
        return _packed(colours.reshape(-1, 3))

    def hidden(self) -> int:
        """Returns the number of pixels whose colour alpha hides."""
        return int(self._hidden().sum()) if self._has_alpha() else 0

    def shows_black(self) -> bool:
        """Returns whether a pixel is black and alpha does not hide it."""
        if not self._has_alpha():
            return False
        black = np.asarray(self.mask.convert("RGB")).max(-1) == 0
        return bool((black & ~self._hidden()).any())

    def _has_alpha(self) -> bool:
        return self.mask.mode in ("LA", "RGBA")

    def _hidden(self) -> npt.NDArray[np.bool_]:
        alpha = self._pixels(self.mask.getchannel("A"))
        # What is left of a colour under little alpha is not reliable.
        hidden: npt.NDArray[np.bool_] = 2 * alpha.astype(np.int16) <= alpha.max()
        return hidden if alpha.max() else np.ones_like(hidden)

    def _pixels(self, mask: Image.Image) -> npt.NDArray[Any]:
        return nearest_pixels(np.asarray(mask), self.size)

    def _visible(self, values: _Pixels) -> _Pixels:
        """Returns the values, 0 where alpha hides them."""
        if self._has_alpha():
            if not values.flags.writeable:  # As Pillow's own are not.
                values = values.copy()
            values[self._hidden()] = 0
        return values

    def _coloured(self, reading: Reading) -> Values:
        packed = self._packed()
        if reading == "colours":
            return packed
        if reading == "indices" or (packed % GREY_STEP).any():
            raise Undecodable(f"holds colours, where other masks hold {reading}")
        return (packed // GREY_STEP).astype(np.uint8)

    def _packed(self) -> npt.NDArray[np.int32]:
        return self._visible(_packed(self._pixels(self.mask.convert("RGB"))))

    def _indexed(self, reading: Reading) -> Values:
        indices: Mask = self._pixels(self.mask)
        if reading == "indices":
            return indices
        if reading == "colours":
            return self.palette()[indices]
        levels = grey_levels(read_palette(self.mask))
        if levels is None:
            raise Undecodable("holds colours, where other masks hold levels")
        # Ten times as fast as an index with bytes, which NumPy widens to 64 bits.
        translated = bytearray(indices.tobytes().translate(levels))
        return np.frombuffer(translated, np.uint8).reshape(indices.shape)


def nearest_pixels(mask: _Pixels, size: tuple[int, int] | None) -> _Pixels:
    """Returns the mask (h, w, ...) at ``size``, each pixel the one nearest to it.

    Without a size, the mask is returned as it is.
    """
    if size is None or size == mask.shape[:2]:
        return mask
    rows, columns = (
        # In whole numbers: floats would round ties one way here, another in TensorFlow.
        ((2 * np.arange(new) + 1) * old) // (2 * new)
        for old, new in zip(mask.shape[:2], size, strict=True)
    )
    sampled: _Pixels = mask.take(rows, 0).take(columns, 1)
    return sampled


def _whole(values: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Returns the values as integers, ``NOTHING`` for NaN."""
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), NOTHING, values.astype(np.float64))
    return whole_numbers(values)


def _packed(colours: Mask) -> npt.NDArray[np.int32]:
    red, green, blue = np.moveaxis(colours.astype(np.int32), -1, 0)
    packed: npt.NDArray[np.int32] = (red << 16) | (green << 8) | blue
    return packed


def count_values(values: Values, noise: int = 0) -> Stats:
    """Returns what is to be known of the values of one mask.

    Args:
        values: (h, w); if they are noisy, colours are packed.
        noise: neighbours that differ by no more than this, in each channel, are alike.
    """
    if noise:
        return _noisy(values, noise)
    present, place = indexed(values)
    counts, border = _histogram(place), _border(place)
    two = len(counts) <= 2 and min(counts.values()) > 0.02 * place.size
    if two and place is values:
        # Two regions: what else there is to know would change nothing.
        return Stats(counts, counts, border)
    inner = place[:-1, :-1]
    flat = inner[(inner == place[1:, :-1]) & (inner == place[:-1, 1:])]
    stats = Stats(_most(counts), _most(_histogram(flat)), border, _pieces(place))
    return stats if place is values else stats.renamed(present.tolist().__getitem__)


def indexed(values: Values) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Returns an array of values and each pixel's index into it."""
    if values.dtype == np.uint8:
        return np.arange(256), values
    present = np.unique(values)
    few = np.uint8 if len(present) <= 256 else np.int32
    return present, np.searchsorted(present, values).astype(few)


def _noisy(values: Values, noise: int) -> Stats:
    inner = values[:-1, :-1]
    alike = np.ones(inner.shape, np.bool_)
    for shift in (0,) if values.dtype == np.uint8 else (0, 8, 16):
        level = (values >> shift & 255).astype(np.int16)
        for neighbour in (level[1:, :-1], level[:-1, 1:]):
            alike &= np.abs(level[:-1, :-1] - neighbour) <= noise
    flat = _histogram(inner[alike])
    return Stats(_most(_histogram(values)), _most(flat), _border(values))


def _border(place: npt.NDArray[Any]) -> dict[int, int]:
    edges = (place[0], place[-1], place[1:-1, 0], place[1:-1, -1])
    return _histogram(np.concatenate(edges) if min(place.shape) > 1 else place)


def _pieces(place: npt.NDArray[Any]) -> dict[int, int]:
    """Returns the connected pieces of each value, specks and small parts left out."""
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
