"""What all figures share: masks painted over images, lettering, panels and lines.

Only matplotlib's objects are used, never pyplot: no window, no state between figures.
"""

from __future__ import annotations

import math
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend
from matplotlib.patches import Patch
from matplotlib.textpath import TextPath
from scipy import ndimage

from keras_unet.data_config import IGNORE
from keras_unet.files import write_whole
from keras_unet.types import Image, Mask

Colour = tuple[int, int, int]

# Okabe and Ito's palette, which stays apart for every kind of colour vision
# (https://jfly.uni-koeln.de/color/), and a magenta that few photographs hold.
MAGENTA: Colour = (220, 38, 127)
BLUE: Colour = (0, 114, 178)
VERMILION: Colour = (213, 94, 0)
GREEN: Colour = (0, 158, 115)
ORANGE: Colour = (230, 159, 0)
SKY: Colour = (86, 180, 233)
PURPLE: Colour = (204, 121, 167)
YELLOW: Colour = (240, 228, 66)
BROWN: Colour = (140, 86, 75)
OLIVE: Colour = (148, 160, 40)
GREY: Colour = (136, 136, 136)
WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)

HIT, MISS, FALSE_ALARM = SKY, VERMILION, YELLOW
"""Colours of foreground that was found, was missed, and was seen where none is."""

# None of those that mark errors.
_CLASSES = [MAGENTA, GREEN, ORANGE, BLUE, PURPLE, BROWN, OLIVE]


def class_colour(class_id: int) -> Colour:
    """Returns the colour of a foreground class; beyond seven they come again."""
    return GREY if class_id == IGNORE else _CLASSES[(class_id - 1) % len(_CLASSES)]


def palette(own: bytes = b"") -> bytes:
    """Returns 256 colours, three bytes each: ``own`` ones, then those of Pascal VOC."""
    ids = np.arange(256)[:, None]
    voc = np.zeros((256, 3), np.int64)
    for bit in range(8):
        # Of each three bits of a number, one goes to each channel, the lowest on top.
        voc |= (ids >> (3 * bit + np.arange(3)) & 1) << (7 - bit)
    return own + voc.astype(np.uint8).tobytes()[len(own) :]


def as_colour(image: Image) -> Image:
    """Returns ``image`` (h, w, 1 or 3) with three channels."""
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image


def paint_mask(image: Image, mask: Mask, opacity: float = 0.4) -> Image:
    """Returns ``image`` with each class of ``mask`` (h, w) tinted and outlined."""
    colours = _colour_table()[mask]
    strength = (mask > 0).astype(np.float32) * opacity
    strength[outline(mask)] = 1.0
    colours[(mask == 0) & (strength > 0)] = WHITE
    return _blend(as_colour(image), colours, strength)


def paint_instances(image: Image, instances: npt.NDArray[Any]) -> Image:
    """Returns ``image`` with each of ``instances`` (h, w) tinted and outlined.

    Numbers that follow each other differ most in colour; of many, some look alike.
    """
    places = np.unique(instances, return_inverse=True)[1].reshape(instances.shape)
    # Hues a golden section apart: neighbours in number are far apart in colour.
    hues = (np.arange(places.max() + 1) * 0.618034)[:, None] + [0, 1 / 3, 2 / 3]
    colours = (255 * (0.5 + 0.5 * np.cos(2 * np.pi * hues))).astype(np.uint8)
    painted = colours[places]
    strength = (instances > 0) * np.float32(0.55)
    between = outline(instances) & (instances > 0)
    painted[between], strength[between] = WHITE, 1.0
    return _blend(as_colour(image), painted, strength)


def paint_classes(mask: Mask) -> Image:
    """Returns ``mask`` (h, w) in black and white, or black and the classes' colours."""
    if mask.max(initial=0) == 1:
        return as_colour(mask[..., None] * 255)
    return np.where(mask[..., None] > 0, _colour_table()[mask], 0).astype(np.uint8)


