from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from keras_unet.data.demo.make import make_demo

SIZE = (32, 48)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return make_demo(
        tmp_path_factory.mktemp("demo") / "set", cars=7, size=SIZE, views=4
    )


def read(file):
    with Image.open(file) as image:
        return np.asarray(image)


def masks(folder):
    return [read(f) for f in sorted(folder.glob("train_masks/*.gif"))]


def test_a_car_is_a_good_part_of_its_image(demo):
    shares = [mask.mean() for mask in masks(demo)]
    assert 0.05 < min(shares) < max(shares) < 0.5


def test_no_car_touches_the_edge_of_its_image(demo):
    assert not any(
        mask[[0, -1]].any() or mask[:, [0, -1]].any() for mask in masks(demo)
    )


def test_windows_are_part_of_the_car(demo):
    holes = [ndimage.binary_fill_holes(mask).sum() - mask.sum() for mask in masks(demo)]
    assert max(holes) <= 2


def test_the_image_without_the_car_is_the_empty_studio(tmp_path):
    folder = make_demo(tmp_path / "set", cars=1, size=(160, 240), views=2)
    one, two = (read(f).astype(float) for f in sorted(folder.glob("train/*")))
    car = np.any(masks(folder), axis=0)
    wall = ~ndimage.binary_dilation(car, iterations=8)
    # The upper half has no shadow; what differs is grain and JPEG.
    assert np.abs(one - two)[:80][wall[:80]].mean() < 8 < np.abs(one - two)[car].mean()
