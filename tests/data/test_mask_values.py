from pathlib import Path

import numpy as np
import pytest

from keras_unet.data.mask_pixels import count_values
from keras_unet.data.mask_values import MaskSet, MaskValues, Stats
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData


def test_levels_are_greys_among_colours():
    values = MaskValues({"levels": Stats({0: 3, 255: 1})})
    stats = values.under("colours")
    assert stats is not None
    assert stats.counts == {0: 3, 0xFFFFFF: 1}


def test_levels_of_16_bits_are_no_colours():
    values = MaskValues({"levels": Stats({0: 3, 65535: 1})}, wide=True)
    assert values.under("colours") is None
    assert values.under("indices") == values.under("levels")


def test_a_file_without_alpha_cannot_be_read_by_it():
    assert MaskValues({"levels": Stats({0: 3, 255: 1})}).under("alpha") is None


def test_a_file_of_colours_has_no_levels():
    assert MaskValues({"colours": Stats({5: 1})}).under("levels") is None


BOXES = np.zeros((40, 40), np.uint8)
BOXES[5:20, 5:20], BOXES[25:35, 25:35] = 100, 200


def seen(*masks: np.ndarray, reading: str = "levels", **given: object) -> MaskSet:
    values = [MaskValues({reading: count_values(mask)}) for mask in masks]
    files = [Path(f"{place}.png") for place in range(len(masks))]
    return MaskSet(values, DataConfig(mask_reading=reading, **given), files)


def test_levels_are_where_regions_lie_not_where_noise_does():
    noisy = BOXES + np.random.default_rng(0).integers(0, 2, BOXES.shape, np.uint8)
    soft = BOXES.copy()
    soft[20, 5:20], soft[5:20, 20] = 50, 63
    assert seen(soft, noisy).levels() == [0, 100, 200]


def test_a_slip_is_a_few_pixels_in_few_files():
    slip = BOXES.copy()
    slip[39, 39] = 7
    assert seen(*[BOXES] * 7, slip).strays() == [7]
    assert seen(slip, slip, slip, slip, slip).strays() == []


def test_the_background_fills_the_borders():
    assert seen(np.where(BOXES == 0, 50, BOXES)).background() == 50


def test_ignored_values_are_not_among_the_others():
    masks = seen(BOXES, ignore_values=(100,))
    assert masks.values == [0, 200]
    assert masks.told([200]) == "0.png: 100 pixels"


def test_a_mask_that_cannot_be_read_that_way_is_named():
    values = [MaskValues({"colours": count_values(BOXES)})]
    with pytest.raises(BadData, match=r"b\.png: cannot be read by --mask-reading"):
        MaskSet(values, DataConfig(mask_reading="levels"), [Path("b.png")])


def test_mixtures_of_two_colours_are_no_colours_of_their_own():
    mixed = np.where(BOXES > 0, 0xFF0000, 0).astype(np.int32)
    mixed[0, :5], mixed[1, :5] = 0x7F0000, 0x00FF00
    masks = seen(mixed, reading="colours")
    assert masks.off_levels([0, 0xFF0000]) == [0x00FF00]
