import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from keras_unet.data.mask_values import MaskValues, Stats, count_values, ids_of


def pieces_of(*ids: range | tuple[int, ...], pieces: int = 1) -> list[dict[int, int]]:
    return [{0: 1, **dict.fromkeys(mask, pieces)} for mask in ids]


@pytest.mark.parametrize(
    ("found", "wide", "meaning"),
    [
        (pieces_of((1, 2), (2, 3), pieces=3), True, "classes"),
        (pieces_of((1, 2), (2, 3), (1, 3)), True, "either"),
        (pieces_of((1, 2), (1, 2)), True, "either"),
        (pieces_of((1, 5), (300,)), True, "either"),
        (pieces_of((1, 2), (2, 3)), False, "classes"),
        (pieces_of((1, 2, 3), (1, 2), (1,)), False, "either"),
        (pieces_of((1, 2), (1, 2), (1,)), False, "classes"),
        (pieces_of(range(1, 9), range(1, 12)), False, "instances"),
        (pieces_of(range(1, 9), range(1, 9), range(1, 10)), False, "classes"),
        (pieces_of(range(1, 9), range(1, 12), pieces=2), False, "either"),
        (pieces_of(range(1, 13)), False, "either"),
        (pieces_of(range(40, 90), range(60, 99)), True, "instances"),
        (pieces_of(range(40, 90), range(60, 99)), False, "unknown"),
        (pieces_of(range(1, 150), range(1, 150), pieces=4), False, "classes"),
        (pieces_of(range(1, 400), range(401, 600), pieces=4), True, "unknown"),
        (pieces_of(()), True, "classes"),
    ],
)
def test_ids_are_told_by_their_pieces_and_how_they_recur(found, wide, meaning):
    assert ids_of(found, 0, wide) == meaning


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
