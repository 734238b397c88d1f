import numpy as np
import pytest

from keras_unet.data.demo.car import build_cabin, build_shell
from keras_unet.data.demo.shapes import BODIES


@pytest.mark.parametrize("kind", BODIES)
def test_every_kind_of_car_has_parts_within_its_length_and_width(kind):
    body, rng = BODIES[kind], np.random.default_rng(0)
    paint = (0.5, 0.1, 0.1)
    parts = [*build_shell(body, paint, rng), *build_cabin(body, paint, rng)]
    corners = np.concatenate([part.polygons.reshape(-1, 3) for part in parts])
    assert np.isfinite(corners).all()
    assert abs(corners[:, 0]).max() < body.length / 2 + 0.1
    assert abs(corners[:, 1]).max() < body.width / 2 + 0.4  # with its mirrors
    assert corners[:, 2].min() > -0.05
    assert any(part.opacity < 1 for part in parts)
