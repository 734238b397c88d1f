"""The diagrams of a run: its history over the epochs, and its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import ticker

from keras_unet.figures import canvas
from keras_unet.figures.canvas import Axes

TRAIN, VALIDATION = canvas.unit(canvas.ORANGE), canvas.unit(canvas.BLUE)


def training_figure(history: Sequence[Mapping[str, float]], file: Path) -> None:
    """Draws loss, Dice and learning rate over the epochs.

    Args:
        history: a row per epoch with epoch (from 1), loss, val_loss, dice, val_dice and
            learning_rate; what is missing is left out.
        file: the PNG to write.
    """
    figure = canvas.new_figure(8.5, 4.6)
    grid = figure.add_gridspec(2, 2, height_ratios=[3, 1])
    loss, dice = (figure.add_subplot(grid[0, column]) for column in (0, 1))
    rate = figure.add_subplot(grid[1, :])
    for axes, name, title in [(loss, "loss", "loss"), (dice, "dice", "Dice")]:
        _line(axes, history, name, "training", TRAIN)
        _line(axes, history, f"val_{name}", "validation", VALIDATION)
        canvas.plain(axes, "", title)
    _show_small_differences(loss, dice)
    _line(rate, history, "learning_rate", "", canvas.SOFT)
    canvas.plain(rate, "epoch", "learning rate")
    rate.set_ylim(bottom=0)
    _mark_best([loss, dice, rate], history)
    canvas.legend(dice)
    for axes in (loss, dice, rate):
        axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
    canvas.save(figure, file)


_ENDS = 0.005, 0.9995
_COARSE = 0.01, 0.1, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999
_FINE = (
    *(0.005, 0.015, 0.02, 0.03, 0.05, 0.07, 0.15, 0.2, 0.3, 0.4, 0.6, 0.7, 0.85),
    *(0.92, 0.97, 0.985, 0.993, 0.997, 0.9985, *_COARSE),
)


def _show_small_differences(loss: Axes, dice: Axes) -> None:
    """Scales both so that one bad epoch does not make straight lines of all others."""
    for line in dice.lines:
        # Perfect Dice, and none, are infinitely far away.
        line.set_ydata(np.clip(line.get_ydata(), *_ENDS))
    ends = np.sort(np.clip(dice.dataLim.intervaly, *_ENDS))
    odds = ends / (1 - ends) * [0.7, 1.4]
    low, high = odds / (1 + odds)
    dice.set_ylim(low, high)
    dice.set_yscale("logit", nonpositive="clip")
    few = sum(low < tick < high for tick in _COARSE) < 3
    dice.yaxis.set_major_locator(ticker.FixedLocator(_FINE if few else _COARSE))
    if loss.dataLim.y1 > 0:
        loss.set_yscale("log", nonpositive="clip")
        loss.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    for axis in (loss.yaxis, dice.yaxis):
        axis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
        axis.set_minor_locator(ticker.NullLocator())


def best_epoch(history: Sequence[Mapping[str, float]]) -> int | None:
    """Returns the index of the row with the best validation Dice, None without any."""
    dice = [row.get("val_dice", np.nan) for row in history]
    return None if np.all(np.isnan(dice)) else int(np.nanargmax(dice))


def _line(
    axes: Axes,
    history: Sequence[Mapping[str, float]],
    name: str,
    label: str,
    colour: Any,
) -> None:
    epochs = [row["epoch"] for row in history]
    values = [row.get(name, np.nan) for row in history]
    marker = "o" if len(epochs) <= 30 else ""
    axes.plot(
        epochs, values, label=label, color=colour, linewidth=1.5, marker=marker, ms=3
    )


def _mark_best(panels: Sequence[Axes], history: Sequence[Mapping[str, float]]) -> None:
    best = best_epoch(history)
    if best is None:
        return
    epoch, dice = history[best]["epoch"], history[best]["val_dice"]
    for axes in panels:
        axes.axvline(epoch, color=canvas.SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
    shown = np.clip(dice, *_ENDS)
    panels[1].plot(epoch, shown, "o", ms=7, mfc="none", mec=VALIDATION, mew=1.5)
    canvas.heading(panels[1], f"best epoch {epoch:.0f}: validation Dice {dice:.4f}")


COLOURS = [canvas.unit(c) for c in (canvas.BLUE, canvas.VERMILION, canvas.GREEN)]
WORST = 8

LABELS = {
    "dice": "Dice",
    "iou": "IoU",
    "boundary_iou": "boundary IoU",
    "hausdorff_95": "Hausdorff 95 %",
}


def label(score: str) -> str:
    """Returns what a score is called where people read it."""
    return LABELS.get(score) or score.replace("dice_", "Dice of ")


def number(score: str, value: float) -> str:
    """Returns a score's value where people read it; distances are in pixels."""
    if np.isnan(value):
        return "nowhere"
    return f"{value:.2f}" if score == "hausdorff_95" else f"{value:.4f}"


