"""The demo set: images of drawn cars with exact masks, laid out as Kaggle's Carvana.

``train/<car>_<view>.jpg``, ``train_masks/<car>_<view>_mask.gif`` and
``train_masks.csv`` with the masks as run lengths. ``demo.json`` says what was drawn.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from keras_unet import types
from keras_unet.console import Progress, silent
from keras_unet.data import rle
from keras_unet.data.demo.car import build_cabin, build_shell
from keras_unet.data.demo.photo import Model, Studio, draw_backdrop, join, photograph
from keras_unet.data.demo.shapes import BODIES, Colour, vary
from keras_unet.data.pair_cache import machine_memory
from keras_unet.errors import BadData, BadUsage
from keras_unet.files import read_json, remove_leftovers, write_new
from keras_unet.types import Mask

MARK = "demo.json"
SMALLEST = 16
"""Pixels on a side below which a car is a blot."""
_BYTES_A_PIXEL = 140
"""Of memory, while an image is drawn."""

_PAINTS: tuple[Colour | None, ...] = (
    (0.60, 0.04, 0.06),
    (0.93, 0.93, 0.93),
    (0.07, 0.14, 0.36),
    (0.07, 0.07, 0.075),
    # None is the wall's own colour: the hardest to cut out.
    None,
    (0.66, 0.68, 0.70),
    (0.86, 0.50, 0.10),
    (0.20, 0.34, 0.26),
    (0.42, 0.44, 0.47),
    (0.30, 0.50, 0.72),
    (0.74, 0.69, 0.60),
    (0.34, 0.05, 0.12),
)


@dataclass(frozen=True)
class _Recipe:
    """All that the bytes of a demo set depend on, but for the libraries."""

    cars: int
    views: int
    seed: int
    height: int
    width: int
    drawing: int = 1

    def __str__(self) -> str:
        return (
            f"{self.cars} cars in {self.views} views, seed {self.seed}, "
            f"{self.height}×{self.width} pixels, drawing {self.drawing}"
        )


def make_demo(
    folder: Path,
    cars: int = 24,
    seed: int = 0,
    size: tuple[int, int] = (320, 480),
    views: int = 16,
    progress: Progress = silent,
) -> Path:
    """Draws the demo set into a folder that it makes; returns the folder.

    A folder that holds the same set is left as it is; a new one appears when complete.
    Of calls at the same time, the first to be done makes the folder for all.

    Args:
        folder: where to; its parents are made.
        cars: how many; each shape and colour comes in turn.
        seed: of shapes, colours, studio and noise.
        size: height and width in pixels.
        views: images of each car on a full turn.
        progress: called with images drawn and images in all.

    Raises:
        BadData: the folder holds something else, or cannot be written.
        BadUsage: no cars, no views or more than 16, or images too small.
    """
    recipe = _Recipe(cars, views, seed, *size)
    _require(recipe)
    remove_leftovers(folder.parent)
    if _is_there(folder, recipe):
        return folder
    try:
        with write_new(folder) as unfinished:
            _fill(unfinished, recipe, progress)
    except OSError as error:
        # Another call may have put the same there in the meantime.
        if not _is_there(folder, recipe):
            raise BadData(
                f"{folder}: the demo set cannot be written: {error}"
            ) from error
    return folder


def _require(recipe: _Recipe) -> None:
    if recipe.cars < 1:
        raise BadUsage(f"a demo set needs 1 car or more, not {recipe.cars}")
    if not 1 <= recipe.views <= 16:
        raise BadUsage(f"a demo car has 1 to 16 views, not {recipe.views}")
    if recipe.seed < 0:
        raise BadUsage(f"the demo set's seed must be 0 or more, not {recipe.seed}")
    if min(recipe.height, recipe.width) < SMALLEST:
        raise BadUsage(
            f"demo images are {SMALLEST} pixels or more on a side, "
            f"not {recipe.height}×{recipe.width}"
        )
    needed = _BYTES_A_PIXEL * recipe.height * recipe.width
    if needed > machine_memory():
        raise BadUsage(
            f"a demo image of {recipe.height}×{recipe.width} takes "
            f"{needed / 1e9:.0f} GB to draw, and there are "
            f"{machine_memory() / 1e9:.0f} GB: take a smaller --size"
        )


def _is_there(folder: Path, recipe: _Recipe) -> bool:
    """Returns whether the folder holds the set; false where there is none or nothing.

    Raises:
        BadData: it holds something else.
    """
    way_on = "name another folder, or remove this one"
    try:
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return False
        found = read_json(folder / MARK, _Recipe)
    except (OSError, ValueError) as error:
        raise BadData(
            f"{folder} exists and holds no demo set ({MARK}: {error}): {way_on}"
        ) from error
    if found != recipe:
        raise BadData(
            f"{folder} holds another demo set, of {found}; wanted: {recipe}: {way_on}"
        )
    missing = [file for file in _files(folder, recipe) if not file.exists()]
    if missing:
        raise BadData(
            f"{folder}: {len(missing)} files of the demo set are missing, "
            f"the first is {missing[0].name}: {way_on}"
        )
    return True


def _names(recipe: _Recipe) -> Iterator[tuple[int, int, str]]:
    """Yields car, view and the image's name without its ending."""
    for car in range(recipe.cars):
        name = np.random.default_rng((recipe.seed, car)).bytes(6).hex()
        for view in range(recipe.views):
            yield car, view, f"{name}_{view + 1:02d}"


