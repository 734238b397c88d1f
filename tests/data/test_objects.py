"""Masks of one object each, as in Data Science Bowl 2018."""

import itertools
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from keras_unet.config import Config, PredictConfig, UNetConfig
from keras_unet.data.check import check_data
from keras_unet.data.layouts import find
from keras_unet.data.look import LookCache, look_at
from keras_unet.data.masks import read_mask, read_values
from keras_unet.data.objects import in_16_bits, number_instances, number_pieces
from keras_unet.data.pair import Pair
from keras_unet.data.pairs import prepare, split_of_run
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData
from keras_unet.run_folder import RunFolder


def draw(file: Path, pixels: list[list[int]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(pixels, np.uint8)).save(file)


@pytest.fixture
def root(tmp_path) -> Path:
    """Four images with two objects each, which overlap in the middle."""
    for number in range(4):
        folder = tmp_path / f"set/id{number}"
        draw(folder / f"images/id{number}.png", [[number, 9, 9, 9]] * 2)
        draw(folder / "masks/a.png", [[255, 255, 0, 0], [0, 0, 0, 0]])
        draw(folder / "masks/b.png", [[0, 255, 255, 0], [0, 0, 0, 0]])
    return tmp_path / "set"


def pair_of(root: Path) -> Pair:
    return Pair(root / "id0/images/id0.png", root / "id0/masks", "id0")


def test_pixels_have_the_number_of_their_object_and_the_later_one_wins(root):
    assert read_values(pair_of(root), DataConfig()).tolist() == [
        [1, 2, 2, 0],
        [0, 0, 0, 0],
    ]


def test_objects_are_read_at_another_size_too(root):
    assert read_values(pair_of(root), DataConfig(), (1, 2)).tolist() == [[0, 0]]


def test_more_objects_than_a_byte_counts_have_numbers_of_their_own(tmp_path):
    for number in range(300):
        pixels = np.zeros((1, 300), np.uint8)
        pixels[0, number] = 1
        draw(tmp_path / f"masks/{number:03}.png", pixels.tolist())
    draw(tmp_path / "i.png", [[0] * 300])
    values = read_values(
        Pair(tmp_path / "i.png", tmp_path / "masks", "g"), DataConfig()
    )
    assert values.tolist() == [list(range(1, 301))]


def test_objects_are_instances_unless_another_kind_is_given(root):
    data = DataConfig(data=root)
    report = check_data(find(data), data)
    assert (report.problems, report.resolved.mask_kind) == ((), "instances")
    assert report.table()["masks"] == "folder of objects (4)"
    assert read_mask(pair_of(root), report.resolved).tolist()[0] == [1, 1, 1, 0]
    binary = DataConfig(data=root, mask_kind="binary", foreground_above=0)
    assert check_data(find(binary), binary).resolved.mask_kind == "binary"


def test_where_each_image_has_one_mask_it_is_a_mask_like_any_other(root):
    for number in range(4):
        (root / f"id{number}/masks/b.png").unlink()
    found = find(DataConfig(data=root))
    assert [pair.mask.name for pair in found.pairs] == ["a.png"] * 4
    assert "mask_kind" not in found.says


@pytest.mark.parametrize(
    ("pixels", "cause"),
    [
        ([[0, 1, 2, 0]] * 2, "is no mask of one object: it has 2 values but 0"),
        ([[0, 1, 1]] * 2, "is 3×2, the first one 4×2"),
    ],
)
def test_a_file_that_is_no_mask_of_an_object_is_named(root, pixels, cause):
    draw(root / "id0/masks/b.png", pixels)
    data = DataConfig(data=root)
    [problem] = check_data(find(data), data).problems
    assert (problem.file, problem.cause) == (root / "id0/masks/b.png", cause)


def test_masks_of_another_size_than_the_image_are_named(root):
    for name in ("a", "b"):
        draw(root / f"id0/masks/{name}.png", [[0, 1]])
    data = DataConfig(data=root)
    [problem] = check_data(find(data), data).problems
    assert problem.cause == "is 2×1, its image 4×2"


def test_a_folder_of_several_images_and_their_masks_is_a_group(tmp_path):
    for folder in ("p1", "p2"):
        for name in ("a", "b"):
            draw(tmp_path / f"{folder}/images/{name}.png", [[0, 0]])
            draw(tmp_path / f"{folder}/masks/{name}.png", [[0, 1]])
    found = find(DataConfig(data=tmp_path))
    assert [p.group for p in found.pairs] == ["p1", "p2", "p1", "p2"]
    assert [p.mask.name for p in found.pairs] == ["a.png", "a.png", "b.png", "b.png"]
    assert "mask_kind" not in found.says


@pytest.mark.parametrize(
    ("gone", "place", "cause"),
    [
        ("masks/*.png", "masks", "holds no masks"),
        ("images/*.png", "images", "holds 0 images; expected one, its objects in "),
    ],
)
def test_a_folder_without_its_image_or_masks_is_named(root, gone, place, cause):
    for file in (root / "id0").glob(gone):
        file.unlink()
    [problem] = find(DataConfig(data=root)).problems
    assert problem.file == root / "id0" / place
    assert problem.cause.startswith(cause)


def test_a_second_look_finds_the_same_and_a_changed_object_is_looked_at_again(root):
    with closing(LookCache()) as cache:
        first = look_at(pair_of(root), DataConfig(), cache)
        assert first.mask.values.readings["levels"].counts == {0: 5, 1: 1, 2: 2}
        assert look_at(pair_of(root), DataConfig(), cache) == first
        draw(root / "id0/masks/c.png", [[0, 0, 0, 1], [0, 0, 0, 0]])
        again = look_at(pair_of(root), DataConfig(), cache).mask
    assert again.values.readings["levels"].counts == {0: 4, 1: 1, 2: 2, 3: 1}
    assert again.fingerprint != first.mask.fingerprint


def test_a_run_knows_its_objects_again_and_names_those_that_changed(root, tmp_path):
    run = RunFolder(tmp_path / "run")
    run.save_config(Config(data=DataConfig(data=root)))
    prepare(run.load_config().data).write_split(run)
    split_of_run(run)
    draw(root / "id2/masks/a.png", [[0, 0, 0, 0], [255, 255, 255, 255]])
    with pytest.raises(BadData, match="id2/masks: has changed since the training"):
        split_of_run(run)


def test_single_objects_are_no_classes(root):
    data = DataConfig(data=root, mask_kind="classes", class_values=(0, 1, 2))
    with pytest.raises(BadData, match="one object a file, which are no classes"):
        check_data(find(data), data)


BORDERS = Config(
    data=DataConfig(mask_kind="instances", targets="borders"),
    model=UNetConfig(classes=3),
)


def test_pieces_that_touch_at_a_corner_are_one():
    mask = np.array([[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]], np.uint8)
    found = number_pieces(mask)
    assert found.dtype == np.uint16
    assert found.tolist() == [[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 2]]


def test_pieces_are_of_one_class_and_their_numbers_run_on():
    mask = np.array([[5, 2, 2, 0, 5], [5, 0, 0, 0, 0], [0, 0, 2, 0, 5]], np.uint8)
    wanted = [[3, 1, 1, 0, 4], [3, 0, 0, 0, 0], [0, 0, 2, 0, 5]]
    assert number_pieces(mask).tolist() == wanted


def test_nothing_has_no_pieces():
    assert not number_pieces(np.zeros((3, 4), np.uint8)).any()


@pytest.mark.parametrize("classes", [1, 2])
def test_more_pieces_than_16_bits_number_are_refused(classes):
    mask = np.zeros((512, 514), np.uint8)
    mask[::2, ::2] = 1
    mask[:256] *= classes
    assert number_pieces(mask[:, :510]).max() == 255 * 256
    with pytest.raises(BadData, match="has 65792 pieces, and 65535 is the most"):
        number_pieces(mask)


def test_pieces_of_cells_grow_over_the_borders_between_them():
    pytest.importorskip("skimage", reason="needs the extra science")
    mask = np.array([[1, 1, 2, 2, 1, 1, 0, 2, 2]] * 3, np.uint8)
    found = number_instances(mask, BORDERS)
    assert found.dtype == np.uint16
    assert found[1].tolist() == [1, 1, 1, 2, 2, 2, 0, 0, 0]


def cut(probability, threshold=0.3, boundary_threshold=0.5):
    """Returns the instances of a probability (h, w), as ``predict`` finds them."""
    how = PredictConfig(threshold, boundary_threshold=boundary_threshold)
    mask = (probability > threshold).astype(np.uint8)
    levels = in_16_bits(np.asarray(probability, np.float32))
    return number_instances(mask, Config(predict=how), levels)


def two_cells(membrane, gap):
    """Returns the probability of cells side by side, and of what is between them."""
    probability = np.full((24, 40), 0.01)
    probability[2:22, 2:38] = 0.98
    probability[2:22, 19:21] = membrane
    probability[10:13, 19:21] = gap
    return probability


@pytest.mark.parametrize(
    ("membrane", "gap", "cells"), [(0.1, 0.9, 2), (0.45, 0.9, 2), (0.9, 0.1, 1)]
)
def test_cells_are_one_where_most_of_the_boundary_is_probable(membrane, gap, cells):
    pytest.importorskip("skimage", reason="needs the extra science")
    probability = two_cells(membrane, gap)
    found = cut(probability)
    np.testing.assert_array_equal(found > 0, probability > 0.3)
    assert found.max() == cells
    assert (found[12, 5] == found[12, 35]) == (cells == 1)


@pytest.mark.parametrize("margin", [0, 5, 20])
@pytest.mark.parametrize(("membrane", "gap"), [(0.1, 0.9), (0.9, 0.1)])
def test_background_around_cells_changes_nothing(membrane, gap, margin):
    pytest.importorskip("skimage", reason="needs the extra science")
    probability = two_cells(membrane, gap)
    wide = cut(np.pad(probability, margin, constant_values=0.01))
    inside = np.s_[margin : margin + 24, margin : margin + 40]
    np.testing.assert_array_equal(wide[inside], cut(probability))


@pytest.mark.parametrize("margin", [1, 20])
def test_a_cell_with_a_waist_stays_one(margin):
    pytest.importorskip("skimage", reason="needs the extra science")
    y, x = np.mgrid[-12:13, -20:21]
    cell = np.minimum((x - 8) ** 2, (x + 8) ** 2) + y**2 <= 144
    probability = np.pad(np.where(cell, 0.98, 0.01), margin, constant_values=0.01)
    assert cut(probability, 0.5, 0.5).max() == 1


@pytest.mark.parametrize("threshold", [0.1, 0.3])
def test_cells_of_a_grid_come_apart_also_where_membranes_are_in_the_mask(threshold):
    pytest.importorskip("skimage", reason="needs the extra science")
    probability = np.full((104, 104), 0.2)
    for top, left in itertools.product((2, 36, 70), repeat=2):
        probability[top : top + 30, left : left + 30] = 0.98
    assert cut(probability, threshold, 0.5).max() == 9


def test_what_does_not_touch_is_never_one():
    pytest.importorskip("skimage", reason="needs the extra science")
    assert cut(two_cells(0.45, 0.45), 0.5, 0.3).max() == 2


def test_a_membrane_above_the_mask_s_threshold_parts_cells():
    pytest.importorskip("skimage", reason="needs the extra science")
    probability = two_cells(0.6, 0.6)
    assert cut(probability, 0.3, 0.5).max() == 1
    assert cut(probability, 0.3, 0.7).max() == 2
    assert cut(probability, 0.5, 0.7)[12, 19:21].all()


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 999), boundary=st.sampled_from([0.1, 0.5, 0.9]))
def test_cut_instances_cover_the_mask_and_count_from_the_top_down(seed, boundary):
    pytest.importorskip("skimage", reason="needs the extra science")
    noise = np.random.default_rng(seed).normal(size=(24, 32))
    probability = 1 / (1 + np.exp(-9 * ndimage.gaussian_filter(noise, 1.5)))
    found = cut(probability, 0.4, boundary)
    np.testing.assert_array_equal(found > 0, probability > 0.4)
    pieces = number_pieces((found > 0).view(np.uint8))
    assert len(np.unique(np.stack([found, pieces]).reshape(2, -1), axis=1)[0]) == (
        found.max() + (found == 0).any()
    )
    numbers, first = np.unique(found[found > 0], return_index=True)
    assert numbers.tolist() == list(range(1, len(numbers) + 1))
    assert (np.diff(first) > 0).all()


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_nothing_is_cut_of_an_even_image(probability):
    pytest.importorskip("skimage", reason="needs the extra science")
    assert (cut(np.full((5, 6), probability)) == probability).all()


def test_more_cut_instances_than_16_bits_number_are_refused():
    pytest.importorskip("skimage", reason="needs the extra science")
    probability = np.zeros((512, 514))
    probability[::2, ::2] = 1
    with pytest.raises(BadData, match="has 65792 pieces, and 65535 is the most"):
        cut(probability)


def test_pieces_of_other_runs_are_the_connected_ones():
    mask = np.array([[1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]], np.uint8)
    found = number_instances(mask, Config())
    assert found.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0], [2, 0, 0]]
