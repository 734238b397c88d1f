"""The upper car, for the demo set: roof, glass, mirrors and what the glass shows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from keras_unet.data.demo.body import Body
from keras_unet.data.demo.mesh import (
    BLACK,
    Array,
    Colour,
    Part,
    Point,
    box,
    outward,
    patch,
    quads,
)

GLASS: Colour = (0.10, 0.12, 0.125)
LINING: Colour = (0.16, 0.16, 0.165)
SEATS: tuple[Colour, ...] = ((0.10, 0.10, 0.11), (0.50, 0.45, 0.38), (0.33, 0.33, 0.35))
SIDES = (1, -1)


def build_cabin(body: Body, paint: Colour, rng: np.random.Generator) -> list[Part]:
    """Returns the parts of a car from the window sill up."""
    seats = SEATS[rng.integers(len(SEATS))]
    tint = float(rng.uniform(0.72, 0.9) if body.is_clad else rng.uniform(0.4, 0.7))
    return [*_cabin(body, paint), *_glass(body, tint), *_inside(body, seats)]


def _cabin_mesh(body: Body) -> Array:
    along = np.linspace(body.roof[0], body.roof[3], 36)
    belt, high = body.top_height(along), body.roof_height(along)
    height = belt + np.linspace(0, 1, 7)[:, None] * (high - belt)
    grids = [body.cabin_side(along, height, side) for side in SIDES]
    grids += [body.cabin_top(along, np.linspace(-1, 1, 12)[:, None])]
    return np.concatenate([quads(grid, _middle(body)) for grid in grids])


def _middle(body: Body) -> Point:
    return ((0.5 - (body.roof[0] + body.roof[3]) / 2) * body.length, 0.0, 0.7)


def _cabin(body: Body, paint: Colour) -> Iterator[Part]:
    yield Part(_cabin_mesh(body), paint, 0.5, order=30)
    place = np.array(body.roof[0] + 0.075)
    belt, half = float(body.top_height(place)), float(body.half_width(place))
    for side in SIDES:
        x, y = (0.5 - float(place)) * body.length, side * (half - 0.02)
        shell = box((x, y, belt + 0.09), (0.12, 0.30, 0.15))
        yield Part(shell, paint, 0.5, order=40, side=side)
        if body.is_clad:

            def rail(along: Array, share: Array) -> Array:
                return body.cabin_top(along, share, up=0.006)

            ends = (body.roof[1] + 0.04, body.roof[2] - 0.02)
            strip = patch(rail, ends, (side * 0.84, side * 0.9))
            yield Part(strip, BLACK, 0.3, order=33)


def _glass(body: Body, tint: float) -> Iterator[Part]:
    panes = [(pane, 0.5) for pane in _screens(body)]
    panes += [
        (pane, 0.45 if number == 0 else tint)
        for side in SIDES
        for number, pane in enumerate(_windows(body, side))
    ]
    for pane, opacity in panes:
        yield Part(pane, GLASS, 0.55, order=31, opacity=opacity)
        yield Part(pane[:, ::-1], GLASS, 0.0, order=1, opacity=opacity / 3, inside=True)


def _screens(body: Body) -> Iterator[Array]:
    """Yields windscreen and rear window."""
    first, front, rear, last = body.roof
    wind = (first + 0.12 * (front - first), first + 0.9 * (front - first))
    back = (rear + 0.16 * (last - rear), rear + 0.76 * (last - rear))
    for ends, half in [(wind, 0.9), (back, 0.84)]:
        yield patch(body.cabin_top, ends, (-half, half))


def _windows(body: Body, side: int) -> Iterator[Array]:
    """Yields the side windows, front to rear."""
    edges = [body.roof[0], *body.pillars, body.roof[3]]
    for start, end in pairwise(edges):
        along = np.linspace(start + 0.006, end - 0.006, 40)
        low = body.top_height(along) + 0.035
        high = body.roof_height(along) - 0.09
        along, low, high = (line[high > low + 0.03] for line in (along, low, high))
        if len(along) < 4:
            continue
        outline = np.concatenate([along, along[::-1]])
        height = np.concatenate([low, high[::-1]])
        yield outward(body.cabin_side(outline, height, side)[None], _middle(body))


def _inside(body: Body, seats: Colour) -> Iterator[Part]:
    yield Part(_cabin_mesh(body)[:, ::-1], LINING, 0.0, order=0, inside=True)
    ends = (body.roof[0] + 0.01, body.roof[3] - 0.01)
    sill = patch(body.cabin_top, ends, (-0.9, 0.9))
    sill[..., 2] = body.top_height(np.array(body.roof[1]))
    yield Part(sill, BLACK, 0.0, order=2, inside=True)
    for place in (body.pillars[0] + 0.02, body.pillars[-1] + 0.03):
        x = (0.5 - place) * body.length
        height = float(body.top_height(np.array(place)))
        if body.roof_height(np.array(place)) < height + 0.35:
            continue
        for side in SIDES:
            y = side * 0.2 * body.width
            back = box((x, y, height + 0.06), (0.16, 0.46, 0.22))
            head = box((x, y, height + 0.24), (0.10, 0.26, 0.14))
            yield Part(back, seats, 0.0, order=3, inside=True)
            yield Part(head, seats, 0.0, order=3, inside=True)
