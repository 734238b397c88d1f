"""The studio of the demo set: camera, wall, sign, floor and turntable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Array = npt.NDArray[np.float64]
Float = npt.NDArray[np.float32]
Colour = tuple[float, float, float]

FINER = 3
"""Pixels drawn across one of the picture: with 9 of them no mask pixel is a tie."""


@dataclass(frozen=True)
class Studio:
    """Where a car is photographed: metres, tones 0..1, angles in radians.

    Attributes:
        light: where the wall is brightest, -1 (left) to 1 (right).
        mirror: how strongly the floor mirrors the car.
    """

    wall: Colour
    floor: Colour
    light: float
    mirror: float
    distance: float
    height: float
    pitch: float
    zoom: float

    def camera(self) -> Array:
        """Returns the camera's place; the turntable's centre is the origin."""
        return np.array([0.0, -self.distance, self.height])

    def project(self, points: Array, size: tuple[int, int]) -> Array:
        """Returns (n, 3): column, row and depth of world points (n, 3)."""
        away = points - self.camera()
        cos, sin = np.cos(self.pitch), np.sin(self.pitch)
        depth = away[:, 1] * cos - away[:, 2] * sin
        rise = away[:, 1] * sin + away[:, 2] * cos
        # 1.5 is the shape of the photos: other shapes show more wall, not a bent car.
        scale = self.zoom * min(size[1], 1.5 * size[0])
        column = size[1] / 2 + scale * away[:, 0] / depth
        return np.stack([column, size[0] / 2 - scale * rise / depth, depth], axis=1)


class Frame(NamedTuple):
    """A part of the picture, and where it shows the points of a model."""

    rows: slice
    columns: slice
    points: Array


def frame_around(points: Array, size: tuple[int, int]) -> Frame:
    """Returns the smallest frame around projected points (n, 3)."""
    low = np.floor(points[:, :2].min(axis=0)).astype(int) - 1
    high = np.ceil(points[:, :2].max(axis=0)).astype(int) + 2
    left, top = np.clip(low, 0, [size[1] - 1, size[0] - 1]).tolist()
    right, bottom = np.clip(high, [left + 1, top + 1], [size[1], size[0]]).tolist()
    return Frame(slice(top, bottom), slice(left, right), points[:, :2] - [left, top])


def lay(scene: Float, layer: Image.Image, frame: Frame) -> None:
    """Paints a picture with transparency onto a frame of the scene (h, w, 3)."""
    pixels = np.asarray(layer, np.float32)
    below = scene[frame.rows, frame.columns]
    below += pixels[..., 3:] / 255 * (pixels[..., :3] - below)


def draw_backdrop(studio: Studio, size: tuple[int, int]) -> Float:
    """Returns the empty studio (h, w, 3), 0..255: wall, sign, floor and turntable."""
    height, width = size
    across = np.linspace(-1, 1, width)
    down = np.arange(height)[:, None]
    edge = studio.project(np.array([[0.0, 5.5, 0.0]]), size)[0, 1]
    edge = edge + 0.04 * height * across**2
    pool = np.exp(-((across - 0.5 * studio.light) ** 2) / 1.2)
    wall = 0.86 + 0.14 * pool - 0.05 * (down / height) ** 2
    floor = 0.82 + 0.14 * pool + 0.10 * (down - edge) / height
    share = np.clip((down - edge) / (0.03 * height) + 0.5, 0, 1)[..., None]
    scene = (1 - share) * wall[..., None] * studio.wall
    scene = (scene + share * floor[..., None] * studio.floor) * 255
    picture: Float = scene.astype(np.float32)
    everywhere = Frame(slice(0, height), slice(0, width), np.zeros((0, 2)))
    lay(picture, _draw_fittings(studio, size), everywhere)
    return picture


def _draw_fittings(studio: Studio, size: tuple[int, int]) -> Image.Image:
    """Returns the sign on the wall and the turntable's edge as RGBA."""
    fine = (size[0] * FINER, size[1] * FINER)
    picture = Image.new("RGBA", (fine[1], fine[0]))
    draw = ImageDraw.Draw(picture)
    low, high = studio.project(np.array([[0, 5.5, 0.75], [0, 5.5, 1.75]]), fine)[:, 1]
    font = ImageFont.load_default(1.35 * (low - high))
    middle = (fine[1] / 2, (low + high) / 2)
    draw.text(middle, "KERAS  U-NET", (70, 72, 78, 215), font, anchor="mm")
    turn = np.linspace(0, 2 * np.pi, 120)
    circle = np.stack([3.1 * np.cos(turn), 3.1 * np.sin(turn), 0 * turn], axis=1)
    outline = studio.project(circle, fine)[:, :2].ravel().tolist()
    draw.line(outline, (60, 62, 66, 110), width=max(1, fine[1] // 480))
    return picture.reduce(FINER)
