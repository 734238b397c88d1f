import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from keras_unet.config import LossConfig
from keras_unet.data.masks import (
    read_mask,
    read_values,
    run_lengths_of,
    to_class_ids,
    weighted,
)
from keras_unet.data.pair import Pair
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData, Undecodable
from keras_unet.model.weight_map import WEIGHT_OF_LEVEL

DATA = DataConfig(mask_kind="classes", class_values=(0, 9))


CARVANA = Path(__file__).parents[3] / "shared/data/carvana"
BINARY = DataConfig(mask_kind="binary", foreground_above=0)
RAMP = np.arange(48, dtype=np.uint8).reshape(6, 8)
PASCAL = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 128]


def save_image(image: Image.Image, path: Path) -> Path:
    image.save(path)
    return path


def save(pixels, path: Path) -> Path:
    return save_image(Image.fromarray(np.array(pixels, np.uint8)), path)


def indexed(ids: list[list[int]], palette: list[int], path: Path) -> Path:
    mask = Image.fromarray(np.array(ids, np.uint8))
    mask.putpalette(palette)
    return save_image(mask, path)


def values_of(path: Path):
    return read_values(Pair(path, path, ""), DataConfig())


def test_a_mask_file_becomes_class_ids(tmp_path):
    mask = save([[0, 9, 9]], tmp_path / "m.png")
    assert read_mask(Pair(mask, mask, "g"), DATA).tolist() == [[0, 1, 1]]


def test_run_lengths_become_class_ids_of_the_images_size(tmp_path):
    image = save([[5, 5, 5], [5, 5, 5]], tmp_path / "i.png")
    data = DataConfig(mask_kind="binary", foreground_above=0)
    assert read_mask(Pair(image, None, "g", "2 3"), data).tolist() == [
        [0, 1, 1],
        [1, 0, 0],
    ]


def test_wrong_run_lengths_name_their_image(tmp_path):
    image = save([[5, 5]], tmp_path / "i.png")
    with pytest.raises(BadData, match=r"i\.png: its mask: .*inside the 1×2 image"):
        read_mask(Pair(image, None, "g", "1 9"), DATA)


def test_an_unknown_value_names_its_file(tmp_path):
    mask = save([[0, 7]], tmp_path / "m.png")
    with pytest.raises(BadData, match=r"m\.png: unknown mask value 7"):
        read_mask(Pair(mask, mask, "g"), DATA)


def test_a_smaller_mask_is_made_of_its_nearest_pixels(tmp_path):
    mask = save([[0, 0, 9, 9], [0, 0, 9, 9]], tmp_path / "m.png")
    assert read_mask(Pair(mask, mask, "g"), DATA, (1, 2)).tolist() == [[0, 1]]


def test_run_lengths_are_read_at_another_size_too(tmp_path):
    image = save([[5, 5, 5, 5], [5, 5, 5, 5]], tmp_path / "i.png")
    data = DataConfig(mask_kind="binary", foreground_above=0)
    pair = Pair(image, None, "g", "3 2 7 2")
    assert read_mask(pair, data, (1, 2)).tolist() == [[0, 1]]


def test_a_pair_without_any_mask_is_named(tmp_path):
    image = save([[5, 5]], tmp_path / "i.png")
    with pytest.raises(BadData, match=r"i\.png: has neither a mask file nor run"):
        read_mask(Pair(image, None, "g"), DATA)


def test_grey_mask_values_are_its_levels(tmp_path):
    np.testing.assert_array_equal(values_of(save(RAMP, tmp_path / "a.png")), RAMP)


def test_instance_ids_of_sixteen_bits_are_kept(tmp_path):
    path = save_image(
        Image.fromarray(np.array([[0, 300, 65535]], np.uint16)), tmp_path / "a.tif"
    )
    assert values_of(path).tolist() == [[0, 300, 65535]]


def test_a_palette_with_colours_gives_indices(tmp_path):
    path = indexed([[0, 1, 2, 3]], PASCAL, tmp_path / "a.png")
    assert values_of(path).tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    "palette", [[0, 0, 0, 255, 255, 255], [255, 255, 255, 0, 0, 0]]
)
@pytest.mark.parametrize("name", ["a.gif", "a.png"])
def test_a_palette_without_colours_gives_what_is_seen(tmp_path, name, palette):
    path = indexed([[0, 1, 1]], palette, tmp_path / name)
    with Image.open(path) as mask:
        seen = np.asarray(mask.convert("RGB"))[..., 0]
    np.testing.assert_array_equal(values_of(path), seen)


