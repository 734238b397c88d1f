"""The parts of a car, for the demo set: shell, wheels, roof, glass and inside."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import numpy as np

from keras_unet.data.demo.shapes import (
    BLACK,
    CLADDING,
    LAMP,
    PLATE,
    RED,
    SILVER,
    Array,
    Body,
    Colour,
    Part,
    Point,
    at,
    box,
    outward,
    patch,
    quads,
    ring,
)

SIDES = (1, -1)
MIDDLE: Point = (0.0, 0.0, 0.5)


def build_shell(body: Body, paint: Colour, rng: np.random.Generator) -> list[Part]:
    """Returns the parts of a car below its windows."""
    parts = [*_shell(body, paint), *_front(body), *_rear(body), *_doors(body, paint)]
    rim = SILVER if rng.random() < 0.75 else CLADDING
    spokes = int(rng.integers(5, 8))
    for place in body.wheels_at:
        parts += _wheels(body, place, rim, spokes)
    return parts


def _shell(body: Body, paint: Colour) -> Iterator[Part]:
    along = (1 - np.cos(np.linspace(0, np.pi, 40))) / 2
    rise = np.concatenate([[0, 0.06, 0.12], np.linspace(0.2, 1, 13)])
    low, high = body.bottom_height(along), body.top_height(along)
    height = low + rise[:, None] * (high - low)
    across = np.linspace(-1, 1, 12)
    grids = [body.flank(along, height, side) for side in SIDES]
    grids += [body.lid(along, across[:, None])]
    grids += [body.end(across, rise[:, None], front) for front in (True, False)]
    mesh = [quads(grid, MIDDLE) for grid in grids]
    yield Part(np.concatenate(mesh), paint, 0.5, order=10)
    skirt = 3 if body.is_clad else 2
    colour = CLADDING if body.is_clad else BLACK
    edges = [grid[:skirt] for grid in (*grids[:2], *grids[3:])]
    mesh = [quads(grid, MIDDLE) for grid in edges]
    yield Part(np.concatenate(mesh), colour, 0.1, order=20)
    if body.is_pickup:
        yield Part(patch(body.lid, (0.63, 0.98), (-0.9, 0.9)), BLACK, 0.1, order=21)


def _front(body: Body) -> Iterator[Part]:
    nose = partial(body.end, front=True)
    low, high = (0.62, 0.84) if body.is_clad else (0.64, 0.88)
    yield Part(patch(nose, (-0.46, 0.46), (0.5, 0.76)), BLACK, 0.2, order=21)
    for rise in (0.55, 0.62, 0.69):
        bar = patch(nose, (-0.44, 0.44), (rise, rise + 0.02))
        yield Part(bar, SILVER, 0.4, order=22)
    yield Part(patch(nose, (-0.75, 0.75), (0.06, 0.24)), BLACK, 0.1, order=21)
    yield Part(patch(nose, (-0.17, 0.17), (0.30, 0.43)), PLATE, 0.1, order=22)
    yield Part(patch(nose, (-0.06, 0.06), (0.60, 0.72)), PLATE, 0.6, order=23)
    for side in SIDES:
        frame = patch(nose, (side * 0.54, side), (low, high))
        yield Part(frame, CLADDING, 0.5, order=21)
        lamp = patch(nose, (side * 0.58, side), (low + 0.03, high - 0.03))
        yield Part(lamp, LAMP, 0.5, order=22)
        yield Part(_corner(body, side, (0.0, 0.055), (low, high)), LAMP, 0.5, order=22)
        fog = patch(nose, (side * 0.6, side * 0.75), (0.12, 0.22))
        yield Part(fog, LAMP, 0.4, order=22)


def _rear(body: Body) -> Iterator[Part]:
    tail = partial(body.end, front=False)
    is_upright = body.is_clad or body.is_pickup
    low, high = (0.52, 0.96) if is_upright else (0.66, 0.92)
    inner = 0.76 if is_upright else 0.56
    yield Part(patch(tail, (-0.8, 0.8), (0.0, 0.2)), CLADDING, 0.1, order=21)
    yield Part(patch(tail, (-0.17, 0.17), (0.5, 0.64)), PLATE, 0.1, order=22)
    yield Part(patch(tail, (-0.3, 0.3), (0.68, 0.71)), SILVER, 0.5, order=22)
    yield Part(patch(tail, (-0.95, 0.95), (0.38, 0.395)), BLACK, 0.0, order=21)
    for side in SIDES:
        lamp = patch(tail, (side * inner, side), (low, high))
        yield Part(lamp, RED, 0.35, order=22)
        middle = (low + high) / 2
        glow = patch(
            tail, (side * (inner + 0.06), side * 0.94), (middle, middle + 0.06)
        )
        yield Part(glow, LAMP, 0.3, order=23)
        yield Part(_corner(body, side, (0.96, 1.0), (low, high)), RED, 0.35, order=22)


def _corner(
    body: Body, side: int, along: tuple[float, float], rise: tuple[float, float]
) -> Array:
    """Returns the polygon of a patch of the flank, given by its rise."""

    def flank(along: Array, rise: Array) -> Array:
        low, high = body.bottom_height(along), body.top_height(along)
        return body.flank(along, low + rise * (high - low), side)

    return patch(flank, along, rise)


def _doors(body: Body, paint: Colour) -> Iterator[Part]:
    gap = (paint[0] * 0.35, paint[1] * 0.35, paint[2] * 0.35)
    edges = [body.roof[0] + 0.045, *body.pillars[:2]]
    for side in SIDES:
        for edge in edges:
            line = _corner(body, side, (edge, edge + 0.004), (0.1, 0.99))
            yield Part(line, gap, 0.0, order=21)
        for edge in edges[1:]:
            grip = _corner(body, side, (edge - 0.045, edge - 0.012), (0.78, 0.82))
            yield Part(grip, gap, 0.6, order=21)
        sill = _corner(body, side, (edges[0], edges[-1]), (0.115, 0.13))
        yield Part(sill, gap, 0.0, order=21)


def _wheels(body: Body, place: float, rim: Colour, spokes: int) -> Iterator[Part]:
    x, radius = (0.5 - place) * body.length, body.wheel_radius
    bottom = float(body.bottom_height(np.array(place)))
    for side in SIDES:
        face = side * (body.width / 2 - 0.015)
        hub = (x, face - side * 0.11, radius)
        tyre = ring(hub[0], hub[2], radius, 28)
        tread = np.stack([at(tyre, face), at(tyre, face - side * 0.22)])
        yield Part(quads(tread, hub), BLACK, 0.0, order=0)
        yield Part(outward(tread, hub), BLACK, 0.0, order=0)
        arch = ring(x, radius, radius + 0.05, 40)
        arch[:, 1] = np.maximum(arch[:, 1], bottom - 0.01)
        yield Part(outward(at(arch, face)[None], hub), BLACK, 0.0, order=23)
        yield Part(outward(at(tyre, face)[None], hub), BLACK, 0.15, order=24)
        well = ring(x, radius, radius * 0.72, 24)
        shade = (rim[0] * 0.3, rim[1] * 0.3, rim[2] * 0.3)
        yield Part(outward(at(well, face)[None], hub), shade, 0.2, order=25)
        yield Part(_spokes(hub, face, radius * 0.70, spokes), rim, 0.4, order=26)


def _spokes(hub: Point, y: float, long: float, n: int) -> Array:
    """Returns the rim's spokes (n, 4, 3), widening outwards."""
    turn = np.arange(n)[:, None] * 2 * np.pi / n + np.array([-0.9, 0.9, 0.26, -0.26])
    reach = np.array([0.16, 0.16, 1.0, 1.0]) * long
    outline = np.stack(
        [hub[0] + reach * np.sin(turn), hub[2] + reach * np.cos(turn)], -1
    )
    return outward(at(outline, y), hub)


GLASS: Colour = (0.10, 0.12, 0.125)
LINING: Colour = (0.16, 0.16, 0.165)
SEATS: tuple[Colour, ...] = ((0.10, 0.10, 0.11), (0.50, 0.45, 0.38), (0.33, 0.33, 0.35))


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
            rail = partial(body.cabin_top, up=0.006)
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
