"""A network of this package drawn as a U.

After figure 1 of Ronneberger, Fischer, Brox, https://arxiv.org/abs/1505.04597
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import keras
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from keras_unet import canvas, paint
from keras_unet.canvas import Axes
from keras_unet.files import write_whole
from keras_unet.network_layout import Box, Shape, feature_shapes, place
from keras_unet.paint import Colour

ASIDE = 0.06
LETTERS, SMALLER = 10.0, 8.0

STEPS: dict[str, Colour] = {
    "conv": paint.BLUE,
    "pool": paint.VERMILION,
    "upconv": paint.GREEN,
    "skip": paint.GREY,
    "logits": paint.MAGENTA,
    "other": paint.ORANGE,
}


def network_figure(model: keras.Model, image_size: tuple[int, int], file: Path) -> None:
    """Writes ``file``: the U that an image of that height and width goes through."""
    shapes = feature_shapes(model, image_size)
    left, right = place(shapes)
    rows = [*left, *right]
    boxes = [box for row in rows for box in row]
    width = max(box.right for box in boxes) + 0.5
    height = 0.5 - min(box.bottom for box in boxes)
    figure = canvas.new_figure(width, height)
    axes = figure.add_subplot()
    axes.set(xlim=(-0.4, width - 0.4), ylim=(0.3 - height, 0.3), aspect="equal")
    axes.set_axis_off()
    _draw_arrows(axes, left, right)
    for row in rows:
        for before, box in zip([None, *row], row, strict=False):
            _draw_box(axes, box)
            _draw_size(axes, box, before)
    _draw_legend(axes, shapes, {_step(box.layer) for box in boxes})
    total = f"{model.count_params():,} parameters"
    axes.text(0, 0, total, transform=axes.transAxes, size=LETTERS, color=canvas.INK)
    with write_whole(file) as aside:
        canvas.save(figure, aside)


def _draw_box(axes: Axes, box: Box) -> None:
    for left, width, face in [
        (box.left, box.copied, "white"),
        (box.left + box.copied, box.width - box.copied, canvas.unit(paint.SKY)),
    ]:
        axes.add_patch(
            Rectangle(
                (left, box.bottom),
                width,
                box.height,
                facecolor=face,
                edgecolor=canvas.unit(paint.BLUE),
                linewidth=0.8,
            )
        )


def _draw_size(axes: Axes, box: Box, before: Box | None) -> None:
    """Writes channels above and, where it changed, the size below, beside arrows."""
    arrow_above = re.search(r"_pool|bottom_conv2|up[1-9]\d*_conv2", box.layer)
    axes.text(
        box.own - ASIDE if arrow_above else (box.left + box.right) / 2,
        box.top + 0.04,
        str(box.shape[-1]),
        ha="right" if arrow_above else "center",
        va="bottom",
        size=LETTERS,
        color=canvas.INK,
    )
    if before and before.shape[:2] == box.shape[:2]:
        return
    leaving = re.search(r"down\d+_conv2", box.layer)
    coming = box.layer.endswith("_skip")
    side = "left" if leaving else "right" if coming else "center"
    axes.text(
        box.own + {"left": ASIDE, "right": -ASIDE, "center": 0.0}[side],
        box.bottom - 0.04,
        f"{box.shape[0]}×{box.shape[1]}",
        ha=side,
        va="top",
        size=SMALLER,
        color=canvas.SOFT,
    )


def _draw_arrows(
    axes: Axes, left: Sequence[Sequence[Box]], right: Sequence[Sequence[Box]]
) -> None:
    for row in [*left, *right]:
        for tail, head in itertools.pairwise(row):
            points = (tail.right, tail.middle), (head.left, head.middle)
            _arrow(axes, *points, _step(head.layer))
    for above, below in itertools.pairwise(left):
        tail, head = above[-1], below[0]
        _arrow(axes, (tail.own, tail.bottom), (head.own, head.top), "pool")
    last = left[-1][-1]
    for row, beside in zip(right, left[-2::-1], strict=True):
        head, skip = row[0], beside[-1]
        _arrow(axes, (last.own, last.top), (head.own, head.bottom), "upconv")
        _arrow(axes, (skip.right, skip.middle), (head.left, head.middle), "skip")
        last = row[2]


def _step(layer: str) -> str:
    if "_conv" in layer or layer == "stem":
        return "conv"
    if layer in ("border", "logits_resize", "logits_crop"):
        return "other"
    return "logits"


def _arrow(
    axes: Axes, tail: tuple[float, float], head: tuple[float, float], step: str
) -> None:
    axes.annotate(
        "",
        xy=head,
        xytext=tail,
        arrowprops={
            "arrowstyle": "-|>",
            "color": canvas.unit(STEPS[step]),
            "linewidth": 1.6,
            "mutation_scale": 9,
            "shrinkA": 2,
            "shrinkB": 1,
        },
    )


def _draw_legend(
    axes: Axes, shapes: Mapping[str, Shape], steps: Collection[str]
) -> None:
    normalised = ", normalisation" if "down0_conv1_norm" in shapes else ""
    bilinear = "up0_resize" in shapes
    names = {
        "conv": f"3×3 convolution{normalised}, ReLU",
        "pool": "2×2 max pooling",
        "upconv": "bilinear, 1×1 convolution" if bilinear else "2×2 up-convolution",
        "skip": "crop and copy" if "up0_crop" in shapes else "copy",
        "logits": "1×1 convolution",
        "other": "mirror, resize, crop",
    }
    handles = [
        Line2D([], [], color=canvas.unit(STEPS[step]), linewidth=2, label=name)
        for step, name in names.items()
        if step in {"pool", "upconv", "skip", *steps}
    ]
    axes.legend(handles=handles, loc="lower right", fontsize=LETTERS, frameon=False)