def paint_errors(image: Image, mask: Mask, prediction: Mask) -> Image:
    """Returns the faded ``image`` under hits, misses and false alarms.

    A foreground class taken for another counts as a miss.
    """
    grey = as_colour(image).mean(axis=-1, keepdims=True)
    faded = np.broadcast_to(60 + 0.45 * grey, (*mask.shape, 3)).astype(np.uint8)
    colours = np.zeros((*mask.shape, 3), np.uint8)
    strength = np.zeros(mask.shape, np.float32)
    for where, colour, opacity in [
        ((mask > 0) & (prediction == mask), HIT, 0.3),
        ((mask > 0) & (prediction != mask), MISS, 1.0),
        ((mask == 0) & (prediction > 0), FALSE_ALARM, 1.0),
        (mask == IGNORE, GREY, 1.0),
    ]:
        colours[where], strength[where] = colour, opacity
    return _blend(faded, colours, strength)


def paint_grid(image: Image, lines: int = 10) -> Image:
    """Returns ``image`` with ``lines`` lines along its longer side painted over it.

    A line is dark beside light, to be seen on every ground.
    """
    painted = as_colour(image).copy()
    step = max(4, max(painted.shape[:2]) // lines)
    width = max(1, step // 24)
    for offset in range(2 * width):
        colour = BLACK if offset < width else WHITE
        painted[step // 2 + offset :: step] = colour
        painted[:, step // 2 + offset :: step] = colour
    return painted


def outline(mask: Mask) -> npt.NDArray[np.bool_]:
    """Returns where (h, w) two classes meet, about 1/300 of the image wide."""
    size = 2 * max(1, round(max(mask.shape) / 600)) + 1
    top = ndimage.maximum_filter(mask, size)
    lowest = ndimage.minimum_filter(mask, size)
    return np.asarray(top != lowest)


def _colour_table() -> Image:
    return np.array([class_colour(class_id) for class_id in range(256)], np.uint8)


def _blend(image: Image, colours: Image, strength: npt.NDArray[np.float32]) -> Image:
    painted = np.empty_like(colours)
    # Some rows at a time: of a whole image these are 40 bytes a pixel.
    for top in range(0, len(painted), 64):
        rows = slice(top, top + 64)
        share = strength[rows, :, None]
        painted[rows] = image[rows] * (1 - share) + colours[rows] * share + 0.5
    return painted


Axes = Any
"""matplotlib's Axes, whose methods have no types to rely on."""

INK = "#222222"
SOFT = "#666666"
FAINT = "#dddddd"
TEXT = 9.0
SMALL = 7.5
BESIDE = {"va": "center", "fontsize": SMALL, "color": INK}
"""Of what is written beside a dot or a bar."""


def new_figure(width: float, height: float, title: str = "") -> Figure:
    """Returns an empty figure of that many inches."""
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06)
    figure = Figure((width, height), facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(letters(title), fontsize=TEXT + 2, color=INK, parse_math=False)
    return figure


DOTS_PER_INCH = 200


def save(figure: Figure, file: Path) -> None:
    """Writes ``file`` whole, as a PNG of ``DOTS_PER_INCH``."""
    with write_whole(file) as aside:
        # Instead of zlib's 6: less than half of the time, for 4 % more bytes.
        how = {"compress_level": 4}
        figure.savefig(aside, dpi=DOTS_PER_INCH, format="png", pil_kwargs=how)


def show(axes: Axes, image: Image, title: str = "", pixels: bool = False) -> None:
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


def shrink(image: Image, longest: int = 900) -> Image:
    """Returns ``image`` (h, w, 3) with no side above ``longest`` pixels."""
    height, width = image.shape[:2]
    factor = longest / max(height, width)
    if factor >= 1:
        return image
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(PIL.Image.fromarray(image).resize(size, PIL.Image.Resampling.BOX))


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
