from pathlib import Path

import numpy as np
import pytest

from keras_unet.data.class_list import ClassList, Entry
from keras_unet.data.mask_coding import Coding, find_coding, find_reading
from keras_unet.data.mask_pixels import count_values
from keras_unet.data.mask_values import MaskValues, Stats
from keras_unet.data.masks import to_class_ids
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData, BadUsage


def blocks(*values: int) -> np.ndarray:
    """An image in which each value fills a region."""
    kind = np.int32 if max(values) > 255 or min(values) < 0 else np.uint8
    return np.repeat(np.repeat(np.array([values], kind), 8, 0), 8, 1)


def soft(low: int = 0, high: int = 255) -> np.ndarray:
    """A disc on a background, with an edge a few pixels wide."""
    rows, columns = np.mgrid[:64, :64] - 31.7
    edge = np.clip((20 - np.hypot(rows, columns)) / 4 + 0.5, 0, 1)
    return (low + edge * (high - low)).astype(np.uint8)


def look(mask: np.ndarray, reading: str) -> MaskValues:
    return MaskValues({reading: count_values(mask)}, wide=mask.dtype != np.uint8)


def code(*masks: np.ndarray, reading: str = "levels", **given: object) -> Coding:
    return find_coding([look(mask, reading) for mask in masks], DataConfig(**given))


def classes(coding: Coding) -> dict[int, str]:
    data = coding.data
    return dict(zip(data.class_values, data.class_names, strict=True))


@pytest.mark.parametrize(("high", "above"), [(1, 0), (255, 127), (7, 3)])
def test_nothing_and_one_more_value_are_background_and_foreground(high, above):
    data = code(blocks(0, high), blocks(0)).data
    assert (data.mask_kind, data.foreground_above) == ("binary", above)
    assert data.class_names == ("background", "foreground")


def test_soft_edges_are_cut_in_the_middle_and_that_is_said():
    coding = code(soft())
    assert (coding.data.mask_kind, coding.data.foreground_above) == ("binary", 127)
    assert "soft edges" in coding.reason


def test_the_noise_of_a_jpeg_around_both_ends_is_a_soft_edge():
    noisy = np.where(blocks(0, 255) > 0, 255 - soft(0, 9)[:8, :16], soft(0, 9)[:8, :16])
    assert code(noisy).data.foreground_above == 127


def test_masks_of_0_and_1_beside_masks_of_0_and_255_are_a_question():
    with pytest.raises(
        BadData, match=r"If it is the foreground: --foreground-above 0$"
    ):
        code(blocks(0, 1), blocks(0, 255))


def test_wide_masks_are_ignored_where_all_bits_are_set():
    masks = [blocks(0, 1, 0, 1, 2, 0, 2, 65535), blocks(2, 0, 2, 0, 1, 0, 1, 65535)]
    coding = code(*masks)
    assert list(classes(coding)) == [0, 1, 2]
    assert coding.data.ignore_values == (65535,)


def test_a_foreground_that_fills_the_borders_is_said():
    mask = np.full((32, 32), 255, np.uint8)
    mask[10:20, 10:20] = 0
    assert "--class-values 255 0" in code(mask).notes[0]


def test_a_foreground_with_soft_edges_that_fills_the_borders_is_said():
    [note] = code(255 - soft()).notes
    assert note.endswith("--class-values 255 0 --snap-values")
    given = code(255 - soft(), class_values=(255, 0), snap_values=True)
    assert list(classes(given)) == [255, 0]


def test_0_and_1_and_255_in_one_mask_are_binary_with_ignored_pixels():
    data = code(blocks(0, 1, 255)).data
    assert (data.mask_kind, data.foreground_above, data.ignore_values) == (
        "binary",
        0,
        (255,),
    )


def test_small_ids_and_255_are_classes_with_ignored_pixels():
    coding = code(blocks(0, 3, 255), blocks(0, 1), reading="indices")
    assert classes(coding) == {0: "background", 1: "class_1", 3: "class_3"}
    assert coding.data.ignore_values == (255,)


def test_a_few_grey_levels_in_regions_are_classes():
    assert list(classes(code(blocks(0, 85, 170, 255)))) == [0, 85, 170, 255]


def test_colours_are_classes_black_first():
    coding = code(blocks(0, 0x800000, 0x008000), blocks(0, 0x000080), reading="colours")
    assert list(classes(coding)) == [0, 0x000080, 0x008000, 0x800000]
    assert "0x800000 → class_800000" in coding.reason


