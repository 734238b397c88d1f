import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_unet.model.weight_map import (
    WEIGHT_OF_LEVEL,
    border_weights,
    class_balance,
    touching_borders,
    weight_levels,
)

EVEN = (1.0, 1.0)


def by_brute_force(instances, w0, sigma, class_weights):
    weights = np.empty(instances.shape)
    ids = [cell for cell in np.unique(instances) if cell > 0]
    for row, column in np.ndindex(instances.shape):
        if instances[row, column] > 0:
            weights[row, column] = class_weights[1]
            continue
        distances = sorted(
            min(
                math.dist((row, column), pixel) for pixel in np.argwhere(instances == i)
            )
            for i in ids
        )
        border = 0.0
        if len(distances) >= 2:
            border = math.exp(-((distances[0] + distances[1]) ** 2) / (2 * sigma**2))
        weights[row, column] = class_weights[0] + w0 * border
    return weights


def test_a_gap_of_one_pixel_has_the_weight_of_the_formula():
    weights = border_weights(np.array([[1, 1, 0, 2, 2]]), 10.0, 5.0, EVEN)
    wanted = [1, 1, 1 + 10 * math.exp(-(2**2) / (2 * 5**2)), 1, 1]
    assert weights.tolist() == [pytest.approx(wanted)]


def test_a_gap_between_two_parts_of_one_cell_has_no_border():
    assert border_weights(np.array([[3, 0, 3]]), class_weights=EVEN).tolist() == [
        [1, 1, 1]
    ]


def test_the_weights_are_float32_and_have_the_size_of_the_image():
    weights = border_weights(np.zeros((3, 4), np.int32))
    assert (weights.dtype, weights.shape) == (np.float32, (3, 4))


@pytest.mark.parametrize("fill", [0, 1])
def test_an_image_of_one_class_has_weight_1_everywhere(fill):
    assert (border_weights(np.full((4, 5), fill)) == 1).all()


def test_by_default_both_classes_weigh_the_same_in_total():
    weights = border_weights(np.array([[1, 0, 0, 0]]))
    assert weights.tolist() == [pytest.approx([2, 2 / 3, 2 / 3, 2 / 3])]


def test_the_balance_is_that_of_all_masks_together():
    masks = [np.array([[1, 2]]), np.array([[0, 0], [0, 7], [0, 0]])]
    assert class_balance(masks) == pytest.approx((8 / 10, 8 / 6))


def test_ids_as_large_as_packed_colours_are_cells_like_others():
    small = np.array([[1, 0, 2, 0, 0]])
    large = np.array([[0xFF0000, 0, 0xFFFFFF, 0, 0]])
    assert (border_weights(small) == border_weights(large)).all()


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**31 - 1),
    st.sampled_from([0.8, 2.0, 5.0]),
    st.integers(1, 5),
)
def test_windows_around_cells_give_the_formula_over_the_whole_image(seed, sigma, cells):
    random = np.random.default_rng(seed)
    instances = np.zeros((17, 40), np.int32)
    for cell in range(1, cells + 1):
        row, column = random.integers(0, (15, 36))
        instances[row : row + 3, column : column + 4] = cell
    weights = border_weights(instances, 10.0, sigma, (0.5, 2.0))
    wanted = by_brute_force(instances, 10.0, sigma, (0.5, 2.0))
    np.testing.assert_allclose(weights, wanted, rtol=1e-5)


def test_bytes_keep_weights_to_one_percent():
    weights = np.geomspace(0.5, 128, 1000, dtype=np.float32)
    kept = WEIGHT_OF_LEVEL[weight_levels(weights)]
    np.testing.assert_allclose(kept, weights, rtol=0.011)


def test_what_no_byte_holds_is_the_largest_weight():
    assert WEIGHT_OF_LEVEL[weight_levels(np.array([0.1, 500.0]))].tolist() == [0.5, 128]


def test_where_two_cells_touch_there_is_a_border_on_both_sides():
    cells = np.array([[7, 7, 7, 7, 9, 9, 9, 9, 0]])
    assert touching_borders(cells, 1).tolist() == [[0, 0, 0, 1, 1, 0, 0, 0, 0]]
    assert touching_borders(cells, 2).tolist() == [[0, 0, 1, 1, 1, 1, 0, 0, 0]]


def test_a_narrow_gap_is_border_and_a_wide_one_is_none():
    assert touching_borders(np.array([[4, 0, 5]]), 1).tolist() == [[0, 1, 0]]
    assert not touching_borders(np.array([[4, 0, 0, 0, 5]]), 1).any()


def test_cells_in_sight_of_themselves_alone_have_no_border():
    assert not touching_borders(np.array([[2, 0, 2], [2, 2, 2]]), 2).any()
