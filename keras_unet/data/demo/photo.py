"""Photographs of a car on the studio's turntable, with exact masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from keras_unet import types
from keras_unet.data.demo.shapes import Array, Colour, Part
from keras_unet.types import Mask

Float = npt.NDArray[np.float32]

FINER = 3
"""Pixels drawn across one of the image: with 9 of them no mask pixel is a tie."""


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
    """A part of the image, and where it shows the points of a model."""

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
    """Paints an image with transparency onto a frame of the scene (h, w, 3)."""
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
    image: Float = scene.astype(np.float32)
    everywhere = Frame(slice(0, height), slice(0, width), np.zeros((0, 2)))
    lay(image, _draw_fittings(studio, size), everywhere)
    return image


def _draw_fittings(studio: Studio, size: tuple[int, int]) -> Image.Image:
    """Returns the sign on the wall and the turntable's edge as RGBA."""
    fine = (size[0] * FINER, size[1] * FINER)
    image = Image.new("RGBA", (fine[1], fine[0]))
    draw = ImageDraw.Draw(image)
    low, high = studio.project(np.array([[0, 5.5, 0.75], [0, 5.5, 1.75]]), fine)[:, 1]
    font = ImageFont.load_default(1.35 * (low - high))
    middle = (fine[1] / 2, (low + high) / 2)
    draw.text(middle, "KERAS  U-NET", (70, 72, 78, 215), font, anchor="mm")
    turn = np.linspace(0, 2 * np.pi, 120)
    circle = np.stack([3.1 * np.cos(turn), 3.1 * np.sin(turn), 0 * turn], axis=1)
    outline = studio.project(circle, fine)[:, :2].ravel().tolist()
    draw.line(outline, (60, 62, 66, 110), width=max(1, fine[1] // 480))
    return image.reduce(FINER)


Order = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Model(NamedTuple):
    """All polygons of a car behind one another, ready to be turned.

    ``starts`` and ``counts`` say which of ``points`` belong to which polygon; all
    that follows has a row for each polygon.
    """

    points: Array
    starts: Order
    counts: Order
    normals: Array
    centres: Array
    colours: Array
    gloss: Array
    opacity: Array
    order: Array
    side: Array
    inside: Flags


def join(parts: Sequence[Part]) -> Model:
    """Returns the parts as one model."""
    sizes = [len(part.polygons) for part in parts]
    corners = [part.polygons.shape[1] for part in parts]
    counts = np.repeat(corners, sizes)
    following = [np.roll(part.polygons, -1, axis=1) for part in parts]
    normals = np.concatenate(
        [
            np.cross(part.polygons, after).sum(axis=1)
            for part, after in zip(parts, following, strict=True)
        ]
    )
    length = np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return Model(
        points=np.concatenate([part.polygons.reshape(-1, 3) for part in parts]),
        starts=np.cumsum(counts) - counts,
        counts=counts,
        normals=normals / length,
        centres=np.concatenate([part.polygons.mean(axis=1) for part in parts]),
        colours=np.repeat([part.colour for part in parts], sizes, axis=0),
        gloss=np.repeat([part.gloss for part in parts], sizes),
        opacity=np.repeat([part.opacity for part in parts], sizes),
        order=np.repeat([float(part.order) for part in parts], sizes),
        side=np.repeat([float(part.side) for part in parts], sizes),
        inside=np.repeat([part.inside for part in parts], sizes),
    )


def photograph(
    model: Model, turn: float, studio: Studio, backdrop: Float, noise: Float
) -> tuple[types.Image, Mask]:
    """Returns the image (h, w, 3) and the mask 0/1 (h, w) of a car.

    Args:
        model: the car.
        turn: angle of the turntable: 0 shows the nose, π / 2 has it on the left.
        studio: the place that ``draw_backdrop`` drew.
        backdrop: the studio without a car (h, w, 3), 0..255.
        noise: added to the image (h, w, 1).
    """
    turned, camera = _turn(model, turn), studio.camera()
    colours = _shade(turned, studio)
    scene, size = backdrop.copy(), (backdrop.shape[0], backdrop.shape[1])
    _darken_floor(scene, turned.points, studio)
    _mirror(scene, turned, colours, studio)
    frame = frame_around(studio.project(turned.points, size), size)
    paint = np.column_stack([colours, turned.opacity])
    seen = _paint_order(turned, camera, turned.inside)
    behind = _draw(turned, paint, seen, frame, FINER)
    seen = _paint_order(turned, camera, ~turned.inside)
    car = _draw(turned, paint, seen, frame, FINER)
    covered = car.getchannel("A").point([0] + [255] * 255)
    # Linings seen edge on would stick out of the car by a fine pixel.
    behind.putalpha(ImageChops.darker(behind.getchannel("A"), covered))
    lay(scene, Image.alpha_composite(behind, car).reduce(FINER), frame)
    mask: Mask = np.zeros(size, np.uint8)
    mask[frame.rows, frame.columns] = np.asarray(covered.reduce(FINER)) > 127
    return np.clip(scene + noise + 0.5, 0, 255).astype(np.uint8), mask


def _turn(model: Model, turn: float) -> Model:
    cos, sin = np.cos(turn), np.sin(turn)
    # The rows are where the car's forward, left and up point to in the studio.
    axes = np.array([[-sin, -cos, 0.0], [cos, -sin, 0.0], [0.0, 0.0, 1.0]])
    return model._replace(
        points=model.points @ axes,
        normals=model.normals @ axes,
        centres=model.centres @ axes,
        # A mirror on the side that faces away is drawn before everything else.
        order=np.where(model.side * -sin > 0.1, -1.0, model.order),
    )


def _shade(model: Model, studio: Studio) -> Array:
    """Returns the polygons' colours (n, 3), 0..1, under a wide light from above."""
    x, y, z = model.normals.T
    light = 0.50 + 0.22 * z + 0.20 * np.clip(z, 0, 1) ** 2 + 0.25 * np.clip(-y, 0, 1)
    light += 0.10 * studio.light * x
    view = studio.camera() - model.centres
    view /= np.linalg.norm(view, axis=1, keepdims=True)
    facing = np.sum(view * model.normals, axis=1)
    seen = 2 * facing * z - view[:, 2]
    around = np.interp(seen, [-1, -0.15, 0.05, 0.3, 0.55, 0.7, 1], _AROUND)
    mirrors = model.gloss * (0.24 + 0.6 * (1 - np.clip(facing, 0, 1)) ** 3)
    glow = (mirrors * around)[:, None]
    matt = light - 0.4 * mirrors
    colours: Array = np.clip(model.colours * matt[:, None] + glow, 0, 1)
    return colours


_AROUND = [0.25, 0.45, 0.55, 0.8, 1.25, 0.9, 0.8]
"""What a mirror sees from the floor (-1) over the wall to the ceiling's light (1)."""


def _paint_order(model: Model, eye: Array, chosen: Flags) -> Order:
    """Returns which polygons ``eye`` sees, the far ones first."""
    sight = eye - model.centres
    shown = chosen & (np.sum(sight * model.normals, axis=1) > 0)
    order: Order = np.lexsort((-np.sum(sight**2, axis=1), model.order))
    visible: Order = order[shown[order]]
    return visible


def _draw(
    model: Model,
    paint: Array,
    polygons: Order,
    frame: Frame,
    finer: int,
) -> Image.Image:
    """Returns a frame of RGBA with polygons in ``paint`` (n, 4), one over the other."""
    height = frame.rows.stop - frame.rows.start
    width = frame.columns.stop - frame.columns.start
    image = Image.new("RGBA", (width * finer, height * finer))
    draw = ImageDraw.Draw(image)
    corners = (frame.points * finer - 0.5).ravel().tolist()
    fills = np.rint(paint * 255).astype(int).tolist()
    starts = (2 * model.starts).tolist()
    ends = (2 * (model.starts + model.counts)).tolist()
    for polygon in polygons.tolist():
        outline = corners[starts[polygon] : ends[polygon]]
        draw.polygon(outline, fill=tuple(fills[polygon]))
    return image


def _mirror(scene: Float, model: Model, colours: Array, studio: Studio) -> None:
    """Paints the car's image in the floor onto the scene."""
    size, flip = (scene.shape[0], scene.shape[1]), np.array([1, 1, -1])
    frame = frame_around(studio.project(model.points * flip, size), size)
    opacity = studio.mirror * np.exp(-np.maximum(model.centres[:, 2], 0) / 0.6)
    chosen = ~model.inside & (model.order < 20)
    seen = _paint_order(model, studio.camera() * flip, chosen)
    image = _draw(model, np.column_stack([colours, opacity]), seen, frame, 1)
    lay(scene, image.filter(ImageFilter.BoxBlur(1 + size[1] // 400)), frame)


def _darken_floor(scene: Float, points: Array, studio: Studio) -> None:
    """Paints the shadow of a car onto the scene, at a third of its size."""
    size = (scene.shape[0], scene.shape[1])
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    reach = points[:, :2] @ np.stack([np.cos(turn), np.sin(turn)])
    ground = points[reach.argmax(axis=0)] * [0.97, 0.97, 0]
    small = (max(1, size[0] // 3), max(1, size[1] // 3))
    outline = studio.project(ground, small)[:, :2].ravel().tolist()
    left = np.ones(small, np.float32)
    for blur, strength in [(0.008, 0.5), (0.04, 0.4)]:
        shadow = Image.new("L", (small[1], small[0]))
        ImageDraw.Draw(shadow).polygon(outline, fill=round(255 * strength))
        soft = shadow.filter(ImageFilter.GaussianBlur(small[1] * blur))
        left *= 1 - np.asarray(soft, np.float32) / 255
    light = Image.fromarray(left).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    scene *= np.asarray(light)[..., None]
