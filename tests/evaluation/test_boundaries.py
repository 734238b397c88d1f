"""Scores of boundaries, beside references and MONAI's own figures."""

import math

import numpy as np
import pytest
from random_masks import MONAI, random_masks
from scipy import ndimage

from keras_unet.data_config import IGNORE
from keras_unet.evaluation.boundaries import boundary_scores


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