def test_colours_are_packed(tmp_path):
    path = save_image(
        Image.new("RGBA", (1, 1), (0x12, 0x34, 0x56, 9)), tmp_path / "a.png"
    )
    assert values_of(path).tolist() == [[0x123456]]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0.5, "a mask's values are whole numbers: write probabilities as"),
        (np.inf, "values of more than 32 bits"),
        (3e9, "values of more than 32 bits"),
    ],
)
def test_a_mask_of_fractions_is_refused(tmp_path, value, message):
    pixels = np.array([[value, np.nan]], np.float32)
    path = save_image(Image.fromarray(pixels), tmp_path / "a.tif")
    with pytest.raises(BadData, match=message):
        values_of(path)


def test_binary_values_above_the_threshold_are_foreground():
    data = DataConfig(mask_kind="binary", foreground_above=127, ignore_values=(99,))
    values = np.array([0, 99, 127, 128, 255], np.uint8)
    assert to_class_ids(values, data).tolist() == [0, 255, 0, 1, 1]


def test_a_colour_mask_without_colours_counts_as_grey():
    data = DataConfig(mask_kind="binary", foreground_above=127)
    values = np.array([0, 0x101010, 0x808080, 0xFFFFFF], np.int32)
    assert to_class_ids(values, data).tolist() == [0, 0, 1, 1]


def test_instances_are_foreground_whatever_their_id():
    data = DataConfig(mask_kind="instances", foreground_above=0)
    assert to_class_ids(np.array([0, 1, 700], np.int32), data).tolist() == [
        0,
        1,
        1,
    ]


@pytest.mark.parametrize("classes", [(0, 5, 9), (0x000080, 0x800000, 0x808080)])
@given(order=st.lists(st.integers(0, 2), min_size=1, max_size=9))
def test_class_values_become_their_positions(classes, order):
    data = DataConfig(mask_kind="classes", class_values=classes, ignore_values=(255,))
    values = np.array([*(classes[i] for i in order), 255], np.int32)
    assert to_class_ids(values, data).tolist() == [*order, 255]


@pytest.mark.parametrize("kind", [np.uint8, np.int32])
def test_an_unknown_mask_value_is_refused(kind):
    data = DataConfig(mask_kind="classes", class_values=(0, 1))
    with pytest.raises(BadData, match="unknown mask value 7 9: the classes are 0 1"):
        to_class_ids(np.array([0, 9, 7, 1], kind), data)


@pytest.mark.parametrize(
    ("reading", "classes", "values", "ids"),
    [
        ("levels", (0, 128, 255), [0, 30, 100, 190, 200, 255], [0, 0, 1, 1, 2, 2]),
        ("colours", (0, 0xFF0000, 0x00FF00), [0x300000, 0xE01010, 0x20D000], [0, 1, 2]),
    ],
)
def test_other_values_count_as_the_nearest_if_so_wished(reading, classes, values, ids):
    data = DataConfig(
        mask_kind="classes",
        class_values=classes,
        mask_reading=reading,
        snap_values=True,
    )
    assert to_class_ids(np.array(values, np.int32), data).tolist() == ids


def test_values_of_open_meaning_are_not_guessed_at():
    with pytest.raises(BadData, match="which training writes to config"):
        to_class_ids(RAMP, DataConfig())


@pytest.mark.real_data
@pytest.mark.skipif(not CARVANA.is_dir(), reason="needs ../shared/data/carvana")
def test_carvanas_palette_and_its_colours_are_the_same_mask():
    path = min((CARVANA / "train_masks").iterdir())
    with Image.open(path) as gif:
        by_colour = np.asarray(gif.convert("RGB"))[..., 0] > 127
    mask = to_class_ids(values_of(path), BINARY)
    np.testing.assert_array_equal(mask, by_colour)


