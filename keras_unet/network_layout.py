"""Where the boxes of a drawn U lie, every size and width read from the model itself."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

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
