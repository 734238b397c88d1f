"""Polygons in space, for the demo set: metres, x forward, y left, z up."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Point = tuple[float, float, float]
Colour = tuple[float, float, float]

BLACK: Colour = (0.05, 0.05, 0.055)
CLADDING: Colour = (0.13, 0.13, 0.135)
LAMP: Colour = (0.80, 0.83, 0.86)
PLATE: Colour = (0.88, 0.90, 0.93)
RED: Colour = (0.62, 0.04, 0.05)
SILVER: Colour = (0.62, 0.63, 0.65)


class Part(NamedTuple):
    """Polygons of one colour that are drawn together.

    Attributes:
        polygons: corners (count, corners, 3), anticlockwise seen from outside.
        colour: RGB, 0..1.
        gloss: how much of the studio it mirrors, 0..1.
        order: parts with a higher one are drawn later.
        opacity: below 1 for glass.
        inside: seen through the glass only.
        side: 1 (left) or -1: drawn first of all where that side faces away.
    """

    polygons: Array
    colour: Colour
    gloss: float
    order: int
    opacity: float = 1.0
    inside: bool = False
    side: int = 0


def quads(grid: Array, centre: Point) -> Array:
    """Returns the quadrilaterals (n, 4, 3) of a grid (rows, columns, 3)."""
    corners = [grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]]
    return outward(np.stack(corners, axis=2).reshape(-1, 4, 3), centre)


def outward(polygons: Array, centre: Point) -> Array:
    """Returns (n, corners, 3) with every polygon turned away from ``centre``."""
    following = np.roll(polygons, -1, axis=1)
    normals = np.cross(polygons, following).sum(axis=1)
    away = np.sum(normals * (polygons.mean(axis=1) - centre), axis=1)
    return np.where((away < 0)[:, None, None], polygons[:, ::-1], polygons)


def patch(
    surface: Callable[[Array, Array], Array],
    first: tuple[float, float],
    second: tuple[float, float],
) -> Array:
    """Returns one polygon (1, 20, 3): a rectangle laid onto a surface."""
    steps, ones = np.linspace(0, 1, 6)[:-1], np.ones(5)
    a = np.concatenate([steps, ones, 1 - steps, 0 * ones])
    b = np.concatenate([0 * ones, steps, ones, 1 - steps])
    points = surface(
        first[0] + a * (first[1] - first[0]), second[0] + b * (second[1] - second[0])
    )
    return outward(points[None], (0.0, 0.0, 0.5))


def ring(x: float, z: float, radius: float, corners: int) -> Array:
    """Returns a closed circle (corners + 1, 2) in the plane of x and z."""
    turn = np.arange(corners + 1) * 2 * np.pi / corners
    return np.stack([x + radius * np.sin(turn), z + radius * np.cos(turn)], axis=-1)


def at(outline: Array, y: float) -> Array:
    """Returns the points (..., 3) of an outline (..., 2) in the plane of ``y``."""
    return np.insert(outline, 1, y, axis=-1)


def box(centre: Point, size: Point) -> Array:
    """Returns the six sides (6, 4, 3) of a box."""
    turn = (np.arange(5) + 0.5) * np.pi / 2
    outline = np.stack([np.cos(turn) * size[0], np.sin(turn) * size[2]], -1) / 2**0.5
    ends = np.stack([at(outline, -size[1] / 2), at(outline, size[1] / 2)]) + centre
    return np.concatenate([quads(ends, centre), outward(ends[:, :4], centre)])
