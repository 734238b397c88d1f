import numpy as np
import pytest
import tensorflow as tf

from keras_unet.prediction import own_size


def random_probability(size, classes):
    rng = np.random.default_rng(0)
    probability = rng.random((*size, classes), np.float32)
    return probability / probability.sum(-1, keepdims=True)


# The large ones take several strips.
SIZES = [
    ((48, 64), (60, 90), 2),
    ((48, 64), (48, 64), 3),
    ((64, 64), (31, 17), 2),
    ((32, 48), (2999, 1777), 2),
    ((32, 48), (1001, 3333), 5),
    ((3, 2), (1, 1), 2),
]


@pytest.mark.parametrize(("small", "size", "classes"), SIZES)
def test_strips_are_tensorflow_s_resized_image_to_the_bit(small, size, classes):
    probability = random_probability(small, classes)
    wanted = tf.image.resize(probability, size).numpy()
    came = np.full((*size, classes), np.nan, np.float32)
    for rows, strip in own_size.strips(probability, size):
        assert strip.size <= max(own_size.STRIP, size[1] * classes)
        came[rows] = strip
    np.testing.assert_array_equal(came, wanted)


def test_a_mask_is_the_most_probable_class_of_every_pixel():
    probability = random_probability((32, 48), 3)
    wanted = tf.image.resize(probability, (700, 900)).numpy().argmax(-1)
    mask = own_size.mask_of(probability, (700, 900))
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, wanted)
