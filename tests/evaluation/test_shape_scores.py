"""Scores of boundaries and pieces, beside references, and MONAI's own figures."""

import math
from importlib.util import find_spec

import numpy as np
import pytest
from random_masks import MONAI, random_masks
from scipy import ndimage

from keras_unet.data_config import IGNORE
from keras_unet.evaluation.shape_scores import (
    agreement,
    at_thresholds,
    boundary_scores,
    cells_of,
    membrane_scores,
    parted,
    seg_scores,
    warping_error,
)

needs_science = pytest.mark.skipif(
    find_spec("skimage") is None, reason="needs the extra science"
)


def two_cells(gap=1):
    """Returns (12, 24): two cells with a membrane of ``gap`` pixels between them."""
    inside = np.zeros((12, 24), bool)
    inside[1:-1, 1 : 12 - gap // 2] = inside[1:-1, 12 - gap // 2 + gap : -1] = True
    return inside


def random_ids(seed, most=6, shape=(40, 50)):
    rng = np.random.default_rng(seed)
    return ndimage.zoom(rng.integers(0, most, (8, 10)), 5, order=0)[
        : shape[0], : shape[1]
    ]


@needs_science
@pytest.mark.parametrize("seed", range(10))
def test_agreement_is_scikit_image_s_where_nothing_is_between_the_pieces(seed):
    from skimage.metrics import adapted_rand_error, variation_of_information

    truth, pieces = (
        random_ids(number).repeat(8, 0).repeat(8, 1) + more
        for number, more in ((seed, 0), (seed + 100, 1))
    )
    v_rand, v_info = agreement(pieces, truth)
    error, _, _ = adapted_rand_error(truth, pieces, ignore_labels=(0,))
    # It leaves out each pixel's pair with itself, one of 100,000.
    assert v_rand == pytest.approx(1 - error, abs=1e-4)
    inside = truth[truth > 0], pieces[truth > 0]
    of_pieces, of_truth = variation_of_information(*inside)
    share = np.unique(inside[0], return_counts=True)[1] / len(inside[0])
    entropy = -(share * np.log2(share)).sum()
    mutual = entropy - of_truth
    both = 2 * mutual + of_pieces + of_truth
    assert v_info == pytest.approx(2 * mutual / both, abs=1e-9)


def test_a_pixel_between_pieces_is_a_piece_of_its_own():
    truth = np.array([[1, 1, 1, 1]])
    # Three pixels in one piece and one alone: pairs (9 + 1) / 16 found, 16 / 16 true.
    v_rand, _ = agreement(np.array([[7, 7, 7, 0]]), truth)
    assert v_rand == pytest.approx(2 * 10 / (10 + 16))
    same = agreement(np.array([[7, 7, 7, 9]]), truth)
    assert agreement(np.array([[7, 7, 7, 0]]), truth) == pytest.approx(same)


def test_perfect_pieces_score_one_whatever_their_numbers():
    truth = random_ids(3)
    assert agreement(truth * 7 + 3, truth) == pytest.approx((1.0, 1.0))


@needs_science
def test_the_width_of_a_membrane_counts_for_nothing_after_thinning():
    truth = two_cells(gap=1)
    scores = membrane_scores([at_thresholds(two_cells(gap=4).astype(float), truth)])
    assert scores["v_rand"] > 0.95
    assert scores["rand_error"] > 0.05
    assert scores["warping_error"] == 0
    assert scores["pixel_error"] == pytest.approx(30 / truth.size)
    assert len(np.unique(parted(cells_of(two_cells(gap=4))))) == 3


@needs_science
def test_what_is_not_counted_is_in_no_share_of_pixels():
    truth, counted = two_cells(), np.zeros((12, 24), bool)
    counted[:6] = True
    found = at_thresholds(1.0 - truth, truth, counted)
    assert set(found["pixel_error"]) == {1.0}


@needs_science
def test_an_image_without_a_cell_says_nothing_of_pieces():
    images = [two_cells(), np.zeros((12, 24), bool)]
    found = [at_thresholds(np.ones((12, 24)), truth) for truth in images]
    assert np.isnan(found[1]["v_rand"]).all()
    one, both = membrane_scores(found[:1]), membrane_scores(found)
    for score in ("v_rand", "v_info", "rand_error"):
        assert both[score] == one[score]
    assert both["pixel_error"] > one["pixel_error"]


@needs_science
@pytest.mark.parametrize("seed", range(5))
def test_pieces_that_touch_are_parted_by_lines(seed):
    ids = parted(random_ids(seed))
    for one, other in ((ids[:, :-1], ids[:, 1:]), (ids[:-1], ids[1:])):
        assert not np.any((one != other) & (one != 0) & (other != 0))
    assert np.mean(ids == 0) < 0.4


@needs_science
def test_a_gap_in_a_membrane_merges_two_cells():
    inside = two_cells()
    inside[5, 11] = inside[5, 12] = True
    scores = membrane_scores([at_thresholds(inside.astype(float), two_cells())])
    # All in one piece: pairs (1/2)² + (1/2)² of truth, 1 of what was found.
    assert scores["v_rand"] == pytest.approx(2 * 0.5 / 1.5, abs=0.01)
    assert scores["v_info"] == pytest.approx(0.0, abs=1e-9)
    assert scores["warping_error"] > 0


@needs_science
@pytest.mark.parametrize(
    ("inside", "membrane", "best"),
    [(0.9, 0.55, (0.6, 0.7, 0.8)), (0.97, 0.93, (0.95,)), (0.1, 0.05, (0.1,))],
)
def test_the_best_threshold_is_found_for_each_score(inside, membrane, best):
    truth = two_cells()
    faint = np.where(truth, np.nextafter(inside, 1), membrane)
    scores = membrane_scores([at_thresholds(faint, truth)])
    assert scores["v_rand"] == pytest.approx(1.0)
    assert scores["thresholds"]["v_rand"] in best
    assert scores["pixel_error"] == 0


@pytest.mark.parametrize(
    ("name", "change", "pixels"),
    [
        ("thicker", lambda m: ndimage.binary_erosion(m), 0),
        ("thinner", lambda m: ndimage.binary_dilation(m) & ~two_cells_border(), 0),
        ("a hole", lambda m: with_pixels(m, [(5, 5)], False), 1),
        ("a speck", lambda m: with_pixels(m, [(0, 0)], True), 1),
    ],
)
def test_only_a_change_of_topology_is_a_warping_error(name, change, pixels):
    truth = two_cells(gap=3)
    error = warping_error(change(truth), truth)
    assert error == pytest.approx(pixels / truth.size), name


def two_cells_border():
    border = np.ones((12, 24), bool)
    border[1:-1, 1:-1] = False
    border[:, 11:13] = True
    return border


def with_pixels(mask, places, value):
    mask = mask.copy()
    for place in places:
        mask[place] = value
    return mask


def test_a_match_needs_more_than_half_of_the_true_piece():
    truth = np.array([[1, 1, 1, 1, 0, 2, 2, 2, 2]])
    assert seg_scores(np.array([[3, 3, 3, 3, 0, 4, 4, 0, 0]]), truth) == [1.0, 0.0]
    assert seg_scores(np.array([[3, 3, 3, 3, 0, 4, 4, 4, 0]]), truth) == [1.0, 0.75]
    assert seg_scores(np.array([[5] * 9]), truth) == [4 / 9, 4 / 9]
    assert seg_scores(np.zeros((1, 9), int), truth) == [0.0, 0.0]
    assert seg_scores(truth, np.zeros((1, 9), int)) == []


@pytest.mark.parametrize(
    ("seed", "wanted"),
    # What py-ctcmetrics 1.3 says of them.
    [
        (0, 0.65505614),
        (1, 0.480765382),
        (2, 0.489259113),
        (3, 0.501123694),
        (4, 0.900873016),
        (5, 0.62528465),
    ],
)
def test_seg_is_that_of_the_challenge_s_own_program(seed, wanted):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 6, (6, 8)).repeat(5, 0).repeat(5, 1)
    pieces = np.roll(truth, rng.integers(-1, 2, 2), (0, 1))
    pieces[rng.random(pieces.shape) < 0.1] = 0
    assert np.mean(seg_scores(pieces, truth)) == pytest.approx(wanted, abs=1e-9)


