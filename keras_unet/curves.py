"""The diagram of a run's history: loss, Dice and learning rate over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from keras_unet import canvas, paint
from keras_unet.canvas import Axes
from keras_unet.files import write_whole

TRAIN, VALIDATION = canvas.unit(paint.ORANGE), canvas.unit(paint.BLUE)


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
    _line(rate, history, "learning_rate", "", canvas.SOFT)
    canvas.plain(rate, "epoch", "learning rate")
    rate.set_ylim(bottom=0)
    _mark_best([loss, dice, rate], history)
    canvas.legend(dice)
    for axes in (loss, dice, rate):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    with write_whole(file) as aside:
        canvas.save(figure, aside)


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
    panels[1].plot(epoch, dice, "o", ms=7, mfc="none", mec=VALIDATION, mew=1.5)
    canvas.heading(panels[1], f"best epoch {epoch:.0f}: validation Dice {dice:.4f}")
