import numpy as np
import pytest

from keras_unet.data.demo.shapes import BODIES, box, vary


@pytest.mark.parametrize("kind", BODIES)
def test_a_body_stands_on_its_wheels_below_its_height(kind):
    body, along = BODIES[kind], np.linspace(0, 1, 50)
    bottom, top = body.bottom_height(along), body.top_height(along)
    assert (bottom > 0).all()
    assert (bottom < top).all()
    assert top.max() < body.height


def test_a_box_turns_all_its_sides_outwards():
    polygons = box((1.0, 2.0, 3.0), (2.0, 4.0, 6.0))
    assert len(polygons) == 6
    following = np.roll(polygons, -1, axis=1)
    normals = np.cross(polygons, following).sum(axis=1)
    outwards = polygons.mean(axis=1) - np.array([1.0, 2.0, 3.0])
    assert (np.sum(normals * outwards, axis=1) > 0).all()


def test_two_cars_of_one_kind_differ():
    body = next(iter(BODIES.values()))
    rng = np.random.default_rng(0)
    assert vary(body, rng) != vary(body, rng)
