"""The look that all figures share: lettering, panels, lines, and how they are saved.

Only matplotlib's objects are used, never pyplot: no window, no state between figures.
"""

from __future__ import annotations

import math
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend
from matplotlib.patches import Patch
from matplotlib.textpath import TextPath
from PIL import Image

from keras_unet import types
from keras_unet.figures.paint import Colour
from keras_unet.files import write_whole

Axes = Any
"""matplotlib's Axes, whose methods have no types to rely on."""

INK = "#222222"
SOFT = "#666666"
FAINT = "#dddddd"
TEXT = 9.0
SMALL = 7.5


def new_figure(width: float, height: float, title: str = "") -> Figure:
    """Returns an empty figure of that many inches."""
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06)
    figure = Figure((width, height), facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(letters(title), fontsize=TEXT + 2, color=INK, parse_math=False)
    return figure


def save(figure: Figure, file: Path) -> None:
    """Writes ``file`` whole, as a PNG of 200 dots an inch."""
    with write_whole(file) as aside:
        figure.savefig(aside, dpi=200, format="png")


def show(axes: Axes, image: types.Image, title: str = "", pixels: bool = False) -> None:
    """Draws ``image`` (h, w, 3) without axes, its title above it.

    Args:
        axes: where.
        image: what.
        title: above it.
        pixels: shows them as squares instead of blending them.
    """
    smooth = "nearest" if pixels else "lanczos"
    axes.imshow(shrink(image), interpolation=smooth)
    bare(axes)
    if title:
        heading(axes, title, SMALL)


def heading(axes: Axes, title: str, size: float = TEXT) -> None:
    """Writes a title above ``axes``, left-aligned."""
    axes.set_title(title, fontsize=size, color=INK, loc="left", pad=3, parse_math=False)


def bare(axes: Axes) -> None:
    """Takes ticks and frame away."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def plain(axes: Axes, across: str, up: str) -> None:
    """Gives a diagram its two axes, their names and a faint grid."""
    axes.set_xlabel(across, fontsize=TEXT, color=INK)
    axes.set_ylabel(up, fontsize=TEXT, color=INK)
    axes.tick_params(labelsize=SMALL, colors=SOFT, labelcolor=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(SOFT)
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)


def legend(axes: Axes) -> None:
    """Writes at the lower right which line is which."""
    _as_written(
        axes.legend(
            loc="lower right",
            fontsize=TEXT,
            facecolor="white",
            edgecolor="none",
            framealpha=0.9,
        )
    )


def legend_of(figure: Figure, colours: dict[str, Colour]) -> None:
    """Writes under the whole figure which colour means what, in rows that fit."""
    names = [letters(name) for name in colours]
    widest = max(map(_width, names))
    # In points, with as much as matplotlib takes for the patch and between columns.
    fitting = max(1, int(72 * figure.get_figwidth() / (widest + 5 * TEXT)))
    rows = math.ceil(len(names) / fitting)
    _as_written(
        figure.legend(
            handles=[
                Patch(facecolor=unit(colour), edgecolor=SOFT, linewidth=0.5, label=name)
                for name, colour in zip(names, colours.values(), strict=True)
            ],
            loc="outside lower center",
            ncols=math.ceil(len(names) / rows),
            fontsize=TEXT,
            frameon=False,
        )
    )


def _width(text: str) -> float:
    """Returns how wide a line of text is, in points."""
    as_written = text.replace("$", r"\$")
    return float(TextPath((0, 0), as_written, TEXT).get_extents().width)


def _as_written(legend: Legend) -> None:
    """Keeps matplotlib from reading dollar signs in names as mathematics."""
    for text in legend.get_texts():
        text.set_parse_math(False)


def unit(colour: Colour) -> tuple[float, float, float]:
    """Returns ``colour`` in matplotlib's range of 0 to 1."""
    red, green, blue = colour
    return red / 255, green / 255, blue / 255


def shrink(image: types.Image, longest: int = 900) -> types.Image:
    """Returns ``image`` (h, w, 3) with no side above ``longest`` pixels."""
    height, width = image.shape[:2]
    factor = longest / max(height, width)
    if factor >= 1:
        return image
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))


def letters(text: str, most: int = 60) -> str:
    """Returns ``text`` in letters the font has, its middle left out if too long."""
    font = get_font(findfont(FontProperties()))
    known = [
        letter if font.get_char_index(ord(letter)) else "\N{WHITE SQUARE}"
        for letter in unicodedata.normalize("NFC", text)
    ]
    if len(known) > most:
        keep = most // 2
        known = [*known[: keep - 1], "\N{HORIZONTAL ELLIPSIS}", *known[-keep:]]
    return "".join(known)
