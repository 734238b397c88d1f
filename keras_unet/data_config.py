"""Choices on data and augmentation, a part of ``config``; without TensorFlow."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from keras_unet.errors import BadUsage, as_paths, flag_of, require, require_between

IGNORE = 255
"""Class id of pixels that count in no loss and no metric."""

MOST_VALUE = 0xFFFFFF
"""The largest value of a class that a mask can be written with: a colour."""

TILE_SIZE = (256, 256)
"""Of the pieces where --resolution is given and no size."""

PLACES = ("data", "images", "masks", "pairs", "validation", "test")
"""Fields of a DataConfig that say where the pairs are."""

Reading = Literal["auto", "levels", "indices", "colours", "alpha"]


@dataclass(frozen=True)
class DataConfig:
    """Where the images come from and how they are read.

    Attributes:
        data: folder in a layout that is known (images/ and masks/, Kaggle's Carvana,
            CamVid, VOC, COCO, ...), or written by ``keras_unet.data records``.
        images: folder of images, where they lie elsewhere; needs --masks.
        masks: folder of masks, matched to the images by name; or a table of run
            lengths (.csv), or COCO's annotations (.json).
        pairs: CSV file instead of folders: columns image, mask, and if wanted group
            and part (train, validation, test); paths are relative to its folder.
        validation: folder or such a file with the validation pairs, instead of a tenth
            of --data.
        test: the same for the test pairs.
        run_lengths: order of masks that are run lengths; auto looks at them.
        group_by: regular expression; what its first group (or the whole match) finds
            in a file name, or if in none in the paths within the set (folder/name), is
            the image's group. Groups are never split.
        image_size: height and width in pixels to which whole images are brought before
            the network sees them.
        resolution: instead of --image-size, the share of its own size at which each
            image is seen; 1 is as it is.
        tile_size: height and width in pixels of the pieces that training sees and
            predictions are put together from; by default whole images, and 256 256
            with --resolution.
        tile_overlap: share of a tile that its neighbour predicts too.
        foreground_tiles: share of the training's pieces that must hold foreground.
        mask_reading: what of a mask's pixels its values are: grey levels, indices into
            a palette, colours, or alpha; auto looks at all files.
        mask_kind: what a mask's values mean; auto looks at them.
        foreground_above: binary and instances: foreground is every value above it, of
            colours their brightest channel.
        targets: what of instances is learnt: the mask, or three classes, background,
            cell and border, which is where two instances are hardly apart.
        class_values: classes: the mask value of class 0, 1, ...; colours as 0xRRGGBB.
        class_names: names of the classes, background first.
        ignore_values: mask values that count in no loss and no metric.
        snap_values: classes: any other value counts as the nearest one, because masks
            have soft edges or were compressed as JPEG.
        bands: channels of the images that are read, from 1: three or one; by default
            grey or RGB, without alpha.
        white: 16-bit images: the value that counts as white; by default the largest of
            the number of bits that the whole set uses.
        max_pixels: pixels of the largest image that is opened (decompression bombs).
        cache: where decoded, resized images are kept after they were read once.
    """

    data: Path | None = None
    images: Path | None = None
    masks: Path | None = None
    pairs: Path | None = None
    validation: Path | None = None
    test: Path | None = None
    run_lengths: Literal["auto", "rows", "columns"] = "auto"
    group_by: str | None = None
    image_size: tuple[int, int] = (256, 384)
    resolution: float | None = None
    tile_size: tuple[int, int] | None = None
    tile_overlap: float = 0.25
    foreground_tiles: float = 0.33
    mask_reading: Reading = "auto"
    mask_kind: Literal["auto", "binary", "instances", "classes"] = "auto"
    foreground_above: int | None = None
    targets: Literal["mask", "borders"] = "mask"
    class_values: tuple[int, ...] = ()
    class_names: tuple[str, ...] = ()
    ignore_values: tuple[int, ...] = ()
    snap_values: bool = False
    bands: tuple[int, ...] = ()
    white: int | None = None
    max_pixels: int = 178_956_970
    cache: Literal["none", "memory", "disk"] = "memory"

    def __post_init__(self) -> None:
        """Refuses sizes below one pixel and half a pair of folders."""
        as_paths(self, *PLACES)
        require(min(self.image_size) >= 1, "image_size", "at least 1 1", self)
        if self.resolution is not None:
            fits = 0 < self.resolution <= 4
            require(fits, "resolution", "above 0 and at most 4", self)
        if self.tile_size is not None:
            require(min(self.tile_size) >= 1, "tile_size", "at least 1 1", self)
        require_between(self, "tile_overlap", 0.0, 0.75)
        require_between(self, "foreground_tiles", 0.0, 1.0)
        require(self.max_pixels >= 1, "max_pixels", "at least 1", self)
        if self.bands:
            fits = len(self.bands) in (1, 3) and min(self.bands) >= 1
            require(fits, "bands", "three numbers from 1 on, or one", self)
        if self.white is not None:
            require_between(self, "white", 255, 65535)
        _refuse_two_kinds(self)
        if (self.images is None) != (self.masks is None):
            raise BadUsage("--images and --masks go together: give both or neither")
        sources = [
            f for f in ("data", "images", "pairs") if getattr(self, f) is not None
        ]
        if len(sources) > 1:
            one, other = map(flag_of, sources[:2])
            raise BadUsage(f"{one} and {other} name two sources: give one of them")

    def moved_to(self, folder: Path | None) -> DataConfig:
        """Returns the config with all of its pairs in one folder, or in none."""
        places: dict[str, Any] = {**dict.fromkeys(PLACES), "data": folder}
        return replace(self, **places)

    def completed_by(self, found: DataConfig) -> DataConfig:
        """Returns the config with what it leaves open about masks as ``found`` has."""
        names = (
            *("run_lengths", "white", "mask_reading", "mask_kind", "foreground_above"),
            *("class_values", "class_names", "ignore_values", "snap_values"),
        )
        return self.filled({name: getattr(found, name) for name in names})

    def filled(self, values: Mapping[str, Any]) -> DataConfig:
        """Returns the config with values, by name, where it leaves them open."""
        default = DataConfig()
        is_open = (n for n in values if getattr(self, n) == getattr(default, n))
        return replace(self, **{name: values[name] for name in is_open})

    def with_whole_paths(self) -> DataConfig:
        """Returns the config with the places of its pairs as absolute paths."""
        whole: dict[str, Any] = {n: path.resolve() for n, path in self.places.items()}
        return replace(self, **whole)

    @property
    def source(self) -> Path | None:
        """Where the pairs are: --data, --images or --pairs; None if none is given."""
        return self.data or self.images or self.pairs

    @property
    def places(self) -> dict[str, Path]:
        """Where pairs are, those of --validation and --test too, by field."""
        return {name: path for name in PLACES if (path := getattr(self, name))}

    @property
    def tiles(self) -> tuple[int, int] | None:
        """The size of the pieces, or None if the network sees whole images."""
        default = None if self.resolution is None else TILE_SIZE
        return self.tile_size or default

    @property
    def network_size(self) -> tuple[int, int]:
        """Height and width of what the network sees at a time: a piece or all."""
        return self.tiles or self.image_size

    @property
    def size_flag(self) -> str:
        """The flag that sets ``network_size``."""
        return "--tile-size" if self.tiles else "--image-size"

    @property
    def bands_of_rgb(self) -> list[int]:
        """The channels (three, from 0) that are read of RGB; none if others are."""
        if not self.bands or max(self.bands) > 3:
            return []
        return [band - 1 for band in self.bands * (3 // len(self.bands))]

    def seen_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Returns the size to which an image of ``size`` is brought as a whole."""
        if self.resolution is None:
            return self.image_size
        height, width = (max(1, round(side * self.resolution)) for side in size)
        return height, width


