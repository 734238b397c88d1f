import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from keras_unet.data.mask_values import MaskValues, Stats, count_values


@given(
    arrays.arrays(
        st.sampled_from([np.uint8, np.int32]),
        arrays.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=9),
        elements=st.integers(0, 5),
    )
)
def test_every_pixel_is_counted_once(mask):
    stats = count_values(mask)
    assert stats.counts == {v: int((mask == v).sum()) for v in np.unique(mask).tolist()}
    assert sum(stats.border.values()) == 2 * sum(mask.shape) - 4


def test_pixels_of_a_line_are_not_flat():
    mask = np.zeros((30, 30), np.uint8)
    mask[10], mask[20:28, 5:25] = 1, 2
    stats = count_values(mask)
    assert stats.flat.get(1, 0) == 0
    assert stats.flat[2] == 7 * 19


@pytest.mark.parametrize("kind", [np.uint8, np.int32])
def test_pieces_of_each_value_are_counted_and_specks_left_out(kind):
    mask = np.zeros((40, 40), kind)
    mask[2:12, 2:12] = mask[20:30, 20:30] = 3
    mask[2:12, 20:30], mask[35, 35] = 7, 7
    assert count_values(mask).pieces == {0: 1, 3: 2, 7: 1}


def test_levels_are_greys_among_colours():
    values = MaskValues({"levels": Stats({0: 3, 255: 1})})
    stats = values.under("colours")
    assert stats is not None
    assert stats.counts == {0: 3, 0xFFFFFF: 1}


def test_a_file_of_colours_has_no_levels():
    assert MaskValues({"colours": Stats({5: 1})}).under("levels") is None