def with_interval(
    score: str,
    totals: Mapping[str, float],
    intervals: Mapping[str, tuple[float, float]],
) -> str:
    """Returns a score's value, and the ends of its interval on a second line."""
    text = number(score, totals[score])
    if score not in intervals:
        return text
    ends = [number(score, end) for end in intervals[score]]
    return f"{text}\n{'–'.join(ends)}"


@dataclass(frozen=True)
class PartScores:
    """The scores of one part of the data.

    Attributes:
        name: what the part is called: validation, test.
        names: the images.
        groups: the images' groups, in the same order.
        dice: the images' Dice, likewise.
        totals: the part's scores by name.
        intervals: their ends, of those that have an interval.
        confusion: pixels by true (row) and predicted (column) class.
    """

    name: str
    names: Sequence[str]
    groups: Sequence[str]
    dice: Sequence[float]
    totals: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    confusion: npt.NDArray[np.int64]


def evaluation_figure(
    parts: Sequence[PartScores], class_names: Sequence[str], file: Path
) -> None:
    """Draws every image's Dice, the worst images and groups, and the table of scores.

    Groups are drawn where one has several images. Of several classes, also each class's
    Dice and what was taken for what.

    Args:
        parts: validation and test, say.
        class_names: background first.
        file: the PNG to write.
    """
    groups, several = _worst_groups(parts), len(class_names) > 2
    # Inches: many classes need more for their bars and lettering.
    heights = [3.25, 0.27 * len(groups) + 0.75, 0.55 + 0.45 * len(parts)]
    heights += [min(max(3.0, 0.4 * len(class_names)), 12.0)]
    shown = [True, bool(groups), True, several]
    heights = [height for height, one in zip(heights, shown, strict=True) if one]
    figure = canvas.new_figure(10.0, sum(heights) + 0.25)
    grid = figure.add_gridspec(len(heights), 2, height_ratios=heights)
    _draw_sorted(figure.add_subplot(grid[0, 0]), parts)
    _draw_worst(figure.add_subplot(grid[0, 1]), parts)
    if groups:
        _draw_groups(figure.add_subplot(grid[1, :]), groups)
    _draw_table(figure.add_subplot(grid[1 + bool(groups), :]), parts)
    if several:
        _draw_classes(figure.add_subplot(grid[-1, 0]), parts, class_names)
        _draw_confusion(figure.add_subplot(grid[-1, 1]), parts[-1], class_names)
    canvas.save(figure, file)


def _draw_sorted(axes: Axes, parts: Sequence[PartScores]) -> None:
    for part, colour in zip(parts, _colours(parts), strict=True):
        dice = np.sort(part.dice)
        share = 100 * (np.arange(len(dice)) + 0.5) / len(dice)
        marker = "o" if len(dice) <= 200 else ""
        label = f"{canvas.letters(part.name, 24)}, {len(dice)} images"
        axes.plot(share, dice, color=colour, lw=1.2, marker=marker, ms=3, label=label)
    axes.set_xlim(0, 100)
    canvas.plain(axes, "images from worst to best, %", "Dice")
    canvas.heading(axes, "Dice of every image")
    canvas.legend(axes)


def _draw_worst(axes: Axes, parts: Sequence[PartScores]) -> None:
    worst = sorted(
        (dice, name, colour)
        for part, colour in zip(parts, _colours(parts), strict=True)
        for dice, name in zip(part.dice, part.names, strict=True)
    )[:WORST]
    for row, (dice, _, colour) in enumerate(worst):
        axes.plot(dice, row, "o", color=colour, ms=6)
        place = {"xytext": (6, 0), "textcoords": "offset points"}
        axes.annotate(f"{dice:.4f}", (dice, row), **place, **canvas.BESIDE)
    canvas.plain(axes, "Dice", "")
    _name_ticks(axes.yaxis, [name for _, name, _ in worst], most=26)
    axes.set_ylim(len(worst) - 0.5, -0.5)
    axes.margins(x=0.2)
    canvas.heading(axes, "The worst images")


@dataclass(frozen=True)
class _Group:
    name: str
    dice: Sequence[float]
    colour: Any

    @property
    def mean(self) -> float:
        return float(np.mean(self.dice))


def _worst_groups(parts: Sequence[PartScores]) -> list[_Group]:
    """Returns the groups with the lowest mean Dice; none if each is one image."""
    groups = []
    for part, colour in zip(parts, _colours(parts), strict=True):
        dice: dict[str, list[float]] = {}
        for name, value in zip(part.groups, part.dice, strict=True):
            dice.setdefault(name, []).append(value)
        groups += [_Group(name, each, colour) for name, each in dice.items()]
    if all(len(group.dice) == 1 for group in groups):
        return []
    return sorted(groups, key=lambda group: group.mean)[:WORST]


