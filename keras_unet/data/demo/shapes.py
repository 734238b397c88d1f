"""Polygons in space and the surfaces of seven kinds of car, for the demo set.

Metres: x forward, y to the car's left, z up; ``along`` runs from 0 (nose) to 1 (tail).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

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


SHOULDER = 0.85
"""Share of the half width at the upper edge of the lower body."""


@dataclass(frozen=True)
class Body:
    """The numbers of a body: lengths in metres, places ``along`` the car.

    Attributes:
        top: heights of bonnet, belt line and boot at ``top_at``.
        roof: where the windscreen begins, the roof begins and ends, the glass ends.
        pillars: places of the upright pillars between the side windows.
    """

    length: float
    width: float
    height: float
    clearance: float
    wheel_radius: float
    wheels_at: tuple[float, float]
    top_at: tuple[float, ...]
    top: tuple[float, ...]
    roof: tuple[float, float, float, float]
    pillars: tuple[float, ...]
    is_pickup: bool = False
    is_clad: bool = False

    def top_height(self, along: Array) -> Array:
        """Returns the height of bonnet, belt line and boot."""
        return _smooth(along, self.top_at, self.top, 0.02)

    def bottom_height(self, along: Array) -> Array:
        """Returns the height of the body's lower edge."""
        return self.clearance + 0.10 * np.abs(2 * along - 1) ** 8

    def half_width(self, along: Array) -> Array:
        """Returns half the width, seen from above."""
        return self.width / 2 * (1 - 0.10 * np.abs(2 * along - 1) ** 5)

    def roof_height(self, along: Array) -> Array:
        """Returns the height of windscreen, roof and rear window."""
        first, front, rear, last = self.roof
        low, high = self.top_height(np.array([first, last])), self.height - 0.035
        middle = (front + rear) / 2
        at = (2 * first - front, first, front, middle, rear, last, 2 * last - rear)
        tops = (2 * low[0] - high, low[0], high, self.height, high, low[1])
        return np.maximum(
            _smooth(along, at, (*tops, 2 * low[1] - high), 0.035),
            self.top_height(along) + 1e-3,
        )

    def place(self, along: Array, y: Array, z: Array) -> Array:
        """Returns points (..., 3) of the lower body, its ends bowed and leaning."""
        along, y, z = np.broadcast_arrays(along, y, z)
        low, high = self.bottom_height(along), self.top_height(along)
        rise = np.clip((z - low) / (high - low), 0, 1)
        end = np.abs(2 * along - 1) ** 4 * np.sign(0.5 - along)
        bow = 0.26 * (y / self.half_width(along)) ** 2
        lean = 0.16 * np.clip(rise - 0.45, 0, 1) + 0.05 * np.clip(0.3 - rise, 0, 1)
        x = (0.5 - along) * self.length - end * (bow + lean)
        return np.stack([x, y, z], axis=-1)

    def flank(self, along: Array, z: Array, side: int) -> Array:
        """Returns points of the lower body's left (1) or right (-1) side."""
        low, high = self.bottom_height(along), self.top_height(along)
        rise = np.clip((z - low) / (high - low), 0, 1)
        width = self.half_width(along) * _bulge(rise)
        return self.place(along, side * width, z)

    def lid(self, along: Array, share: Array) -> Array:
        """Returns points of bonnet and boot; ``share`` of the half width, -1..1."""
        y = share * SHOULDER * self.half_width(along)
        return self.place(along, y, self.top_height(along) + 0.05 * (1 - share**2))

    def end(self, share: Array, rise: Array, front: bool) -> Array:
        """Returns points of nose or tail; ``share`` -1..1 across, ``rise`` 0..1 up."""
        share, rise = np.broadcast_arrays(share, rise)
        along = np.full(share.shape, 0.0 if front else 1.0)
        low, high = self.bottom_height(along), self.top_height(along)
        y = share * _bulge(rise) * self.half_width(along)
        z = low + rise * (high - low + 0.05 * (1 - share**2))
        return self.place(along, y, z)

    def cabin_side(self, along: Array, z: Array, side: int) -> Array:
        """Returns points of the side windows' surface."""
        belt = self.top_height(along)
        lean = 0.24 * (z - belt) / (self.height - 1.0)
        y = 0.93 * self.half_width(along) - lean * 0.8
        return self._bow_glass(along, np.ones_like(y), side * y, z)

    def cabin_top(self, along: Array, share: Array, up: float = 0) -> Array:
        """Returns points of windscreen, roof and rear window; ``share`` -1..1."""
        along, share = np.broadcast_arrays(along, share)
        high = self.roof_height(along)
        edge = self.cabin_side(along, high, 1)[..., 1]
        cabin_height = high - self.top_height(along)
        crown = 0.05 * (1 - share**2) * np.minimum(1, 4 * cabin_height)
        return self._bow_glass(along, share, share * edge, high + crown + up)

    def _bow_glass(self, along: Array, share: Array, y: Array, z: Array) -> Array:
        first, front, rear, last = self.roof
        ahead = 0.16 * np.clip((front - along) / (front - first), 0, 1)
        behind = 0.20 * np.clip((along - rear) / (last - rear), 0, 1)
        x = (0.5 - along) * self.length + ahead * (1 - share**2) + behind * share**2
        return np.stack([x, y, z], axis=-1)


