import numpy as np
import pytest
import tensorflow as tf
from random_changes import ALL, IMAGES, MASKS, SEEDS

from keras_unet.data import warp
from keras_unet.data.augment import augment
from keras_unet.data.warp import compiled, dense_image_warp, warp_plain


def test_a_compiled_function_can_be_part_of_a_graph():
    @compiled
    def doubled(x):
        return 2 * x

    dataset = tf.data.Dataset.range(3).map(doubled)
    assert list(dataset.as_numpy_iterator()) == [0, 2, 4]


def test_without_xlan_images_change_in_the_same_way(monkeypatch):
    expected = augment(IMAGES, MASKS, SEEDS, ALL)
    monkeypatch.setattr(warp, "has_xla", lambda: False)
    found = augment(IMAGES, MASKS, SEEDS, ALL)
    np.testing.assert_array_equal(found[1], expected[1])
    difference = np.abs(np.asarray(found[0], int) - np.asarray(expected[0], int))
    assert difference.max() <= 1
    assert difference.mean() < 0.01


RNG = np.random.default_rng(0)
IMAGE = RNG.uniform(0, 255, (2, 9, 12, 4)).astype(np.float32)


def flow_of(row: float, column: float) -> np.ndarray:
    return np.broadcast_to(np.float32([row, column]), (2, 9, 12, 2))


@pytest.mark.parametrize("warp", [dense_image_warp, warp_plain])
def test_without_flow_the_image_is_itself(warp):
    np.testing.assert_allclose(warp(IMAGE, flow_of(0, 0)), IMAGE, atol=1e-4)


@pytest.mark.parametrize("warp", [dense_image_warp, warp_plain])
def test_the_flow_says_how_far_back_each_pixel_is_read(warp):
    warped = warp(IMAGE, flow_of(2, 3))
    np.testing.assert_allclose(warped[:, 2:, 3:], IMAGE[:, :-2, :-3], atol=1e-4)


@pytest.mark.parametrize("warp", [dense_image_warp, warp_plain])
def test_beyond_the_border_the_outer_pixels_go_on(warp):
    warped = warp(IMAGE, flow_of(100, 100))
    corner = np.broadcast_to(IMAGE[:, :1, :1], IMAGE.shape)
    np.testing.assert_allclose(warped, corner, atol=1e-4)


def test_half_a_pixel_back_is_the_mean_of_two_neighbours():
    warped = warp_plain(IMAGE, flow_of(0, 0.5))
    means = (IMAGE[:, :, 1:] + IMAGE[:, :, :-1]) / 2
    np.testing.assert_allclose(warped[:, :, 1:], means, atol=1e-4)


def test_an_image_one_pixel_high_is_warped_too():
    row = IMAGE[:, :1]
    warped = warp_plain(row, np.zeros((2, 1, 12, 2), np.float32))
    np.testing.assert_allclose(warped, row, atol=1e-4)


def test_with_and_without_tensorflow_addons_the_warp_is_the_same():
    flow = RNG.normal(0, 4, (2, 9, 12, 2)).astype(np.float32)
    np.testing.assert_allclose(
        dense_image_warp(IMAGE, flow), warp_plain(IMAGE, flow), atol=1e-3
    )