def boundary(mask):
    """As the code of Cheng et al. has it: a frame of 0 around, 3×3 erosions."""
    width = max(1, round(0.02 * math.hypot(*mask.shape)))
    framed, square = np.pad(mask > 0, 1), np.ones((3, 3), bool)
    return framed & ~ndimage.binary_erosion(framed, square, width, border_value=1)


def distances(mask, other):
    """From the edge of one mask to that of the other, by a distance transform."""
    edges = [one & ~ndimage.binary_erosion(one) for one in (mask > 0, other > 0)]
    return ndimage.distance_transform_edt(~edges[1])[edges[0]]


def test_hausdorff_distances_are_those_of_monai():
    # MONAI interpolates in float32.
    found = [boundary_scores(*masks, 1)[1] for masks in random_masks()]
    np.testing.assert_allclose(found, [one[2] for one in MONAI], atol=1e-5)


def test_hausdorff_distances_are_those_of_distance_transforms():
    for mask, prediction in random_masks():
        both = distances(mask, prediction), distances(prediction, mask)
        wanted = max(np.percentile(one, 95) for one in both)
        assert boundary_scores(mask, prediction, 1)[1] == pytest.approx(wanted, 1e-6)


@pytest.mark.parametrize("factor", [1, 5])
def test_boundary_iou_is_that_of_repeated_erosions(factor):
    for masks in random_masks():
        large = [np.kron(mask, np.ones((factor, factor), np.uint8)) for mask in masks]
        one, other = map(boundary, large)
        wanted = (one & other).sum() / (one | other).sum()
        assert boundary_scores(*large, 1)[0] == pytest.approx(wanted, abs=1e-6)


