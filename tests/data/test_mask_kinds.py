"""Masks as people have them: each kind is read rightly, or becomes a question."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_unet.data.__main__ import main
from keras_unet.data.check import Report, check_data
from keras_unet.data.layouts import find
from keras_unet.data.masks import read_mask
from keras_unet.data_config import DataConfig

CASES = Path(__file__).parents[3] / "shared/data/cases"
COLOURS = np.array(
    [(0, 0, 0), (200, 0, 0), (0, 200, 0), (0, 0, 255), (200, 200, 0)], np.uint8
)
SHAPE = (48, 64)

Labels = list[np.ndarray]
Write = Callable[[np.ndarray, Path, int], None]


def scenes(*objects: int, count: int = 8) -> Labels:
    """Label maps with some of the objects each: a band at the bottom and boxes."""
    labels = []
    for number in range(count):
        label = np.zeros(SHAPE, np.int32)
        for place, value in enumerate(objects):
            if (number + place) % 3 or len(objects) == 1:
                left = 4 + 14 * place + number % 3
                label[8 + 5 * place : 20 + 4 * place, left : left + 10] = value
        labels.append(label)
    return labels


def write_set(root: Path, labels: Labels, write: Write, suffix: str = "png") -> Path:
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    random = np.random.default_rng(0)
    for number, label in enumerate(labels):
        pixels = random.integers(0, 256, (*label.shape, 3), np.uint8)
        Image.fromarray(pixels).save(root / f"images/p{number}.png")
        write(label, root / f"masks/p{number}.{suffix}", number)
    return root


def check(root: Path, **flags: object) -> tuple[Report, Labels]:
    data = DataConfig(data=root, **flags)
    report = check_data(find(data), data)
    pairs = [row.pair for row in report.rows]
    return report, [] if report.problems else [
        read_mask(pair, report.resolved) for pair in pairs
    ]


def values_of(report: Report, ids: Labels) -> Labels:
    """The masks' own values again, −1 where they are ignored."""
    table = np.full(256, -1, np.int64)
    table[: len(report.resolved.class_values)] = report.resolved.class_values
    return [table[mask] for mask in ids]


def assert_read(report: Report, ids: Labels, truth: Labels) -> None:
    assert report.problems == ()
    for found, expected in zip(values_of(report, ids), truth, strict=True):
        np.testing.assert_array_equal(found, expected)


def the_question(report: Report) -> str:
    (problem,) = report.problems
    return problem.cause


def grey(label, path, number):
    Image.fromarray(label.astype(np.uint8)).save(path)


def sixteen_bits(label, path, number):
    Image.fromarray(label.astype(np.uint16)).save(path)


def whole_numbers(label, path, number):
    Image.fromarray(label.astype(np.int32)).save(path)


def colours(label, path, number):
    Image.fromarray(COLOURS[label]).save(path)


def palette(label, path, number):
    mask = Image.fromarray(label.astype(np.uint8))
    mask.putpalette(COLOURS.tobytes())
    mask.save(path)


def own_palette(label, path, number):
    """Indices in the order in which this file needs them, as an adaptive one has."""
    present = np.unique(label)[:: 1 if number % 2 else -1]
    mask = Image.fromarray(
        np.argsort(present)[np.searchsorted(np.sort(present), label)].astype(np.uint8)
    )
    mask.putpalette(COLOURS[present].tobytes())
    mask.save(path)


def packed(label: np.ndarray) -> np.ndarray:
    red, green, blue = np.moveaxis(COLOURS[label].astype(int), -1, 0)
    return (red << 16) | (green << 8) | blue


def smooth(label: np.ndarray) -> Image.Image:
    """Turned, drawn four times as large and shrunk, as drawing programs do."""
    height, width = label.shape
    large = Image.fromarray(label.astype(np.uint8)).resize(
        (4 * width, 4 * height), Image.Resampling.NEAREST
    )
    turned = large.rotate(17, Image.Resampling.NEAREST)
    return turned.resize((width, height), Image.Resampling.BOX)


def test_16_bit_classes_with_several_pieces_a_mask_are_classes(tmp_path):
    labels = scenes(1, 2, 3, 4)
    for label in labels:
        label[40:46, 2:60] = np.where(np.arange(58) % 8 < 4, label.max(), 0)
    for folder, write in [("u", sixteen_bits), ("i", whole_numbers)]:
        root = write_set(tmp_path / folder, labels, write, "tif")
        assert_read(*check(root), labels)


