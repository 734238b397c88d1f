"""Figures of a run: its data, its augmentation and its predictions.

Each function takes arrays and writes one PNG, whole or not at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy import ndimage

from keras_unet.data_config import IGNORE
from keras_unet.figures import canvas
from keras_unet.figures.canvas import Axes
from keras_unet.types import Image, Mask

COLUMNS = ("Image", "Truth", "Prediction", "Errors", "Closer look")


@dataclass(frozen=True)
class Sample:
    """One image with its truth.

    Attributes:
        name: what the image is called, its file's name say.
        image: (h, w, 1 or 3) bytes.
        mask: (h, w) class ids, 255 where they do not count.
        size: the image's own height and width, where it was thinned out.
    """

    name: str
    image: Image
    mask: Mask
    size: tuple[int, int] | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Prediction(Sample):
    """One image with its truth and what the network made of it.

    Attributes:
        prediction: (h, w) class ids.
        dice: its score.
    """

    prediction: Mask
    dice: float


DRAWN_SIDE = 2000


_Number = TypeVar("_Number", bound=np.generic)


def thinned(pixels: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
    """Returns what is drawn of (h, w, ...): of a large one, every second row, say.

    It is a copy then, so that the large one can go.
    """
    step = -(-max(pixels.shape[:2]) // DRAWN_SIDE)
    return pixels[::step, ::step].copy() if step > 1 else pixels


def data_figure(
    samples: Sequence[Sample], file: Path, class_names: Sequence[str] = ()
) -> None:
    """Draws each image with its mask over it, its name and its foreground share.

    Of more than two classes, a legend has the names (background first).
    """
    figure, panels = _panels(samples, spare=0.36)
    for axes, sample in zip(panels, samples, strict=False):
        image = canvas.paint_mask(sample.image, sample.mask)
        canvas.show(axes, image, canvas.letters(sample.name, 30))
        height, width = sample.size or sample.mask.shape
        axes.set_xlabel(
            f"{width}×{height}, "
            f"{100 * _foreground_share(sample.mask):.1f} % foreground",
            fontsize=canvas.SMALL,
            color=canvas.SOFT,
            labelpad=3,
            loc="left",
        )
    if len(class_names) > 2:
        canvas.legend_of(figure, _class_colours(class_names))
    canvas.save(figure, file)


def augmentation_figure(samples: Sequence[Sample], file: Path) -> None:
    """Draws one pair under each transformation, called by its name.

    The grid belongs to the images: ``canvas.paint_grid`` before they are transformed.
    """
    figure, panels = _panels(samples, spare=0.2)
    for axes, sample in zip(panels, samples, strict=False):
        image = canvas.paint_mask(sample.image, sample.mask, opacity=0.2)
        canvas.show(axes, image, canvas.letters(sample.name, 40))
    canvas.save(figure, file)


def weights_figure(
    sample: Sample,
    instances: npt.NDArray[Any],
    weights: npt.NDArray[np.float32],
    file: Path,
) -> None:
    """Draws image, instances, mask and weights, as figure 3 of arXiv 1505.04597.

    Args:
        sample: image and mask.
        instances: number of each pixel's object (h, w), 0 of none.
        weights: of each pixel's loss (h, w).
        file: the PNG to write.
    """
    height, width = sample.mask.shape
    figure = canvas.new_figure(11.5, min(8.0, 2.6 * height / width) + 0.5)
    panels = figure.subplots(1, 4)
    name = canvas.letters(sample.name, 30)
    canvas.show(panels[0], canvas.as_colour(sample.image), f"Image, {name}")
    number = len(np.unique(instances[instances > 0]))
    over = canvas.paint_instances(sample.image, instances)
    canvas.show(panels[1], over, f"Instances, {number}")
    canvas.show(panels[2], canvas.paint_classes(sample.mask), "Mask")
    drawn = panels[3].imshow(weights, cmap="jet", interpolation="nearest")
    canvas.bare(panels[3])
    canvas.heading(panels[3], "Weight of each pixel's loss", canvas.SMALL)
    bar = figure.colorbar(drawn, ax=panels[3], fraction=0.046, pad=0.02)
    bar.ax.tick_params(labelsize=canvas.SMALL, colors=canvas.SOFT)
    bar.outline.set_visible(False)
    canvas.save(figure, file)


def predictions_figure(
    samples: Sequence[Prediction],
    file: Path,
    title: str = "",
    class_names: Sequence[str] = (),
) -> None:
    """Draws a row per image: image, truth, prediction, errors and a closer look."""
    height, width = samples[0].mask.shape
    row = min(2.6, max(1.25, 2.15 * height / width)) + 0.12
    figure = canvas.new_figure(11.5, row * len(samples) + 0.7, title)
    rows = figure.subplots(len(samples), len(COLUMNS), squeeze=False)
    for panels, sample in zip(rows, samples, strict=True):
        _draw_prediction(panels, sample)
    for axes, name in zip(rows[0], COLUMNS, strict=True):
        canvas.heading(axes, name)
    several = len(class_names) > 2
    legend = {
        "found": canvas.HIT,
        "missed or another class" if several else "missed": canvas.MISS,
        "false alarm": canvas.FALSE_ALARM,
    }
    if several:
        legend |= _class_colours(class_names)
    if any((sample.mask == IGNORE).any() for sample in samples):
        legend["ignored"] = canvas.class_colour(IGNORE)
    canvas.legend_of(figure, legend)
    canvas.save(figure, file)


def _foreground_share(mask: Mask) -> float:
    """Returns the share of foreground among the pixels of ``mask`` that count."""
    counted = int((mask != IGNORE).sum())
    return int(((mask > 0) & (mask != IGNORE)).sum()) / counted if counted else math.nan


def _draw_prediction(panels: npt.NDArray[Any], sample: Prediction) -> None:
    errors = canvas.paint_errors(sample.image, sample.mask, sample.prediction)
    rows, columns = closer_look(sample.mask, sample.prediction)
    images = [
        canvas.as_colour(sample.image),
        canvas.paint_classes(sample.mask),
        canvas.paint_classes(sample.prediction),
        errors,
        errors[rows, columns],
    ]
    for axes, image in zip(panels[:-1], images[:-1], strict=True):
        canvas.show(axes, image)
    canvas.show(panels[-1], images[-1], pixels=True)
    factor = canvas.shrink(errors).shape[1] / errors.shape[1]
    corner = columns.start * factor, rows.start * factor
    width, height = (factor * (side.stop - side.start) for side in (columns, rows))
    style: dict[str, Any] = {"fill": False, "edgecolor": "white", "linewidth": 1.2}
    panels[3].add_patch(Rectangle(corner, width, height, **style))
    panels[0].set_ylabel(
        f"{canvas.letters(sample.name, 22)}\nDice {sample.dice:.4f}",
        fontsize=canvas.SMALL,
        color=canvas.INK,
        parse_math=False,
    )


def closer_look(mask: Mask, prediction: Mask) -> tuple[slice, slice]:
    """Returns rows and columns, a sixth of each side, with the most wrong pixels."""
    height, width = mask.shape
    size = max(1, height // 6), max(1, width // 6)
    wrong = ((mask != prediction) & (mask != IGNORE)).astype(np.float32)
    density = ndimage.uniform_filter(wrong, size, mode="constant")
    density = ndimage.uniform_filter(density, size, mode="constant")
    peak = np.unravel_index(int(density.argmax()), density.shape)
    if not wrong.any():
        peak = (np.intp(height // 2), np.intp(width // 2))
    starts = [
        min(max(0, int(at) - part // 2), side - part)
        for at, part, side in zip(peak, size, mask.shape, strict=True)
    ]
    top, left = starts
    return slice(top, top + size[0]), slice(left, left + size[1])


def _class_colours(class_names: Sequence[str]) -> dict[str, canvas.Colour]:
    return {
        canvas.letters(name, 24): canvas.class_colour(class_id)
        for class_id, name in enumerate(class_names)
        if class_id > 0
    }


def _panels(samples: Sequence[Sample], spare: float) -> tuple[Figure, list[Axes]]:
    """Returns a figure and a panel a sample, with ``spare`` inches for lettering."""
    height, width = samples[0].mask.shape
    columns = min(len(samples), 4)
    rows = math.ceil(len(samples) / columns)
    panel = 11.0 / 4
    tall = min(panel * height / width, 1.5 * panel) + spare
    figure = canvas.new_figure(columns * panel, rows * tall)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels:
        canvas.bare(axes)
    return figure, panels
