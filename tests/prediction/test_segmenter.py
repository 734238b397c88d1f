import threading

import pytest

from keras_unet.config import Config, DataConfig, UNetConfig
from keras_unet.prediction.segmenter import (
    BATCH,
    MOST_PIXELS,
    READERS,
    batches,
    class_names,
    read_ahead,
)


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