def _refuse_two_kinds(data: DataConfig) -> None:
    """Refuses flags of which one says classes and another says no classes."""
    kind, values = f"--mask-kind {data.mask_kind}", "--class-values"
    above = "--foreground-above" if data.foreground_above is not None else ""
    classes = (
        values if data.class_values else kind if data.mask_kind == "classes" else ""
    )
    other = above or (kind if data.mask_kind in ("binary", "instances") else "")
    if classes and other:
        raise BadUsage(
            f"{classes} and {other} exclude each other: give one of them (--mask-kind "
            "auto, where a preset says another)"
        )
    both = [value for value in data.class_values if value in data.ignore_values]
    if both:
        raise BadUsage(f"--class-values and --ignore-values both name {both[0]}")


_SECONDS = 1
_CODE = """
import json, re, sys
print(flush=True)
pattern, names = json.load(sys.stdin)
pattern = re.compile(pattern)
matches = map(pattern.search, names)
group = min(1, pattern.groups)
json.dump([match and match.group(group) for match in matches], sys.stdout)
"""


def find_groups(group_by: str, names: Sequence[str]) -> list[str | None]:
    """Returns what the first group of the expression, or all of it, finds in each name.

    Raises:
        BadUsage: it is no regular expression, or takes more than a second in all.
    """
    try:
        re.compile(group_by)
    except (re.error, OverflowError, RecursionError) as error:
        raise BadUsage(
            f"--group-by {group_by} is no regular expression: {error}"
        ) from error
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _CODE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            if process.stdout:
                process.stdout.readline()  # Its start does not count.
            text = json.dumps([group_by, list(names)])
            found, _ = process.communicate(text, timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            raise BadUsage(
                f"--group-by {group_by} takes more than {_SECONDS} s for the "
                f"{len(names)} names, such as {names[0]}: repeat nothing that is "
                "repeated itself, as in (a+)+"
            ) from None
        finally:
            process.kill()
    groups: list[str | None] = json.loads(found)
    return groups


@dataclass(frozen=True)
class AugmentConfig:
    """How far training images are moved, bent and recoloured at random.

    Attributes:
        flip: axes along which an image is mirrored, each with probability 1/2.
        rotation_degrees: largest angle, either way.
        scale: largest relative change of size, either way.
        shear_degrees: largest shear angle, either way.
        translation: largest shift, as a share of height and width.
        elastic_pixels: standard deviation of the paper's displacements on a 3×3 grid.
        brightness: largest shift, as a share of the full range.
        contrast: largest relative change.
        hue: largest shift, as a share of the colour circle.
        noise: standard deviation of Gaussian noise, as a share of the full range.
    """

    flip: Literal["none", "horizontal", "vertical", "both"] = "horizontal"
    rotation_degrees: float = 0.0
    scale: float = 0.0
    shear_degrees: float = 0.0
    translation: float = 0.0
    elastic_pixels: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    hue: float = 0.0
    noise: float = 0.0

    @property
    def moves_pixels(self) -> bool:
        """Whether images are resampled, and not just mirrored or recoloured."""
        return any(
            (
                self.rotation_degrees,
                self.scale,
                self.shear_degrees,
                self.translation,
                self.elastic_pixels,
            )
        )

    def __post_init__(self) -> None:
        """Refuses negative amplitudes and shares of one and more."""
        for name, top in [
            ("rotation_degrees", 180.0),
            ("scale", 0.9),
            ("shear_degrees", 80.0),
            ("translation", 1.0),
            ("elastic_pixels", math.inf),
            ("brightness", 1.0),
            ("contrast", 1.0),
            ("hue", 0.5),
            ("noise", 1.0),
        ]:
            require_between(self, name, 0.0, top)