def test_16_bit_ids_of_one_piece_each_that_recur_are_a_question(tmp_path):
    report, _ = check(write_set(tmp_path, scenes(1, 2, 3, 4), sixteen_bits))
    assert "If they number objects: --mask-kind instances." in the_question(report)
    report, ids = check(tmp_path, mask_kind="classes")
    assert_read(report, ids, scenes(1, 2, 3, 4))


def test_16_bit_ids_of_many_single_pieces_are_instances(tmp_path):
    labels = [np.zeros(SHAPE, np.int32) for _ in range(4)]
    for number, label in enumerate(labels):
        for place in range(9 + number):
            top, left = 12 * (place // 5), 12 * (place % 5)
            label[top : top + 8, left : left + 8] = place + 1
    report, ids = check(write_set(tmp_path, labels, sixteen_bits))
    assert report.resolved.mask_kind == "instances"
    np.testing.assert_array_equal(ids[3], labels[3] > 0)


def test_a_stray_pixel_is_named_and_moves_nothing(tmp_path):
    labels = scenes(255)
    labels[3][0, 0] = 1
    report, ids = check(write_set(tmp_path, labels, grey))
    assert report.problems == ()
    for mask, label in zip(ids, labels, strict=True):
        np.testing.assert_array_equal(mask, label == 255)
    assert (
        f"{tmp_path}/masks/p3.png: 1 pixel of value 1; all others are 0 255, so these "
        "count as the nearest of them"
    ) in report.notes


def test_three_levels_with_soft_edges_are_three_classes(tmp_path):
    labels = scenes(128, 255)
    report, ids = check(
        write_set(tmp_path, labels, lambda label, path, _: smooth(label).save(path))
    )
    assert report.resolved.class_values == (0, 128, 255)
    for found, label in zip(values_of(report, ids), labels, strict=True):
        drawn = np.asarray(smooth(label)).astype(int)
        inside = np.isin(drawn, [0, 128, 255])
        np.testing.assert_array_equal(found[inside], drawn[inside])
        assert (np.abs(found - drawn) <= 64).all()
    assert any("soft edges: " in note and "nearest" in note for note in report.notes)


def test_two_levels_with_soft_edges_are_binary(tmp_path):
    report, _ = check(
        write_set(
            tmp_path, scenes(255), lambda label, path, _: smooth(label).save(path)
        )
    )
    assert (report.resolved.mask_kind, report.resolved.foreground_above) == (
        "binary",
        127,
    )


@pytest.mark.parametrize("quality", [75, 90, 95])
def test_levels_saved_as_jpeg_are_found_again(tmp_path, quality):
    labels = scenes(128, 255)
    labels = [np.kron(label, np.ones((2, 2), np.int32)) for label in labels]
    root = write_set(
        tmp_path,
        labels,
        lambda label, path, _: Image.fromarray(label.astype(np.uint8)).save(
            path, quality=quality
        ),
        "jpg",
    )
    report, ids = check(root)
    assert_read(report, ids, labels)
    assert any("JPEG noise" in note for note in report.notes)


@pytest.mark.parametrize("quality", [90, 95])
def test_colours_saved_as_jpeg_are_found_again(tmp_path, quality):
    labels = [np.kron(label, np.ones((2, 2), np.int32)) for label in scenes(1, 2, 3)]
    root = write_set(
        tmp_path,
        labels,
        lambda label, path, _: Image.fromarray(COLOURS[label]).save(
            path, quality=quality
        ),
        "jpg",
    )
    report, ids = check(root)
    colours = np.array(report.resolved.class_values)
    near = [
        np.abs(bytes_of(colours) - COLOURS[i].astype(int)).max(-1) for i in range(4)
    ]
    assert (np.min(near, axis=1) < 16).all()
    to_class = np.argmin(near, axis=1)
    for found, label in zip(ids, labels, strict=True):
        assert (found != to_class[label]).mean() < 0.01


def bytes_of(colours: np.ndarray) -> np.ndarray:
    return np.stack([colours >> 16, colours >> 8 & 255, colours & 255], -1)


def test_ids_that_jpeg_blurred_are_refused_with_the_reason(tmp_path):
    root = write_set(
        tmp_path,
        scenes(1, 2, 3),
        lambda label, path, _: Image.fromarray(label.astype(np.uint8)).save(
            path, quality=90
        ),
        "jpg",
    )
    assert "JPEG, which changes each value by a few" in the_question(check(root)[0])


def test_a_few_labelled_points_among_255_are_classes(tmp_path):
    labels = []
    for number in range(6):
        label = np.full(SHAPE, 255, np.int32)
        label[5:40:7, 3:60:9] = 0
        label[8:40:9, 6:60:14] = 1 + number % 5
        labels.append(label)
    report, ids = check(write_set(tmp_path, labels, grey))
    truth = [np.where(label == 255, -1, label) for label in labels]
    assert_read(report, ids, truth)
    assert report.resolved.ignore_values == (255,)


def test_ids_of_cityscapes_and_255_are_classes_and_nothing(tmp_path):
    labels = [np.where(label == 0, 7, label) for label in scenes(11, 26, 33, 255)]
    report, ids = check(write_set(tmp_path, labels, grey))
    assert_read(report, ids, [np.where(label == 255, -1, label) for label in labels])
    assert report.resolved.class_names == (
        "class_7",
        "class_11",
        "class_26",
        "class_33",
    )


def test_several_values_can_be_no_class(tmp_path):
    labels = scenes(4, 7, 11)
    root = write_set(tmp_path, labels, grey)
    report, ids = check(root, ignore_values=(0, 4))
    assert report.resolved.class_values == (7, 11)
    assert set(np.unique(ids)) == {0, 1, 255}


def test_what_is_below_0_is_ignored_and_said(tmp_path):
    labels = scenes(1, 2, -1)
    report, ids = check(
        write_set(tmp_path, labels, whole_numbers, "tif"), mask_kind="classes"
    )
    assert_read(report, ids, labels)
    assert any("are -1, which is no class and ignored" in note for note in report.notes)


def test_nan_is_ignored_and_said(tmp_path):
    def fractions(label, path, _):
        values = np.where(label == 2, np.nan, label).astype(np.float32)
        Image.fromarray(values).save(path)

    report, ids = check(write_set(tmp_path, scenes(1, 2), fractions, "tif"))
    assert any(
        "are NaN, which is no class and ignored" in note for note in report.notes
    )
    assert set(np.unique(ids)) == {0, 1, 255}


def test_minus_one_against_one_is_a_question(tmp_path):
    labels = [np.where(label > 0, 1, -1) for label in scenes(1)]
    root = write_set(tmp_path, labels, whole_numbers, "tif")
    assert "--foreground-above 0" in the_question(check(root)[0])
    _, ids = check(root, foreground_above=0)
    np.testing.assert_array_equal(ids, np.array(labels) > 0)


def test_the_colour_of_the_borders_is_the_background(tmp_path):
    labels = [np.where(label == 0, 4, label % 4) for label in scenes(4, 1, 2)]
    report, ids = check(write_set(tmp_path, labels, colours))
    assert report.resolved.class_values[0] == 0xC8C800
    assert_read(report, ids, [packed(label) for label in labels])
    assert any("0xc8c800 fills most of the masks' borders" in n for n in report.notes)


@pytest.mark.parametrize("colour", [0, 255])
def test_a_mask_in_the_alpha_channel_is_read_there(tmp_path, colour):
    labels = scenes(255)

    def alpha(label, path, _):
        pixels = np.full((*label.shape, 4), colour, np.uint8)
        pixels[..., 3] = label
        Image.fromarray(pixels).save(path)

    report, ids = check(write_set(tmp_path, labels, alpha))
    for mask, label in zip(ids, labels, strict=True):
        np.testing.assert_array_equal(mask, label == 255)
    assert "the masks' colours say nothing: their alpha channel counts" in report.notes


def test_one_transparent_pixel_among_black_and_white_is_a_question(tmp_path):
    def nearly_opaque(label, path, number):
        pixels = np.full((*label.shape, 4), 255, np.uint8)
        pixels[..., :3] = label[..., None]
        pixels[0, 0, 3] = 0 if number == 2 else 255
        Image.fromarray(pixels).save(path)

    report, _ = check(write_set(tmp_path, scenes(255), nearly_opaque))
    assert "1 pixels of the masks are transparent" in the_question(report)


def test_a_palette_whose_background_is_not_its_first_entry(tmp_path):
    def red_first(label, path, _):
        mask = Image.fromarray((label == 0).astype(np.uint8))
        mask.putpalette([255, 0, 0, 0, 0, 0])
        mask.save(path)

    labels = scenes(1)
    report, ids = check(write_set(tmp_path, labels, red_first))
    assert report.resolved.class_values == (1, 0)
    np.testing.assert_array_equal(ids[0], labels[0])


def test_black_on_white_in_a_palette_is_a_question(tmp_path):
    def black_object(label, path, _):
        mask = Image.fromarray(label.astype(np.uint8))
        mask.putpalette([255, 255, 255, 0, 0, 0, 255, 0, 0])
        mask.save(path)

    root = write_set(tmp_path, scenes(1, 2), black_object)
    question = the_question(check(root)[0])
    assert "--class-values 1 0 2 or --class-values 0 1 2" in question
    assert check(root, class_values=(0, 1, 2))[0].problems == ()


def test_a_grey_level_around_all_others_beside_0_is_a_question(tmp_path):
    """REFUGE has 0 for the cup, 128 for the disc around it, 255 for the rest."""
    labels = [np.where(label == 0, 255, label % 255) for label in scenes(255, 128)]
    root = write_set(tmp_path, labels, grey)
    way = "0 or 255, which fills most of their borders: --class-values 0 128 255 or "
    assert f"{way}--class-values 255 0 128" in the_question(check(root)[0])
    report, ids = check(root, class_values=(255, 0, 128))
    assert_read(report, ids, labels)
    (root / "labels.txt").write_text("0 rest\n128 disc\n255 edge\n")
    assert check(root)[0].resolved.class_values == (0, 128, 255)
    (root / "labels.txt").write_text("0 cup\n128 disc\n255 background\n")
    assert way in the_question(check(root)[0])


def test_values_that_a_threshold_makes_background_are_said(tmp_path):
    root = write_set(tmp_path, [*scenes(1), *scenes(255)], grey)
    notes = check(root, foreground_above=127)[0].notes
    assert "0 1 all count as background" in notes


def test_255_beside_one_value_and_nothing_else_is_a_question(tmp_path):
    root = write_set(tmp_path, [*scenes(1), *scenes(255)], grey)
    assert "What 255 means" in the_question(check(root, ignore_values=(0,))[0])


def test_steps_between_two_small_values_are_a_question(tmp_path):
    def resized(label, path, _):
        mask = Image.fromarray(label.astype(np.uint8))
        for size in (65, 45), (130, 90):
            mask = mask.resize(size, Image.Resampling.BILINEAR)
        mask.save(path)

    rows, columns = np.mgrid[:90, :130]
    discs = [5 * ((rows - 40) ** 2 + (columns - 50 - n) ** 2 < 900) for n in range(4)]
    root = write_set(tmp_path, discs, resized)
    question = the_question(check(root)[0])
    assert "1 2 3 4 nowhere fills a region" in question
    assert "--foreground-above 2. If it is a class" in question


def test_255_beside_65535_is_a_question(tmp_path):
    def of_8_or_16_bits(label, path, number):
        top, kind = (255, np.uint8) if number % 2 else (65535, np.uint16)
        Image.fromarray((label * top).astype(kind)).save(path)

    question = the_question(check(write_set(tmp_path, scenes(1), of_8_or_16_bits))[0])
    assert "What 255 65535 mean cannot be told" in question


@pytest.mark.parametrize("objects", [(1, 2), (1, 2, 3)])
def test_255_that_fills_most_is_a_question(tmp_path, objects):
    def numbered_from_0(label, path, number):
        grey(np.where(label == 0, 255, label - 1), path, number)

    root = write_set(tmp_path, scenes(*objects, count=9), numbered_from_0)
    report, _ = check(root)
    assert "255" in the_question(report)
    assert check(root, ignore_values=(255,))[0].resolved.ignore_values == (255,)


def test_anti_aliased_lines_are_a_question(tmp_path):
    def thin(label, path, number):
        large = np.zeros((4 * 48, 4 * 64), np.uint8)
        for place in range(0, 180, 29):
            large[np.arange(190), np.arange(190) // 3 + place // 3] = 255
            large[place : place + 5, :] = 255
        image = Image.fromarray(large).rotate(20 + number)
        image.resize((64, 48), Image.Resampling.BOX).save(path)

    root = write_set(tmp_path, scenes(1), thin)
    assert "mean cannot be told: give --mask-kind binary" in the_question(
        check(root)[0]
    )
    report, _ = check(root, mask_kind="binary")
    assert report.resolved.foreground_above > 60


def test_colours_under_transparent_pixels_do_not_count(tmp_path):
    labels = scenes(1, 2)

    def hidden(label, path, number):
        pixels = np.concatenate([COLOURS[label], 255 * (label[..., None] > 0)], -1)
        pixels[label == 0, :3] = 77 * (number % 3)
        Image.fromarray(pixels.astype(np.uint8)).save(path)

    report, ids = check(write_set(tmp_path, labels, hidden))
    assert_read(report, ids, [packed(label) for label in labels])


def test_of_palettes_that_differ_the_colours_count(tmp_path):
    labels = scenes(1, 2)
    report, ids = check(write_set(tmp_path, labels, own_palette))
    assert_read(report, ids, [packed(label) for label in labels])


def test_palettes_and_colours_can_be_mixed(tmp_path):
    labels = scenes(1, 2, 3)

    def either(label, path, number):
        (palette if number % 2 else colours)(label, path, number)

    report, ids = check(write_set(tmp_path, labels, either))
    assert_read(report, ids, [packed(label) for label in labels])


def test_a_palette_that_is_all_black_leaves_the_indices(tmp_path):
    labels = scenes(1, 2)

    def black(label, path, _):
        mask = Image.fromarray(label.astype(np.uint8))
        mask.putpalette([0] * 768)
        mask.save(path)

    report, ids = check(write_set(tmp_path, labels, black))
    assert_read(report, ids, labels)
    assert any("their indices count" in note for note in report.notes)


def test_names_come_from_a_list_beside_the_masks(tmp_path):
    root = write_set(tmp_path, scenes(7, 11), grey)
    (root / "labels.csv").write_text("id,name\n0,sky\n7,road\n11,car\n12,bus\n")
    report, _ = check(root)
    assert report.resolved.class_names == ("sky", "road", "car")
    assert f"3 of 3 classes have their names from {root}/labels.csv" in report.notes


WRITERS: dict[str, tuple[Write, str]] = {
    "grey": (grey, "png"),
    "bmp": (grey, "bmp"),
    "palette": (palette, "png"),
    "own palette": (own_palette, "png"),
    "colours": (colours, "png"),
    "16 bits": (sixteen_bits, "png"),
    "whole numbers": (whole_numbers, "tif"),
}


@st.composite
def label_maps(draw: st.DrawFn) -> Labels:
    """Some masks of boxes, each class large enough to be no slip of the hand."""
    classes = draw(st.integers(1, 4))
    labels = []
    for _ in range(draw(st.integers(2, 4))):
        label = np.zeros((24, 32), np.int32)
        for _ in range(draw(st.integers(0, 5))):
            top, left = draw(st.integers(0, 18)), draw(st.integers(0, 26))
            label[top : top + 6, left : left + 6] = draw(st.integers(1, classes))
        labels.append(label)
    labels[0][:12, :8] = 1
    pixels = np.unique(np.stack(labels), return_counts=True)[1]
    assume(pixels.min() > 16)
    return labels


@pytest.mark.parametrize("coding", WRITERS)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(labels=label_maps())
def test_what_was_written_is_read_or_asked_about(tmp_path_factory, coding, labels):
    write, suffix = WRITERS[coding]
    root = write_set(tmp_path_factory.mktemp("set") / "d", labels, write, suffix)
    report, ids = check(root)
    if report.problems:
        assert "--mask-kind" in the_question(report)
        return
    resolved = report.resolved
    for mask, label in zip(ids, labels, strict=True):
        if resolved.mask_kind == "classes":
            truth = packed(label) if resolved.mask_reading == "colours" else label
            table = np.array(resolved.class_values)
            np.testing.assert_array_equal(table[mask], truth)
        else:
            foreground = {*np.unique(np.stack(labels)).tolist()} - {0}
            assert resolved.mask_kind == "instances" or len(foreground) <= 1
            np.testing.assert_array_equal(mask, label > 0)


def alpha(label, path, number):
    pixels = np.zeros((*label.shape, 4), np.uint8)
    pixels[..., 3] = 255 * (label > 0)
    Image.fromarray(pixels).save(path)


def jpeg(label, path, number):
    Image.fromarray(255 * (label > 0).astype(np.uint8)).save(path, quality=85)


@pytest.mark.parametrize(("write", "suffix"), [(alpha, "png"), (jpeg, "jpg")])
@settings(max_examples=25, deadline=None)
@given(labels=label_maps())
def test_a_foreground_that_was_written_is_read(tmp_path_factory, write, suffix, labels):
    root = write_set(tmp_path_factory.mktemp("set") / "d", labels, write, suffix)
    report, ids = check(root)
    assert report.problems == ()
    for mask, label in zip(ids, labels, strict=True):
        np.testing.assert_array_equal(mask, label > 0)


def test_a_list_that_does_not_name_255_leaves_it_ignored(tmp_path):
    root = write_set(tmp_path, scenes(1, 2, 255), grey)
    (root / "labels.txt").write_text("background\ncat\ndog\n")
    report, _ = check(root)
    assert report.resolved.class_names == ("background", "cat", "dog")
    assert report.resolved.ignore_values == (255,)


@pytest.mark.parametrize(
    ("kind", "objects"), [("classes", (7, 11, 26)), ("instances", (1, 2, 3))]
)
def test_255_beside_ids_is_ignored_whatever_they_are_said_to_be(
    tmp_path, kind, objects
):
    root = write_set(tmp_path, scenes(*objects, 255), grey)
    report, ids = check(root, mask_kind=kind)
    assert report.resolved.ignore_values == (255,)
    for mask, label in zip(ids, scenes(*objects, 255), strict=True):
        np.testing.assert_array_equal(mask == 255, label == 255)


def test_255_is_a_class_where_a_list_names_it(tmp_path):
    root = write_set(tmp_path, scenes(1, 2, 255), grey)
    (root / "labels.txt").write_text("0 rest\n1 cat\n2 dog\n255 edge\n")
    resolved = check(root, mask_kind="classes")[0].resolved
    assert resolved.class_names == ("rest", "cat", "dog", "edge")


def test_a_question_about_ids_names_255_which_is_none(tmp_path):
    root = write_set(tmp_path, scenes(1, 2, 3, 255), sixteen_bits)
    question = the_question(check(root)[0])
    assert question.endswith("classes. What is no label: --ignore-values 255")


def test_255_is_the_foreground_whatever_a_list_of_two_classes_counts(tmp_path):
    root = write_set(tmp_path / "one", scenes(255), grey)
    (root / "classes.txt").write_text("background\npolyp\n")
    report, ids = check(root)
    assert (report.problems, report.resolved.mask_kind) == ((), "binary")
    np.testing.assert_array_equal(ids[0], scenes(255)[0] == 255)
    root = write_set(tmp_path / "mixed", [*scenes(1), *scenes(255)], grey)
    (root / "classes.txt").write_text("background\npolyp\n")
    assert "What 255 means cannot be told" in the_question(check(root)[0])


def test_255_beside_two_values_that_a_list_names_is_ignored(tmp_path):
    root = write_set(tmp_path, scenes(40, 255), grey)
    (root / "labels.csv").write_text("id,name\n0,rest\n40,car\n")
    resolved = check(root)[0].resolved
    assert (resolved.class_values, resolved.ignore_values) == ((0, 40), (255,))


def test_names_that_may_count_from_0_or_from_1_are_a_question(tmp_path):
    """SegNet's CamVid has classes 0 to 10, and 11 for what is none."""
    labels = [np.where(label == 0, 1, label % 3) for label in scenes(3, 2)]
    root, names = write_set(tmp_path, labels, grey), tmp_path / "classes.txt"
    names.write_text("sky\nroad\n")
    question = the_question(check(root)[0])
    assert "its 2 names may be of the values 1 to 2, or of 0 to 1" in question
    names.write_text("1 sky\n2 road\n")
    assert check(root)[0].resolved.class_names == ("background", "sky", "road")
    names.write_text("0 sky\n1 road\n")
    resolved = check(root, ignore_values=(2,))[0].resolved
    assert (resolved.class_names, resolved.class_values) == (("sky", "road"), (0, 1))


def test_a_threshold_outweighs_a_list_of_classes(tmp_path):
    root = write_set(tmp_path, scenes(1, 2), grey)
    (root / "labels.txt").write_text("background\ncat\ndog\n")
    report, ids = check(root, foreground_above=1)
    assert (report.problems, report.resolved.mask_kind) == ((), "binary")
    assert {value for mask in ids for value in np.unique(mask)} == {0, 1}


def test_classes_that_a_binary_network_merges_are_said(tmp_path):
    report, _ = check(write_set(tmp_path, scenes(1, 2, 3), grey), mask_kind="binary")
    assert "1 2 3 all count as foreground" in report.notes


def test_lines_between_regions_are_a_question(tmp_path):
    labels = scenes(255)
    for label in labels:
        label[30] = 128
    report, _ = check(write_set(tmp_path, labels, grey))
    question = the_question(report)
    assert "128 nowhere fills a region" in question
    assert "--foreground-above 127" in question
    assert "--ignore-values 128" in question


@pytest.mark.parametrize(
    "write", [grey, palette, own_palette, colours, sixteen_bits, alpha]
)
def test_records_say_what_their_files_said(tmp_path, write):
    labels = scenes(1, 2, 3)
    labels[0][:] = 3 * (labels[0] > 0)
    for label in labels:
        label[40:46, 2:60] = np.where(np.arange(58) % 8 < 4, label.max(), 0)
    root = write_set(tmp_path / "files", labels, write)
    size = f"--image-size {SHAPE[0]} {SHAPE[1]}".split()
    assert main(["records", str(root), "--output", str(tmp_path / "r"), *size]) == 0
    report, _ = check(root)
    recorded = check_data(find(DataConfig(data=tmp_path / "r")), DataConfig())
    assert recorded.problems == ()
    same = ("mask_reading", "mask_kind", "class_values", "foreground_above")
    for name in same:
        assert getattr(recorded.resolved, name) == getattr(report.resolved, name)
    assert [row.shares for row in recorded.rows] == [row.shares for row in report.rows]


EXPECTED = {
    "A_uint16_classes": "?--mask-kind instances",
    "A3_int32_classes": "?--mask-kind instances",
    "B_stray1": (0, 255),
    "C2_aa3": (0, 128, 255),
    "C_jpeg3_q90": (0, 128, 255),
    "D4_adaptive_tiles": (0, 0x00FF00, 0xFF0000),
    "I_alpha_white": (0, 255),
    "I2_alpha_black": (0, 255),
    "J2_cityflat": (0, 7, 11, 23, 26),
    "N_voc": (0, 1, 15, 20),
    "a_points": (0, 1, 2, 3, 4, 5),
    "b_city255": (7, 11, 23, 26, 33),
    "o_mixed_P_RGB": (0, 0x008000, 0x800000),
    "r_cvat_bg": (0x00D7FF, 0, 0xFF00CC),
    "v2_blackpal": (0, 1, 2),
    "v_minus1": (0, 1),
    "y_ids_jpeg": "?Write the masks as PNG",
}


@pytest.mark.real_data
@pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/data/cases")
@pytest.mark.parametrize("case", EXPECTED)
def test_the_sets_of_others_are_read_rightly_or_asked_about(case):
    report, _ = check(CASES / case)
    expected = EXPECTED[case]
    if isinstance(expected, str):
        assert expected.removeprefix("?") in the_question(report)
    elif len(expected) == 2:
        assert (report.problems, report.resolved.mask_kind) == ((), "binary")
    else:
        assert (report.problems, report.resolved.class_values) == ((), expected)


def through_jpeg(levels: list[object], quality: int = 90) -> Write:
    def write(label, path, _):
        jpeg = io.BytesIO()
        Image.fromarray(np.uint8(levels)[label]).save(jpeg, "JPEG", quality=quality)
        Image.open(jpeg).save(path)

    return write


@pytest.mark.parametrize("values", [(254, 255), (127, 128)])
def test_levels_that_differ_by_hardly_anything_are_a_question(tmp_path, values):
    labels = [np.where(label, 200, 0) for label in scenes(1)]
    for number, label in enumerate(labels):
        label[:6] = values[number % 2]
    question = the_question(check(write_set(tmp_path, labels, grey))[0])
    assert " ".join(map(str, values)) + " are nearly the same" in question
    report, ids = check(tmp_path, class_values=(0, 200, values[0]), snap_values=True)
    assert report.problems == ()
    assert all((mask[:6] == 2).all() for mask in ids)


def test_neighbours_in_a_palette_are_not_nearly_the_same(tmp_path):
    def indexed(label, path, _):
        mask = Image.fromarray(label.astype(np.uint8))
        mask.putpalette(np.random.default_rng(0).bytes(768))
        mask.save(path)

    labels = scenes(100, 101, 200)
    report, ids = check(write_set(tmp_path, labels, indexed))
    assert_read(report, ids, labels)


def test_colours_slightly_off_in_some_files_are_a_question(tmp_path):
    def off(label, path, number):
        found = np.abs(COLOURS[label].astype(int) - (number == 3)).astype(np.uint8)
        Image.fromarray(found).save(path)

    labels = scenes(1, 2, 3)
    question = the_question(check(write_set(tmp_path, labels, off))[0])
    assert "0x0000ff 0x0101fe" in question
    named = "--class-values 0x000000 0x0000ff 0x00c800 0xc80000 --snap-values"
    assert named in question
    classes = tuple(int(word, 16) for word in named.split()[1:-1])
    report, ids = check(tmp_path, class_values=classes, snap_values=True)
    assert_read(report, ids, [packed(label) for label in labels])


def test_ids_in_the_red_channel_are_classes(tmp_path):
    def red(label, path, _):
        Image.fromarray(np.dstack([label, 0 * label, 0 * label]).astype(np.uint8)).save(
            path
        )

    labels = scenes(1, 2, 20)
    report, ids = check(write_set(tmp_path, labels, red))
    assert_read(report, ids, [label << 16 for label in labels])


def test_soft_corners_of_three_colours_are_no_classes(tmp_path):
    def soft(label, path, number):
        large = Image.fromarray(COLOURS[label]).resize((128, 96), 0)
        turned = large.rotate(9 + number, Image.Resampling.NEAREST)
        turned.resize((64, 48), Image.Resampling.BILINEAR).save(path)

    labels = scenes(1, 2, 3, 4)
    for label in labels:
        label[20:30, 12:26], label[24:34, 20:40] = 1, 2
    report, _ = check(write_set(tmp_path, labels, soft))
    assert report.problems == ()
    assert set(report.resolved.class_values) == set(packed(np.arange(5)).tolist())


@pytest.mark.parametrize("quality", [75, 90, 95])
def test_levels_that_were_jpeg_before_are_never_lost(tmp_path, quality):
    rows, columns = np.mgrid[:48, :64]
    labels = [np.zeros(SHAPE, np.int32) for _ in range(8)]
    for number, label in enumerate(labels):
        for place in range(4):
            top, left = 10 + 9 * place, 9 + 14 * place + number
            far = np.hypot(rows - top, columns - left)
            label[far < (4.7 if place % 2 else 8.3)] = 1 + (place % 4 == 2)
    write_set(tmp_path, labels, through_jpeg([0, 128, 255], quality))
    report, _ = check(tmp_path)
    assert report.problems or report.resolved.class_values == (0, 128, 255)


def test_noise_of_colours_that_were_jpeg_before_is_a_question(tmp_path):
    labels = [np.kron(label, np.ones((8, 8), np.int32)) for label in scenes(1, 3)]
    question = the_question(
        check(write_set(tmp_path, labels, through_jpeg(COLOURS)))[0]
    )
    assert "--class-values 0x000000" in question
    assert "--snap-values" in question


def test_objects_in_colours_that_recur_are_a_question(tmp_path):
    labels = []
    for number in range(6):
        label = np.zeros(SHAPE, np.int32)
        for place in range(6 + number):
            top, left = 12 * (place // 5), 12 * (place % 5)
            label[top : top + 8, left : left + 8] = 1 + (place * 7 + number) % 12
        labels.append(label)
    table = np.random.default_rng(0).permutation(np.arange(0, 250, 18))
    table[0] = 0

    def write(label, path, _):
        Image.fromarray(
            table[np.dstack([label, label * 5 % 13, label])].astype("u1")
        ).save(path)

    question = the_question(check(write_set(tmp_path, labels, write))[0])
    assert "each of them one connected piece of a mask" in question


def colours_of_16_bits(step):
    def write(label, path, number):
        tifffile = pytest.importorskip("tifffile", reason="needs the extra tiff")
        grey = (label * step).astype(np.uint16)
        tifffile.imwrite(path, np.stack([grey] * 3, -1), photometric="rgb")

    return write


def test_16_bit_colours_whose_upper_bits_say_all_are_read(tmp_path):
    truth = scenes(1)
    root = write_set(tmp_path, truth, colours_of_16_bits(65535), "tif")
    np.testing.assert_array_equal(check(root)[1], truth)


def test_16_bit_colours_whose_lower_bits_say_something_are_refused(tmp_path):
    root = write_set(tmp_path, scenes(1, 300), colours_of_16_bits(1), "tif")
    problems = check(root)[0].problems
    assert len(problems) == 8
    assert "in colours of 16 bits, of which 8 are read" in problems[0].cause


def bilevel(white):
    def write(label, path, number):
        tifffile = pytest.importorskip("tifffile", reason="needs the extra tiff")
        kind = "miniswhite" if number in white else "minisblack"
        tifffile.imwrite(path, label > 0, photometric=kind)

    return write


def test_masks_that_are_stored_the_other_way_round_are_a_question(tmp_path):
    truth = scenes(1)
    root = write_set(tmp_path, truth, bilevel(range(8)), "tif")
    question = the_question(check(root)[0])
    assert "seen black: --class-values 0 255. If it is seen white" in question
    _, ids = check(root, class_values=(255, 0))
    np.testing.assert_array_equal(ids, truth)


def test_masks_stored_one_way_and_the_other_are_refused_whatever_is_said(tmp_path):
    root = write_set(tmp_path, scenes(1), bilevel(range(3)), "tif")
    question = the_question(check(root, foreground_above=127)[0])
    assert question.startswith("3 masks are TIFF whose 0 is white")


def test_images_as_masks_are_refused_at_once(tmp_path):
    """Their thousands of even colours once took hours to compare."""
    root = write_set(tmp_path, scenes(255), grey)
    (root / "images").rename(root / "both")
    (root / "masks").rename(root / "images")
    (root / "both").rename(root / "masks")
    for file in (root / "masks").iterdir():
        image = Image.open(file)
        image.resize((256, 192), Image.Resampling.NEAREST).save(file)
        (root / "images" / file.name).unlink()
        image.resize((256, 192)).convert("L").save(root / "images" / file.name)
    assert "are images and masks swapped?" in the_question(check(root)[0])