_SEDAN = Body(
    length=4.75,
    width=1.84,
    height=1.45,
    clearance=0.20,
    wheel_radius=0.335,
    wheels_at=(0.195, 0.785),
    top_at=(0.0, 0.04, 0.14, 0.27, 0.5, 0.8, 0.96, 1.0),
    top=(0.66, 0.74, 0.84, 0.93, 0.95, 1.0, 1.0, 0.93),
    roof=(0.26, 0.43, 0.68, 0.86),
    pillars=(0.49, 0.68),
)
BODIES = {
    "sedan": _SEDAN,
    "wagon": replace(
        _SEDAN, roof=(0.26, 0.42, 0.90, 0.975), pillars=(0.48, 0.68, 0.80)
    ),
    "coupe": replace(
        _SEDAN,
        length=4.5,
        width=1.88,
        height=1.33,
        clearance=0.16,
        wheel_radius=0.35,
        top=(0.62, 0.69, 0.78, 0.88, 0.9, 0.98, 0.99, 0.92),
        roof=(0.31, 0.49, 0.62, 0.90),
        pillars=(0.66,),
    ),
    "hatch": replace(
        _SEDAN,
        length=4.05,
        width=1.76,
        height=1.5,
        top=(0.68, 0.78, 0.88, 0.96, 0.98, 1.02, 1.03, 0.98),
        roof=(0.23, 0.40, 0.875, 0.975),
        pillars=(0.52, 0.77),
    ),
    "suv": replace(
        _SEDAN,
        length=4.65,
        width=1.92,
        height=1.74,
        clearance=0.27,
        wheel_radius=0.38,
        top=(0.82, 0.94, 1.04, 1.10, 1.11, 1.13, 1.14, 1.08),
        roof=(0.25, 0.39, 0.895, 0.975),
        pillars=(0.49, 0.68),
        is_clad=True,
    ),
    "van": replace(
        _SEDAN,
        length=4.95,
        width=1.98,
        height=1.88,
        clearance=0.22,
        wheels_at=(0.175, 0.79),
        top_at=(0.0, 0.03, 0.09, 0.18, 0.5, 0.8, 0.97, 1.0),
        top=(0.74, 0.86, 0.99, 1.09, 1.09, 1.09, 1.08, 1.02),
        roof=(0.15, 0.35, 0.925, 0.98),
        pillars=(0.42, 0.67),
    ),
    "pickup": replace(
        _SEDAN,
        length=5.35,
        width=1.95,
        height=1.83,
        clearance=0.31,
        wheel_radius=0.40,
        wheels_at=(0.185, 0.775),
        top=(0.92, 1.02, 1.10, 1.15, 1.16, 1.16, 1.16, 1.14),
        roof=(0.25, 0.37, 0.565, 0.60),
        pillars=(0.44,),
        is_pickup=True,
    ),
}


def vary(body: Body, rng: np.random.Generator) -> Body:
    """Returns a body of the same kind with sizes drawn by lot."""
    long, wide, high, wheel = rng.uniform(0.96, 1.04, 4)
    ends = rng.uniform(-0.015, 0.015, 2)
    first, front, rear, last = body.roof
    return replace(
        body,
        length=body.length * long,
        width=body.width * wide,
        height=body.height * (1 + (high - 1) / 2),
        wheel_radius=body.wheel_radius * wheel,
        roof=(first, front + ends[0], rear + min(ends[1], 0.0), last),
    )


def _bulge(rise: Array) -> Array:
    """Returns the share of the half width at a share of the height."""
    up = rise / 0.45 - 1
    return 1 - np.where(up < 0, 0.10 * up**2, (1 - SHOULDER) * (up * 0.45 / 0.55) ** 3)


def _smooth(at: Array, places: Any, heights: Any, reach: float) -> Array:
    shifts = np.linspace(-reach, reach, 7)
    lines = [np.interp(at + shift, places, heights) for shift in shifts]
    smooth: Array = np.stack(lines).mean(axis=0)
    return smooth
