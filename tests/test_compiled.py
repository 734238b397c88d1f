import numpy as np
import tensorflow as tf
from test_augment import ALL, IMAGES, MASKS, SEEDS

from keras_unet.data import compiled
from keras_unet.data.augment import augment
from keras_unet.data.stretch import stretch


def test_a_compiled_function_can_be_part_of_a_graph():
    @compiled.compiled
    def doubled(x):
        return 2 * x

    dataset = tf.data.Dataset.range(3).map(doubled)
    assert list(dataset.as_numpy_iterator()) == [0, 2, 4]


def test_without_xla_pictures_change_in_the_same_way(monkeypatch):
    expected = augment(IMAGES, MASKS, SEEDS, ALL)
    monkeypatch.setattr(compiled, "has_xla", lambda: False)
    found = augment(IMAGES, MASKS, SEEDS, ALL)
    np.testing.assert_array_equal(found[1], expected[1])
    difference = np.abs(np.asarray(found[0], int) - np.asarray(expected[0], int))
    assert difference.max() <= 1
    assert difference.mean() < 0.01


def test_without_xla_pictures_are_stretched_in_the_same_way(monkeypatch):
    image = tf.constant(
        np.random.default_rng(0).integers(0, 256, (64, 95, 3)), tf.uint8
    )
    expected = stretch(image, (64, 96))
    monkeypatch.setattr(compiled, "has_xla", lambda: False)
    np.testing.assert_array_equal(stretch(image, (64, 96)), expected)