def test_a_grey_of_a_coloured_set_stays_a_colour():
    coding = code(blocks(0, 0x800000), blocks(0, 0x808080), reading="colours")
    assert list(classes(coding)) == [0, 0x800000, 0x808080]


def test_very_many_colours_are_refused_with_the_likely_cause():
    with pytest.raises(BadData, match=r"40 colours, too many .* JPEG blurs colours"):
        code(blocks(*range(0x010000, 0x010028)), reading="colours")


def test_wide_ids_that_differ_between_masks_are_a_question():
    with pytest.raises(BadData, match="If they number objects: --mask-kind instances"):
        code(blocks(0, 1, 5), blocks(0, 300))


def test_wide_values_of_several_pieces_are_classes():
    masks = [blocks(0, 1, 0, 1, 500, 0, 500), blocks(500, 0, 1, 0, 500, 0, 1)]
    assert list(classes(code(*masks))) == [0, 1, 500]


def test_many_ids_counted_through_in_each_mask_are_instances():
    assert code(blocks(*range(60)), blocks(*range(20))).data.mask_kind == "instances"


def test_many_values_of_unknown_meaning_are_refused_with_the_way_on():
    with pytest.raises(BadData, match=r"50 values \(10 12 .*give --mask-kind binary"):
        code(blocks(*range(10, 110, 2)))


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"mask_kind": "binary"}, "binary"),
        ({"mask_kind": "instances"}, "instances"),
        ({"foreground_above": 2}, "binary"),
        ({"class_values": (0, 1, 2, 3, 4)}, "classes"),
    ],
)
def test_what_the_user_gives_wins(given, kind):
    data = code(blocks(0, 1, 2, 3), **given).data
    assert data.mask_kind == kind
    assert all(getattr(data, name) == value for name, value in given.items())


def test_a_given_ignore_value_is_no_class():
    assert list(classes(code(blocks(0, 1, 2, 9), ignore_values=(9,)))) == [0, 1, 2]


def test_what_was_found_once_is_not_found_anew():
    found = code(blocks(0, 3, 255), blocks(0, 1), reading="indices").data
    assert find_coding([look(blocks(0, 1), "levels")], found).data == found


def test_given_names_are_kept():
    names = ("road", "car", "sky")
    assert code(blocks(0, 1, 2), class_names=names).data.class_names == names


def test_names_that_do_not_fit_the_classes_are_wrong_usage():
    with pytest.raises(
        BadUsage, match="--class-names must be 3 names, one a class, not a"
    ):
        code(blocks(0, 1, 2), class_names=("a",))


def test_class_values_that_repeat_are_wrong_usage():
    with pytest.raises(BadUsage, match=r"1 to 255 different values .* not 0 1 1"):
        code(blocks(0, 1), class_values=(0, 1, 1))


def test_instances_whose_borders_are_learnt_have_three_classes():
    data = code(blocks(0, 1, 2), mask_kind="instances", targets="borders").data
    assert data.class_names == ("background", "cell", "border")


def test_borders_of_masks_that_number_nothing_are_refused():
    with pytest.raises(BadUsage, match=r"these are binary .*--mask-kind instances"):
        code(blocks(0, 255), targets="borders")


def test_values_below_0_are_no_class_where_others_remain():
    assert code(blocks(-1, 0, 1)).data.ignore_values == (-1,)
    with pytest.raises(BadData, match="is the background: --foreground-above 0"):
        code(blocks(-1, 1))
    with pytest.raises(BadData, match="is the background: --foreground-above -1"):
        code(blocks(-1, 0))
    with pytest.raises(BadData, match="is the background: --foreground-above 0"):
        code(blocks(-1, 1, 2), mask_kind="instances")
    given = code(blocks(-1, 1, 2), mask_kind="instances", foreground_above=0)
    assert given.data.ignore_values == ()


@pytest.mark.parametrize("value", [-1, 0x1000000])
def test_class_values_that_no_mask_can_be_written_with_are_wrong_usage(value):
    with pytest.raises(BadUsage, match=f"values of 0 to 16777215.* not 1 {value}"):
        code(blocks(1, value), class_values=(1, value))


