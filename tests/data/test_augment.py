import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_changes import ALL, IMAGES, MASKS, MOVES, NOTHING, SEEDS, checksum

from keras_unet.data.augment import augment, noise, recolour, turn_hue
from keras_unet.data.warp import (
    affine_sources,
    cubic_shares,
    elastic_displacements,
    fold_back,
)
from keras_unet.data_config import AugmentConfig

GOLD = [
    [[[124, 15, 128], [142, 119, 190]], [[18, 46, 23], [66, 108, 100]]],
    [[[112, 104, 171], [84, 144, 149]], [[178, 4, 182], [39, 50, 44]]],
]
GOLD_MASKS = [
    [[0, 0, 2, 2], [2, 2, 0, 1], [2, 2, 2, 1]],
    [[2, 1, 2, 2], [2, 0, 2, 2], [2, 2, 2, 1]],
]


def arrays(pair) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(pair[0]), np.asarray(pair[1])


def test_without_amplitudes_every_bit_stays():
    images, masks = arrays(augment(IMAGES, MASKS, SEEDS, NOTHING))
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(masks, MASKS)


def test_a_mirrored_image_has_exactly_its_own_pixels():
    seeds = np.stack([np.full(16, 5), np.arange(16)], -1).astype(np.int32)
    same = np.repeat(IMAGES[:1], 16, 0)
    images, _ = arrays(
        augment(same, MASKS[[0] * 16], seeds, AugmentConfig(flip="horizontal"))
    )
    as_it_was = (images == same).all((1, 2, 3))
    mirrored = (images == same[:, :, ::-1]).all((1, 2, 3))
    assert (as_it_was ^ mirrored).all()
    assert 0 < mirrored.sum() < 16


def test_the_same_seeds_give_the_same_pixels():
    first = arrays(augment(IMAGES, MASKS, SEEDS, ALL))
    second = arrays(augment(IMAGES, MASKS, SEEDS, ALL))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_the_number_of_threads_changes_no_bit():
    threads = {"TF_NUM_INTRAOP_THREADS": "3", "TF_NUM_INTEROP_THREADS": "3"}
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "import random_changes; print(random_changes.checksum())",
        ],
        cwd=Path(__file__).parents[1],
        env={**os.environ, **threads, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(found.stdout) == checksum()


def test_both_stacks_give_these_pixels():
    """Read on the default stack; the other one has tensorflow-addons' warp."""
    row, column = np.mgrid[:12, :16]
    image = np.stack([20 * row, 15 * column, 10 * (row + column) % 251], -1)
    mask = (row // 4 + column // 4) % 3
    images = image.astype(np.uint8)[None].repeat(2, 0)
    masks = mask.astype(np.uint8)[None, ..., None].repeat(2, 0)
    images, masks = arrays(augment(images, masks, SEEDS[:2], ALL))
    assert masks[:, ::4, ::4, 0].tolist() == GOLD_MASKS
    np.testing.assert_allclose(images[:, 2::6, 3::8].astype(int), GOLD, atol=1)


def test_images_with_other_seeds_change_in_other_ways():
    same = np.repeat(IMAGES[:1], 3, 0)
    images, _ = arrays(augment(same, MASKS, SEEDS, ALL))
    assert not np.allclose(images[0].astype(int), images[1], atol=1)


def test_an_image_changes_in_the_same_way_in_every_batch():
    whole = arrays(augment(IMAGES, MASKS, SEEDS, ALL))
    turned = arrays(augment(IMAGES[::-1], MASKS[::-1], SEEDS[::-1], ALL))
    np.testing.assert_allclose(turned[0][::-1].astype(int), whole[0], atol=1)
    np.testing.assert_array_equal(turned[1][::-1], whole[1])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 3))
def test_no_mask_value_appears_that_was_not_there(seed, sample):
    seeds = np.array([[seed, sample + k] for k in range(3)], np.int32)
    _, masks = arrays(augment(IMAGES, MASKS, seeds, MOVES))
    assert set(np.unique(masks)) <= {0, 7, 255}


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 3))
def test_image_and_mask_stay_on_each_other(seed, sample):
    """A white ellipse stays where the mask has its pixels, whatever moves both."""
    row, column = np.mgrid[:24, :36]
    ellipse = ((row - 9) / 7) ** 2 + ((column - 20) / 12) ** 2 < 1
    masks = np.repeat(ellipse[None, :, :, None].astype(np.uint8), 3, 0)
    images = np.repeat(masks * np.uint8(255), 3, -1)
    seeds = np.array([[seed, sample + k] for k in range(3)], np.int32)
    images, masks = arrays(augment(images, masks, seeds, MOVES))
    # Off the edge, where the image is a mixture of both sides.
    assert (masks[images[..., :1] > 192] == 1).all()
    assert (masks[images[..., :1] < 63] == 0).all()