def _files(folder: Path, recipe: _Recipe) -> Iterator[Path]:
    yield folder / "train_masks.csv"
    for _, _, name in _names(recipe):
        yield folder / "train" / f"{name}.jpg"
        yield folder / "train_masks" / f"{name}_mask.gif"


def _fill(folder: Path, recipe: _Recipe, progress: Progress) -> None:
    (folder / "train").mkdir()
    (folder / "train_masks").mkdir()
    rows = []
    for name, image, mask in _draw(recipe):
        Image.fromarray(image).save(folder / "train" / f"{name}.jpg", quality=88)
        _save_mask(mask, folder / "train_masks" / f"{name}_mask.gif")
        rows.append(f"{name}.jpg,{rle.encode(mask)}\n")
        progress(len(rows), recipe.cars * recipe.views)
    _write(folder / "train_masks.csv", "img,rle_mask\n" + "".join(sorted(rows)))
    _write(folder / MARK, json.dumps(asdict(recipe), indent=2) + "\n")


def _write(file: Path, text: str) -> None:
    with file.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(text)


def _save_mask(mask: Mask, file: Path) -> None:
    height, width = mask.shape
    image = Image.frombytes("P", (width, height), mask.tobytes())
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.save(file, optimize=False)


def _draw(recipe: _Recipe) -> Iterator[tuple[str, types.Image, Mask]]:
    """Yields name, image (h, w, 3) and mask (h, w) of every image."""
    for car, view, name in _names(recipe):
        if view == 0:
            rng = np.random.default_rng((recipe.seed, car, 0))
            studio, grain = _rent_studio(rng), float(rng.uniform(1.5, 4))
            model = _build_car(car + recipe.seed, studio, rng)
            backdrop = draw_backdrop(studio, (recipe.height, recipe.width))
        rng = np.random.default_rng((recipe.seed, car, 1 + view))
        noise = rng.standard_normal((*backdrop.shape[:2], 1), np.float32) * grain
        turn = 2 * np.pi * view / recipe.views + float(rng.uniform(-0.03, 0.03))
        yield name, *photograph(model, turn, studio, backdrop, noise)


def _build_car(number: int, studio: Studio, rng: np.random.Generator) -> Model:
    kinds = list(BODIES)
    body = vary(BODIES[kinds[number % len(kinds)]], rng)
    # 5 has no divisor in common with the paints' number: neighbours differ.
    paint = _PAINTS[number * 5 % len(_PAINTS)] or studio.wall
    red, green, blue = (np.array(paint) * rng.uniform(0.92, 1.05)).tolist()
    paint = (red, green, blue)
    return join([*build_shell(body, paint, rng), *build_cabin(body, paint, rng)])


def _rent_studio(rng: np.random.Generator) -> Studio:
    tint, wall, floor = (
        rng.uniform(-0.015, 0.015),
        *rng.uniform((0.88, 0.6), (0.98, 0.8)),
    )
    distance, height = rng.uniform(7.3, 8.1), rng.uniform(1.45, 1.85)
    return Studio(
        wall=(wall + tint, wall, wall - tint),
        floor=(floor - 0.015 + tint, floor, floor + 0.015 - tint),
        light=float(rng.uniform(-1, 1)),
        mirror=float(rng.uniform(0.06, 0.25)),
        distance=float(distance),
        height=float(height),
        pitch=float(np.arctan((height - 0.78) / distance) + rng.uniform(-0.02, 0.02)),
        zoom=float(distance / 7.6 * rng.uniform(1.0, 1.12)),
    )
