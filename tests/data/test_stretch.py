import numpy as np
import pytest
import tensorflow as tf

from keras_unet.data.resize import resize_image
from keras_unet.data.stretch import is_small, stretch


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((64, 95, 3), (64, 96)),
        ((95, 64, 3), (96, 64)),
        ((99, 50, 1), (100, 50)),
        ((50, 196, 3), (50, 200)),
    ],
)
def test_a_stretched_picture_is_the_resized_one(shape, size):
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    expected = np.floor(resize_image(pixels, size).numpy() + 0.5)
    found = stretch(tf.constant(pixels), size).numpy()
    assert found.dtype == np.uint8
    # Now and then a tie falls to the other side.
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= 1
    assert difference.mean() < 1e-3


@pytest.mark.parametrize(
    ("shape", "small"),
    [
        ((640, 959, 3), True),
        ((628, 960, 3), True),
        ((640, 960, 3), False),
        ((640, 930, 3), False),
        ((640, 961, 3), False),
        ((639, 959, 3), False),
    ],
)
def test_a_stretch_is_small_when_one_side_grows_by_a_fiftieth_or_less(shape, small):
    assert is_small(shape, (640, 960)) is small