def test_colours_stay_within_0_and_255():
    strong = replace(NOTHING, brightness=0.9, contrast=0.9, hue=0.5, noise=0.5)
    amounts = np.repeat(np.float32([[1.0], [-1.0], [0.0]]), 3, 1)
    images = np.asarray(
        recolour(
            IMAGES.astype(np.float32), amounts, noise(SEEDS, IMAGES.shape[1:]), strong
        )
    )
    assert images.min() == 0
    assert images.max() == 255


def test_what_is_too_bright_becomes_white():
    bright = replace(NOTHING, brightness=0.9)
    white = np.full((16, 4, 4, 3), 255, np.uint8)
    seeds = np.stack([np.full(16, 5), np.arange(16)], -1).astype(np.int32)
    images, _ = arrays(augment(white, MASKS[:1, :4, :4].repeat(16, 0), seeds, bright))
    brighter = (images == 255).all((1, 2, 3))
    assert 0 < brighter.sum() < 16


def test_changes_of_colour_leave_masks_alone():
    bright = replace(NOTHING, brightness=0.5, noise=0.1)
    _, masks = arrays(augment(IMAGES, MASKS, SEEDS, bright))
    np.testing.assert_array_equal(masks, MASKS)


def test_grey_images_of_one_channel_are_changed_too():
    images, _ = arrays(augment(IMAGES[..., :1], MASKS, SEEDS, ALL))
    assert images.shape == (3, 24, 36, 1)


@pytest.mark.parametrize("angle", [0.5, 3.0])
def test_another_hue_leaves_grey_as_it_is(angle):
    grey = np.repeat(IMAGES[..., :1], 3, -1).astype(np.float32)
    turned = turn_hue(grey, np.full((3, 1, 1, 1), angle, np.float32))
    np.testing.assert_allclose(turned, grey, atol=1e-2)


def test_noise_has_mean_0_and_standard_deviation_1():
    values = np.asarray(noise(SEEDS, (64, 96, 3)))
    assert abs(values.mean()) < 0.01
    assert abs(values.std() - 1) < 0.01


def test_noise_of_two_images_has_nothing_in_common():
    first, second, _ = np.asarray(noise(SEEDS, (64, 96, 3))).reshape(3, -1)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03


def test_without_turn_and_shift_each_pixel_comes_from_its_own_place():
    nothing = np.zeros((1, 3), np.float32), np.zeros((1, 2), np.float32)
    sources = affine_sources((3, 4), np.ones((1, 2), np.float32), *nothing, MOVES)
    own = np.stack(np.mgrid[:3, :4], -1)
    np.testing.assert_allclose(sources[0], own, atol=1e-5)


def test_the_largest_rotation_is_the_one_asked_for():
    quarter = replace(NOTHING, rotation_degrees=90.0)
    turn = np.array([[1.0, 0.0, 0.0]], np.float32)
    sources = affine_sources(
        (3, 3), np.ones((1, 2), np.float32), turn, np.zeros((1, 2), np.float32), quarter
    )
    own = np.stack(np.mgrid[:3, :3], -1)
    np.testing.assert_allclose(sources[0], np.rot90(own, -1), atol=1e-5)


def test_at_the_nodes_the_displacement_is_the_one_drawn_for_them():
    nodes = np.random.default_rng(0).normal(0, 10, (2, 3, 3, 2)).astype(np.float32)
    field = np.asarray(elastic_displacements((9, 13), nodes))
    np.testing.assert_allclose(field[:, ::4, ::6], nodes, atol=1e-4)


def test_where_all_nodes_move_alike_so_does_everything_between():
    np.testing.assert_allclose(cubic_shares(17).sum(1), 1, atol=1e-6)


@settings(deadline=None, max_examples=40)
@given(st.floats(-1e3, 1e3, width=32), st.floats(-1e3, 1e3, width=32))
def test_every_position_is_mirrored_back_into_the_image(row, column):
    sources = np.full((1, 5, 8, 2), (row, column), np.float32)
    row, column = np.asarray(fold_back(sources))[0, 0, 0]
    assert -1e-3 <= row <= 4 + 1e-3
    assert -1e-3 <= column <= 7 + 1e-3


def test_just_beyond_the_border_comes_what_is_just_inside():
    sources = np.zeros((1, 5, 8, 2), np.float32) + np.float32([-1.25, 9.0])
    assert np.asarray(fold_back(sources))[0, 0, 0].tolist() == [1.25, 5.0]