@pytest.mark.parametrize("kind", ["instances", "classes"])
def test_contours_of_pascal_voc_are_ignored_whatever_the_colours_are(kind):
    masks = [blocks(0, 0x800000, 0x008000, 0xE0E0C0)] * 2
    coding = code(*masks, reading="colours", mask_kind=kind)
    assert coding.data.ignore_values == (0xE0E0C0,)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ((0, 255, 0, 255), "no mask holds two numbers"),
        ((0, 1, 2, 0, 1, 2, 0), "most numbers are several pieces"),
    ],
)
def test_given_instances_that_number_no_objects_are_said(values, told):
    [note] = code(blocks(*values), mask_kind="instances").notes
    assert note.startswith(told)
    assert note.endswith("if each piece is one: --mask-kind binary")
    assert code(blocks(0, 1, 2), blocks(0, 1), mask_kind="instances").notes == ()


@pytest.mark.parametrize(
    ("values", "dtype", "void"),
    [
        ((0, 300, 301, 302, 65535), np.uint16, 65535),
        ((0, 7, 90, 200, 65535), np.uint16, 65535),
        ((0, 100, 101, 103, 104, 105, 107, 255), np.uint8, 255),
    ],
)
def test_what_stands_apart_from_given_numbers_is_void(values, dtype, void):
    coding = code(blocks(*values).astype(dtype), mask_kind="instances")
    assert coding.data.ignore_values == (void,)
    assert coding.data.foreground_above == 0


def test_objects_numbered_up_to_255_are_objects():
    assert code(blocks(0, 70, 140, 255), mask_kind="instances").data.ignore_values == ()


def test_65535_beside_one_number_may_be_an_object_and_is_a_question():
    masks = [blocks(*v).astype(np.uint16) for v in [(0, 1), (0, 65535), (0, 1, 65535)]]
    with pytest.raises(BadData, match="no label: --ignore-values 65535") as raised:
        code(*masks, mask_kind="instances")
    assert str(raised.value).endswith("an object: --foreground-above 0")
    data = code(*masks, mask_kind="instances", ignore_values=(65535,)).data
    assert data.ignore_values == (65535,)
    data = code(*masks, mask_kind="instances", foreground_above=0).data
    assert data.ignore_values == ()


def test_foreground_of_colours_is_what_has_a_bright_channel():
    coding = code(
        blocks(0, 0x020000, 0xFE0000, 0x00FE00), reading="colours", foreground_above=127
    )
    assert coding.data.mask_kind == "binary"
    ids = to_class_ids(np.array([[0, 0x020000, 0xFE0000, 0x00FE00]]), coding.data)
    assert ids.tolist() == [[0, 0, 1, 1]]
    assert coding.notes[0] == "0x000000 0x020000 all count as background"


def test_255_among_ids_that_are_counted_through_is_an_object():
    data = code(blocks(*range(256)), mask_kind="instances").data
    assert data.ignore_values == ()


def test_255_of_binary_masks_is_the_foreground_beside_an_odd_clump():
    masks = [blocks(0, 255)] * 9
    odd = blocks(0, 255)
    odd[2:5, 2:5] = 5
    data = code(*masks, odd, mask_kind="binary").data
    assert (data.ignore_values, data.foreground_above) == ((), 0)
    assert code(*[blocks(0, 1, 255)] * 2, mask_kind="binary").data.ignore_values == (
        255,
    )


SKY = tuple(Entry(name) for name in ("sky", "road", "car"))


def test_given_names_answer_from_where_bare_names_count():
    masks = [look(blocks(1, 1, 2, 2, 3, 3, 0, 1), "levels")] * 2
    bare = ClassList(Path("classes.txt"), SKY)
    with pytest.raises(BadData, match="may be of the values 1 to 3, or of 0 to 2"):
        find_coding(masks, DataConfig(), names=bare)
    given = DataConfig(class_names=("void", "sky", "road", "car"))
    assert find_coding(masks, given, names=bare).data.class_values == (0, 1, 2, 3)


def test_a_list_with_values_says_what_255_is_not():
    masks = [blocks(0, 1, 255)] * 5 + [blocks(0, 1), blocks(0, 255)]
    every = [look(mask, "levels") for mask in masks]
    rest = ClassList(Path("labels.csv"), (Entry("rest", 0), Entry("road", 1)))
    assert find_coding(every, DataConfig(), names=rest).data.ignore_values == (255,)
    with pytest.raises(BadData, match="--ignore-values 255"):
        find_coding(every, DataConfig())


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
