"""A network of this package drawn as a U.

After figure 1 of Ronneberger, Fischer, Brox, https://arxiv.org/abs/1505.04597. Every
size and width is read from the model itself.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from keras_unet.figures import canvas
from keras_unet.figures.canvas import Axes, Colour

Shape = tuple[int, int, int]

# Inches on paper: the largest box, and the spaces between boxes and between levels.
TALLEST, WIDEST, THINNEST = 1.7, 0.62, 0.06
GAP, LEVEL_GAP = 0.48, 0.5


@dataclass(frozen=True)
class Box:
    """One stack of feature maps as drawn; lengths in inches.

    Attributes:
        layer: the layer whose output it is.
        shape: height, width and channels of the maps.
        left: its left side.
        middle: the middle of its height.
        width: its width, which stands for the channels.
        height: its height, which stands for the size.
        copied: the part of its width that came over the skip.
    """

    layer: str
    shape: Shape
    left: float
    middle: float
    width: float
    height: float
    copied: float = 0.0

    @property
    def right(self) -> float:
        """Its right side."""
        return self.left + self.width

    @property
    def own(self) -> float:
        """The middle of the part that was not copied."""
        return (self.left + self.copied + self.right) / 2

    @property
    def top(self) -> float:
        """Its upper side."""
        return self.middle + self.height / 2

    @property
    def bottom(self) -> float:
        """Its lower side."""
        return self.middle - self.height / 2


def feature_shapes(model: keras.Model, image_size: tuple[int, int]) -> dict[str, Shape]:
    """Returns every layer's output (h, w, c) for an image of that height and width."""
    probe = keras.Model(model.inputs, [layer.output for layer in model.layers])
    image = tf.TensorSpec((1, *image_size, model.inputs[0].shape[-1]))
    trace = tf.function(probe).get_concrete_function(image, training=False)
    return {
        layer.name: tuple(output.shape[1:])
        for layer, output in zip(model.layers, trace.structured_outputs, strict=True)
    }


def _rows(shapes: Mapping[str, Shape]) -> tuple[list[list[str]], list[list[str]]]:
    """Returns the layers to draw: down the left side with the bottom, up the right."""
    depth = sum(bool(re.fullmatch(r"down\d+_pool", name)) for name in shapes)
    start = ["image", *(name for name in ("border", "stem") if name in shapes)]
    left = [start] + [[f"down{level}_pool"] for level in range(depth)]
    for level, row in enumerate(left):
        name = f"down{level}" if level < depth else "bottom"
        row += [f"{name}_conv1", f"{name}_conv2"]
    right = [
        [f"up{level}_skip", f"up{level}_conv1", f"up{level}_conv2"]
        for level in reversed(range(depth))
    ]
    ends = ("logits", "logits_resize", "logits_crop")
    right[-1] += [name for name in ends if name in shapes]
    for row in (left[0], right[-1]):
        _leave_out_idle(row, shapes)
    return left, right


def _leave_out_idle(row: list[str], shapes: Mapping[str, Shape]) -> None:
    for before, name in list(itertools.pairwise(row)):
        if name in ("border", "logits_crop") and shapes[before] == shapes[name]:
            row.remove(name)


def place(shapes: Mapping[str, Shape]) -> tuple[list[list[Box]], list[list[Box]]]:
    """Returns the rows of boxes: down the left side with the bottom, up the right."""
    left_names, right_names = _rows(shapes)
    left, right = [], []
    start, middle = 0.0, -TALLEST / 2
    for level, names in enumerate(left_names):
        row = _place_row(names, shapes, start, middle)
        left.append(row)
        if level + 1 < len(left_names):
            below = _height(shapes[left_names[level + 1][0]], shapes)
            middle -= max(box.height for box in row) / 2 + LEVEL_GAP + below / 2
            pooled = _width(shapes[left_names[level + 1][0]][-1], shapes)
            start = row[-1].own - pooled / 2
    last = left[-1][-1]
    for names, beside in zip(right_names, left[-2::-1], strict=True):
        up = shapes[names[0].replace("_skip", "_upconv")][-1]
        copied = _width(shapes[beside[-1].layer][-1], shapes)
        start = last.own - copied - _width(up, shapes) / 2
        row = _place_row(names, shapes, start, beside[-1].middle)
        right.append(row)
        last = row[2]
    return left, right


def _place_row(
    names: Sequence[str], shapes: Mapping[str, Shape], left: float, middle: float
) -> list[Box]:
    row = []
    for name in names:
        shape = shapes[name]
        width, copied = _width(shape[-1], shapes), 0.0
        if name.endswith("_skip"):
            up = shapes[name.replace("_skip", "_upconv")][-1]
            copied = _width(shape[-1] - up, shapes)
            width = copied + _width(up, shapes)
        row.append(
            Box(name, shape, left, middle, width, _height(shape, shapes), copied)
        )
        left = row[-1].right + GAP
    return row


def _width(channels: int, shapes: Mapping[str, Shape]) -> float:
    most = max(shape[-1] for name, shape in shapes.items() if "_conv" in name)
    return max(THINNEST, WIDEST * math.sqrt(channels / most))


def _height(shape: Shape, shapes: Mapping[str, Shape]) -> float:
    # Between true to scale, where the bottom would vanish, and all alike.
    tallest = max(shape[0] for shape in shapes.values())
    return TALLEST * math.pow(shape[0] / tallest, 0.6)


ASIDE = 0.06
LETTERS, SMALLER = 10.0, 8.0

STEPS: dict[str, Colour] = {
    "conv": canvas.BLUE,
    "pool": canvas.VERMILION,
    "upconv": canvas.GREEN,
    "skip": canvas.GREY,
    "logits": canvas.MAGENTA,
    "other": canvas.ORANGE,
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
    canvas.save(figure, file)


def _draw_box(axes: Axes, box: Box) -> None:
    for left, width, face in [
        (box.left, box.copied, "white"),
        (box.left + box.copied, box.width - box.copied, canvas.unit(canvas.SKY)),
    ]:
        style: dict[str, Any] = {"fc": face, "ec": canvas.unit(canvas.BLUE), "lw": 0.8}
        axes.add_patch(Rectangle((left, box.bottom), width, box.height, **style))


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
    look = {"arrowstyle": "-|>", "linewidth": 1.6, "mutation_scale": 9}
    look |= {"color": canvas.unit(STEPS[step]), "shrinkA": 2, "shrinkB": 1}
    axes.annotate("", xy=head, xytext=tail, arrowprops=look)


def _draw_legend(
    axes: Axes, shapes: Mapping[str, Shape], steps: Collection[str]
) -> None:
    normalised = ", normalisation" if "down0_conv1_norm" in shapes else ""
    bilinear = "up0_resize" in shapes
    doubled = "stem" in shapes and "logits_resize" not in shapes
    names = {
        "conv": f"3×3 convolution{normalised}, ReLU",
        "pool": "2×2 max pooling",
        "upconv": "bilinear, 1×1 convolution" if bilinear else "2×2 up-convolution",
        "skip": "crop and copy" if "up0_crop" in shapes else "copy",
        "logits": "2×2 up-convolution to logits" if doubled else "1×1 convolution",
        "other": "mirror, resize, crop",
    }
    handles = [
        Line2D([], [], color=canvas.unit(STEPS[step]), linewidth=2, label=name)
        for step, name in names.items()
        if step in {"pool", "upconv", "skip", *steps}
    ]
    axes.legend(handles=handles, loc="lower right", fontsize=LETTERS, frameon=False)