CELLS = np.zeros((12, 24), np.uint8)
CELLS[1:9, 2:12], CELLS[1:9, 12:20], CELLS[9:12, 0:3] = 3, 4, 255
BORDERS = DataConfig(
    mask_kind="instances",
    mask_reading="levels",
    foreground_above=0,
    ignore_values=(255,),
    resolution=1.0,
    targets="borders",
)


def test_between_two_cells_that_touch_is_the_class_border(tmp_path):
    file = save(CELLS, tmp_path / "a.png")
    mask = read_mask(Pair(tmp_path / "i.png", file, "a"), BORDERS)
    row = [0, 0, *[1] * 8, 2, 2, 2, 2, *[1] * 6, *[0] * 4]
    assert mask[5].tolist() == row
    assert set(np.unique(mask[9:, :3])) == {255}


def test_where_touching_cells_are_weighed_background_parts_them(tmp_path):
    pair, data = Pair(tmp_path / "i.png", None, "a"), replace(BORDERS, targets="mask")
    mask, _ = np.moveaxis(weighted(pair, CELLS, data, LossConfig()), -1, 0)
    assert mask[5].tolist() == [0, 0, *[1] * 9, 0, 0, *[1] * 7, *[0] * 4]
    assert set(np.unique(mask[9:, :3])) == {255}


def test_a_border_is_as_wide_as_the_network_sees_it(tmp_path):
    twice = np.kron(CELLS, np.ones((2, 2), np.uint8))
    pair = Pair(tmp_path / "i.png", save(twice, tmp_path / "a.png"), "a")
    data = replace(BORDERS, resolution=0.5)
    seen = read_mask(pair, data, CELLS.shape)
    assert np.count_nonzero(seen[5] == 2) == 4
    np.testing.assert_array_equal(
        read_mask(pair, data), np.kron(seen, np.ones((2, 2), np.uint8))
    )


@pytest.mark.parametrize("gap", [12, 13])
def test_a_gap_of_a_pixel_is_weighed_where_the_mask_is_seen_smaller(tmp_path, gap):
    cells = np.zeros((16, 32), np.uint8)
    cells[4:12, 4:28] = 255
    cells[:, gap] = 0
    pair = Pair(tmp_path / "i.png", save(cells, tmp_path / "a.png"), "a")
    weights = weighted(pair, cells, BINARY, LossConfig(), (8, 16))
    assert weights[4, 5:8, 0].min() == 0
    assert WEIGHT_OF_LEVEL[weights[4, 5:8, 1].max()] > 8


def test_what_is_ignored_does_not_change_the_balance_of_the_classes(tmp_path):
    pair = Pair(tmp_path / "i.png", None, "a")
    data, loss = replace(BORDERS, targets="mask"), LossConfig(border_weight=0)
    cells = np.zeros((10, 20), np.uint8)
    cells[:, :4] = 1
    alone = weighted(pair, cells[:, :8], data, loss)
    cells[:, 8:] = 255
    np.testing.assert_array_equal(weighted(pair, cells, data, loss)[:, :8], alone)


@pytest.mark.parametrize(
    ("values", "written", "runs"),
    [
        ((0, 255), [[0, 255, 255]], "2 2"),
        ((9, 7), [[7, 9, 7]], "1 1 3 1"),
        (((0, 0, 0), (255, 128, 0)), [[[0, 0, 0], [255, 128, 0]]], "2 1"),
    ],
)
def test_run_lengths_are_of_the_foreground_whatever_its_value(values, written, runs):
    values = np.array(values, np.uint8)
    assert run_lengths_of(in_png(written), values, DataConfig()) == runs


def test_where_values_are_not_known_all_but_0_is_foreground():
    assert run_lengths_of(in_png([[0, 7, 9]]), None, DataConfig()) == "2 2"


@pytest.mark.parametrize("written", [[[0, 7]], [[[255, 128, 0], [0, 0, 0]]]])
def test_a_mask_of_other_values_has_no_run_lengths(written):
    values = np.array([0, 255], np.uint8)
    with pytest.raises(Undecodable, match="holds"):
        run_lengths_of(in_png(written), values, DataConfig())


def in_png(pixels):
    file = io.BytesIO()
    Image.fromarray(np.array(pixels, np.uint8)).save(file, "PNG")
    return file