def _draw_groups(axes: Axes, groups: Sequence[_Group]) -> None:
    for row, group in enumerate(groups):
        colour, rows = group.colour, [row] * len(group.dice)
        axes.plot(group.dice, rows, "|", color=colour, ms=9, mew=1.0, alpha=0.6)
        axes.plot(group.mean, row, "o", color=colour, ms=6)
        text, at = f"{group.mean:.4f}, {len(rows)} images", axes.get_yaxis_transform()
        axes.text(1.01, row, text, transform=at, **canvas.BESIDE)
    canvas.plain(axes, "Dice: a line for each image, a dot for their mean", "")
    _name_ticks(axes.yaxis, [group.name for group in groups], most=26)
    axes.set_ylim(len(groups) - 0.5, -0.5)
    canvas.heading(axes, "The worst groups")


def _draw_table(axes: Axes, parts: Sequence[PartScores]) -> None:
    canvas.bare(axes)
    below = "; below, 95 % intervals over the groups"
    known = any(part.intervals for part in parts)
    canvas.heading(axes, f"Scores, distances in pixels{below if known else ''}")
    scores = [*LABELS][:2] + ["precision", "recall", "accuracy"] + [*LABELS][2:]
    cells = [
        [
            *(with_interval(score, part.totals, part.intervals) for score in scores),
            str(len(part.names)),
        ]
        for part in parts
    ]
    table = axes.table(
        cells,
        rowLabels=[canvas.letters(part.name, 24) for part in parts],
        colLabels=[*map(label, scores), "images"],
        cellLoc="center",
        rowLoc="right",
        edges="horizontal",
        bbox=(0.1, 0.0, 0.9, 1.0),
    )
    table.auto_set_font_size(False)
    table.set_fontsize(canvas.SMALL)
    for cell in table.get_celld().values():
        cell.set(edgecolor=canvas.FAINT, linewidth=0.8)
        cell.get_text().set_color(canvas.INK)


def _draw_classes(
    axes: Axes, parts: Sequence[PartScores], class_names: Sequence[str]
) -> None:
    places = np.arange(len(class_names))
    height = 0.8 / len(parts)
    for index, (part, colour) in enumerate(zip(parts, _colours(parts), strict=True)):
        dice = class_dice(part.confusion)
        where = places + (index - (len(parts) - 1) / 2) * height
        axes.barh(where, dice, 0.9 * height, color=colour)
        for at, value in zip(where, dice, strict=True):
            style = canvas.BESIDE | ({"color": "white"} if value > 0.5 else {})
            left = 0.01 if value > 0.5 else np.nan_to_num(value) + 0.01
            axes.text(left, at, number("dice", value), **style)
    canvas.plain(axes, "Dice", "")
    _name_ticks(axes.yaxis, class_names)
    axes.set(xlim=(0, 1), ylim=(len(class_names) - 0.5, -0.5))
    canvas.heading(axes, "Dice of every class, over all pixels")


def _draw_confusion(axes: Axes, part: PartScores, class_names: Sequence[str]) -> None:
    pixels = part.confusion.sum(axis=1, keepdims=True)
    nowhere = np.full(part.confusion.shape, np.nan)
    share = np.divide(part.confusion, pixels, out=nowhere, where=pixels > 0)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(share):
        style = canvas.BESIDE | ({"color": "white"} if value > 0.5 else {})
        text = "" if np.isnan(value) else f"{100 * value:.1f}"
        axes.text(column, row, text, ha="center", **style)
    canvas.plain(axes, "predicted", "true")
    axes.grid(False)
    _name_ticks(axes.xaxis, class_names)
    labels = axes.get_xticklabels()
    # Three names of 18 letters just stand side by side.
    if max(len(label.get_text()) for label in labels) * len(labels) > 54:
        for label in labels:
            label.set(rotation=45, ha="right", rotation_mode="anchor")
    _name_ticks(axes.yaxis, class_names)
    canvas.heading(axes, f"% of each true class, {canvas.letters(part.name, 24)}")


def class_dice(confusion: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Returns each class's Dice (classes,), nan where a class never occurs."""
    both = confusion.sum(axis=0) + confusion.sum(axis=1)
    hits = 2.0 * np.diag(confusion)
    nowhere = np.full(len(both), np.nan)
    return np.asarray(np.divide(hits, both, out=nowhere, where=both > 0))


def _name_ticks(axis: Any, names: Sequence[str], most: int = 18) -> None:
    axis.set_ticks(range(len(names)), [canvas.letters(name, most) for name in names])
    for label in axis.get_ticklabels():
        label.set_parse_math(False)


def _colours(parts: Sequence[PartScores]) -> list[Any]:
    return [COLOURS[index % len(COLOURS)] for index in range(len(parts))]
