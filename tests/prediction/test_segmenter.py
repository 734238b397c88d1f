import threading

import numpy as np
import pytest
import tensorflow as tf
from bright_run import make_run

from keras_unet.config import Config, DataConfig, UNetConfig
from keras_unet.prediction import segmenter
from keras_unet.prediction.segmenter import (
    BATCH,
    MOST_PIXELS,
    READERS,
    Segmenter,
    batches,
    class_names,
    read_ahead,
)


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
    for rows, strip in segmenter.strips(probability, size):
        assert strip.size <= max(segmenter.STRIP, size[1] * classes)
        came[rows] = strip
    np.testing.assert_array_equal(came, wanted)


def test_a_mask_is_the_most_probable_class_of_every_pixel():
    probability = random_probability((32, 48), 3)
    wanted = tf.image.resize(probability, (700, 900)).numpy().argmax(-1)
    mask = segmenter.mask_of(probability, (700, 900))
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, wanted)


@pytest.mark.parametrize(
    ("classes", "given", "names"),
    [
        (1, (), ("background", "foreground")),
        (1, ("wall", "car"), ("wall", "car")),
        (3, (), ("0", "1", "2")),
        (3, ("sky", "wall", "car"), ("sky", "wall", "car")),
    ],
)
def test_every_channel_of_the_probability_has_a_name(classes, given, names):
    data, model = DataConfig(class_names=given), UNetConfig(classes=classes)
    assert class_names(Config(data=data, model=model)) == names


def read_beforehand(sizes):
    """Returns, for each item when its turn comes, how many later ones were begun."""
    begun, lock = [], threading.Lock()

    def read(number):
        with lock:
            begun.append(number)
        return number

    numbers = range(len(sizes))
    ahead = read_ahead(numbers, read, lambda number: sizes[number])
    return [max(begun) - number for number in ahead]


def test_a_few_small_items_are_read_beforehand():
    assert max(read_beforehand([1] * 20)) <= BATCH + READERS


def test_nothing_is_read_beside_a_large_item():
    assert read_beforehand([MOST_PIXELS] * 4) == [0, 0, 0, 0]
    assert read_beforehand([1, MOST_PIXELS, 1])[1] == 0


def test_items_are_read_in_their_order_and_fail_when_their_turn_comes():
    def read(number):
        if number == 3:
            raise ValueError(number)
        return number

    ahead = read_ahead(range(5), read)
    assert [next(ahead) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="3"):
        next(ahead)


def test_batches_end_with_their_number_or_with_their_pixels():
    assert list(batches("abcde", 2)) == [["a", "b"], ["c", "d"], ["e"]]
    sizes = [1, MOST_PIXELS, 1, 1, 1, MOST_PIXELS + 1]
    found = list(batches(sizes, 4, lambda size: size))
    assert found == [[1, MOST_PIXELS], [1, 1, 1, MOST_PIXELS + 1]]


def test_a_run_can_be_given_by_its_folder(tmp_path):
    run = make_run(tmp_path / "run")
    assert Segmenter(str(run.path)).config == Segmenter(run).config