def test_the_larger_one_of_the_two_percentiles_counts():
    mask, prediction = np.zeros((2, 40, 40), np.uint8)
    mask[5:10, 5:10] = 1
    prediction[5:10, 5:10] = prediction[30:35, 5:10] = 1
    assert boundary_scores(mask, prediction, 1)[1] == 25
    assert boundary_scores(prediction, mask, 1) == boundary_scores(mask, prediction, 1)


def test_a_class_in_neither_mask_is_perfect():
    empty = np.zeros((5, 7), np.uint8)
    assert boundary_scores(empty, empty, 1) == (1.0, 0.0)


def test_a_class_in_one_mask_alone_has_no_distance():
    empty = np.zeros((5, 7), np.uint8)
    for masks in [(empty, empty + 1), (empty + 1, empty)]:
        iou, distance = boundary_scores(*masks, 1)
        assert iou == 0
        assert math.isnan(distance)


def test_one_pixel_is_all_boundary():
    assert boundary_scores(*np.ones((2, 1, 1), np.uint8), 1) == (1.0, 0.0)


def test_ignored_pixels_are_taken_out_of_both_masks():
    mask, prediction = np.ones((2, 20, 20), np.uint8)
    mask[:, 10:] = IGNORE
    prediction[:, 15:] = 0
    assert boundary_scores(mask, prediction, 1) == (1.0, 0.0)


def test_each_class_is_scored_alone():
    mask = np.repeat(np.arange(3, dtype=np.uint8), 10)[None].repeat(8, 0)
    prediction = np.where(mask == 2, 1, mask)
    assert boundary_scores(mask, prediction, 0) == (1.0, 0.0)
    assert boundary_scores(mask, prediction, 2)[0] == 0
