import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_unet.data.white import find_white, to_8_bits

ALL = np.arange(65536).astype(np.uint16)


@pytest.mark.parametrize("bits", range(8, 17))
def test_of_k_bits_the_upper_eight_are_kept(bits):
    values = ALL[: 2**bits]
    np.testing.assert_array_equal(to_8_bits(values, 2**bits - 1), values >> (bits - 8))


@given(st.integers(255, 65535))
def test_white_and_all_above_become_255_and_nothing_falls(white):
    levels = to_8_bits(ALL, white)
    assert levels[0] == 0
    assert set(levels[white:]) == {255}
    assert (np.diff(levels.astype(int)) >= 0).all()


def test_without_a_white_all_16_bits_count():
    assert to_8_bits(ALL[0x1234:0x1235], None).tolist() == [0x12]


def test_8_bits_stay_as_they_are():
    values = np.array([0, 7, 255], np.uint8)
    assert to_8_bits(values, 1023) is values


@pytest.mark.parametrize(
    ("brightest", "white"),
    [([3, 200], 255), ([256, 900], 1023), ([1024], 2047), ([40000], 65535)],
)
def test_white_is_the_largest_of_the_bits_that_are_used(brightest, white):
    assert find_white(brightest, None)[0] == white


def test_the_bits_that_are_used_are_said():
    assert find_white([900, 3], None)[1] == [
        "images: 16 bits of which 10 are used: 1023 counts as white (--white)"
    ]
    assert find_white([60000], None)[1] == []


def test_what_the_user_says_stands_and_what_is_brighter_is_said():
    white, notes = find_white([900, 2000], 1000)
    assert white == 1000
    assert notes == [
        "images: 1 of 16 bits have values above --white 1000 (2000), which become "
        "white too"
    ]


def test_without_16_bits_there_is_nothing_to_find():
    assert find_white([], None) == (None, [])
