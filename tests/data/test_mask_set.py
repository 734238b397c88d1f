from pathlib import Path

import numpy as np
import pytest

from keras_unet.data.mask_set import MaskSet, find_reading
from keras_unet.data.mask_values import MaskValues, Stats, count_values
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData

RED, GREEN, WHITE = 0xFF0000, 0x00FF00, 0xFFFFFF


def grey(*levels: int) -> MaskValues:
    return MaskValues({"levels": stats(*levels)})


def coloured(*colours: int) -> MaskValues:
    return MaskValues({"colours": stats(*colours)})


def indexed(**palette: int) -> MaskValues:
    entries = {int(name[1:]): colour for name, colour in palette.items()}
    readings = {"indices": stats(*entries), "colours": stats(*entries.values())}
    return MaskValues(readings, entries)


def see_through(*colours: int, alphas: tuple[int, ...] = (0, 255), black: bool = False):
    readings = {"colours": stats(*colours), "alpha": stats(*alphas)}
    return MaskValues(readings, hidden=7 * (0 in alphas), shows_black=black)


def stats(*values: int) -> Stats:
    return Stats(dict.fromkeys(values, 10))


@pytest.mark.parametrize(
    ("masks", "reading"),
    [
        ([grey(0, 1)], "levels"),
        ([coloured(0, RED)], "colours"),
        ([indexed(i0=0, i1=RED), indexed(i0=0, i2=GREEN)], "indices"),
        ([indexed(i0=0, i1=RED), indexed(i0=RED, i1=0)], "colours"),
        ([indexed(i0=0, i1=0)], "indices"),
        ([indexed(i0=0, i1=RED), coloured(0, RED)], "colours"),
        ([indexed(i0=0, i1=RED), grey(0, 1)], "indices"),
        ([indexed(i0=0, i1=RED, i2=WHITE), grey(0, 255)], "colours"),
        ([coloured(0, RED, WHITE), grey(0, 255)], "colours"),
        ([see_through(0, WHITE, black=True, alphas=(255,))], "colours"),
        ([see_through(0, WHITE)], "alpha"),
        ([see_through(0, RED, GREEN)], "colours"),
        ([see_through(0, RED, alphas=(255,))], "colours"),
    ],
)
def test_what_all_files_agree_on_is_read(masks, reading):
    assert find_reading(masks)[0] == reading


@pytest.mark.parametrize(
    ("masks", "told"),
    [
        ([see_through(0, WHITE), coloured(0, RED)], "1 have none"),
        (
            [see_through(0, RED, GREEN, black=True)],
            "7 pixels of the masks are transparent",
        ),
        ([indexed(i0=0, i1=0), indexed(i0=RED)], "different palettes"),
        ([indexed(i0=0, i1=0), coloured(0, RED)], "1 masks have no palette"),
        ([indexed(i0=0, i1=RED), grey(0, 9)], "1 have grey levels that it does not"),
        (
            [coloured(0, RED), grey(0, 1)],
            "grey levels that are none of them, such as 1",
        ),
        ([coloured(0, RED), grey(0, 255)], "none of them, such as 255"),
        ([see_through(0, WHITE, black=True)], "7 pixels of the masks are transparent"),
    ],
)
def test_files_that_contradict_each_other_are_a_question(masks, told):
    with pytest.raises(BadData, match=told):
        find_reading(masks)


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
