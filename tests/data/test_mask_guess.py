import time

import numpy as np
import pytest

from keras_unet.data.mask_guess import Guess, guess
from keras_unet.data.mask_pixels import count_values
from keras_unet.data.mask_values import MaskSet, MaskValues, Stats
from keras_unet.data.objects import ids_of
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData


def blocks(*values: int) -> np.ndarray:
    """A mask in which each value fills a region."""
    kind = np.int32 if max(values) > 255 or min(values) < 0 else np.uint8
    return np.repeat(np.repeat(np.array([values], kind), 8, 0), 8, 1)


def seen(*masks: np.ndarray, reading: str = "levels", lossy: bool = False) -> MaskSet:
    values = [
        MaskValues(
            {reading: count_values(mask)}, wide=mask.dtype != np.uint8, lossy=lossy
        )
        for mask in masks
    ]
    return MaskSet(values, DataConfig(mask_reading=reading), [])


def meaning(*masks: np.ndarray, **how: object) -> Guess:
    return guess(seen(*masks, **how))


@pytest.mark.parametrize(
    ("masks", "ignored"),
    [
        ([blocks(0, 2, 3, 255)], (255,)),
        ([blocks(7, 11, 33, 255)], (255,)),
        ([blocks(*range(1, 151, 10), 255)], (255,)),
        ([blocks(0, 85, 170, 255)], ()),
        ([blocks(0, 128, 255)], ()),
        ([blocks(0, 240, 100, 255)], ()),
    ],
)
def test_255_beside_small_ids_is_no_class(masks, ignored):
    assert meaning(*masks).ignored == ignored


@pytest.mark.parametrize("values", [(0, 29, 255), (0, 50, 255)])
def test_255_that_may_be_either_is_a_question(values):
    with pytest.raises(
        BadData, match=r"0 \(33 %\), .* --ignore-values 255\. If it is a"
    ):
        meaning(blocks(*values))


@pytest.mark.parametrize("values", [(0, 1, 2, 254), (0, 1, 2, 128), (0, 254, 255)])
def test_other_high_values_are_a_question(values):
    with pytest.raises(BadData, match=f"--ignore-values .*{values[-1]}"):
        meaning(blocks(*values))


def test_255_that_is_mostly_without_1_is_a_question():
    masks = [blocks(0, 255), blocks(0, 255), blocks(0, 1, 255)]
    with pytest.raises(BadData, match=r"--foreground-above 0$"):
        meaning(*masks)


def test_a_contour_of_254_around_ids_is_a_question():
    mask = np.repeat(blocks(0, 1, 2, 3), 4, 0)
    mask[:, ::8] = 254
    with pytest.raises(BadData, match="What 254 means cannot be told"):
        meaning(mask, mask)


def test_a_heat_map_is_a_question():
    rows, columns = np.mgrid[:90, :90] - 45.0
    heat = (200 * np.exp(-(rows**2 + columns**2) / 900)).astype(np.uint8)
    with pytest.raises(BadData, match="mean cannot be told: give --mask-kind binary"):
        meaning(heat, heat)


def test_contours_of_pascal_voc_are_no_class():
    found = meaning(blocks(0, 0x800000, 0xE0E0C0), reading="colours")
    assert found.ignored == (0xE0E0C0,)


def test_noise_around_0_beside_255_is_a_question():
    mask = np.repeat(blocks(0, 255), 4, 0)
    mask[:, 2], mask[:, 5] = 1, 2
    with pytest.raises(BadData, match="What 255 means cannot be told"):
        meaning(mask, mask)


def test_colours_of_one_mask_each_are_a_question():
    masks = [blocks(0, 0xFF00 + 97 * i, 0xAA0000 + 89 * i) for i in range(4)]
    with pytest.raises(BadData, match="8 of the masks' 9 colours"):
        meaning(*masks, reading="colours")


def test_two_colours_on_a_coloured_background_are_classes():
    mask = np.full((32, 32), 0x00D7FF, np.int32)
    mask[10:20, 10:20] = 0
    assert meaning(mask, reading="colours").kind == "classes"


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
    every = [Stats(dict.fromkeys(mask, 9), pieces=mask) for mask in found]
    values = [MaskValues({"levels": stats}, wide=wide) for stats in every]
    assert ids_of(MaskSet(values, DataConfig(mask_reading="levels"), [])) == meaning


def test_very_many_objects_take_no_time():
    masks = []
    for first in range(1, 60_000, 200):
        ids = range(first, first + 200)
        stats = Stats(
            {0: 50_000, **dict.fromkeys(ids, 100)},
            {0: 45_000, **dict.fromkeys(ids, 80)},
            {0: 1000},
            dict.fromkeys(ids, 1),
        )
        masks.append(MaskValues({"levels": stats}, wide=True))
    every = MaskSet(masks, DataConfig(mask_reading="levels"), [])
    start = time.process_time()
    assert guess(every).kind == "instances"
    # What goes by the square of their number takes eight.
    assert time.process_time() - start < 3
