"""Kaggle's run lengths, there and back."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from splits import find_pairs

from keras_unet.data import rle
from keras_unet.data.check import check_data
from keras_unet.data.layouts import find
from keras_unet.data.masks import read_values
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData

CARVANA = Path(__file__).parents[3] / "shared/data/carvana"


@given(
    arrays(
        np.uint8, array_shapes(min_dims=2, max_dims=2), elements=st.sampled_from([0, 1])
    )
)
def test_decoding_gives_back_the_encoded_mask(mask):
    np.testing.assert_array_equal(rle.decode(rle.encode(mask), *mask.shape), mask)


def reference(mask, columns):
    """Returns the run lengths as the loop over pixels finds them."""
    runs, last = [], False
    for place, value in enumerate((mask.T if columns else mask).ravel().tolist(), 1):
        if value and not last:
            runs.append([place, 0])
        if value:
            runs[-1][1] += 1
        last = bool(value)
    return " ".join(f"{start} {length}" for start, length in runs)


@pytest.mark.parametrize("columns", [False, True])
def test_ten_thousand_random_masks_are_written_right_and_come_back(columns):
    chance = np.random.default_rng(0)
    for number in range(10_000):
        shape = tuple(chance.integers(1, 24, 2))
        mask = (chance.random(shape) < chance.random()).astype(np.uint8)
        mask = mask if number % 2 else mask.repeat(9, axis=number // 2 % 2)
        text = rle.encode(mask * chance.integers(1, 256, mask.shape, np.uint8), columns)
        assert number % 10 or text == reference(mask, columns)
        np.testing.assert_array_equal(rle.decode(text, *mask.shape, columns), mask)


def test_masks_of_other_numbers_and_parts_of_masks_are_encoded_too():
    mask = np.array([[0, 256, 0, -1], [0, 0, 0, 2]])
    assert rle.encode(mask) == rle.encode(mask != 0) == "2 1 4 1 8 1"
    assert rle.encode(mask[:, ::2]) == ""
    assert rle.encode(mask[::-1, 1:], columns=True) == "2 1 5 2"


def test_columns_are_those_of_pycocotools():
    coco = pytest.importorskip("pycocotools.mask", reason="needs the extra coco")
    chance = np.random.default_rng(1)
    for _ in range(200):
        shape = tuple(chance.integers(1, 40, 2))
        mask = (chance.random(shape) < chance.random()).astype(np.uint8)
        theirs = coco.encode(np.asfortranarray(mask))
        text = rle.encode(mask, columns=True)
        np.testing.assert_array_equal(
            rle.decode(text, *shape, columns=True), coco.decode(theirs)
        )
        numbers = np.array(text.split(), int).reshape(-1, 2)
        ends = np.stack([numbers[:, 0] - 1, numbers.sum(1) - 1], axis=1).ravel()
        counts = np.diff(ends, prepend=0, append=mask.size)
        ours = {"size": list(map(int, shape)), "counts": counts.tolist()}
        if not counts[-1]:
            ours["counts"].pop()
        assert coco.frPyObjects(ours, *ours["size"])["counts"] == theirs["counts"]


def test_runs_go_along_rows_and_count_from_one():
    mask = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 1]], np.uint8)
    assert rle.encode(mask) == "2 3 9 1"


def test_an_empty_mask_is_the_empty_string():
    assert rle.encode(np.zeros((4, 5), np.uint8)) == ""


def test_the_empty_string_is_an_empty_mask():
    assert rle.decode("", 4, 5).tolist() == [[0] * 5] * 4


def test_any_value_above_zero_is_foreground():
    assert rle.encode(np.array([[0, 255]], np.uint8)) == "2 1"


def test_the_decoded_mask_is_uint8():
    assert rle.decode("1 2", 2, 2).dtype == np.uint8


def test_runs_that_touch_are_joined():
    assert rle.decode("1 2 3 1", 1, 4).tolist() == [[1, 1, 1, 0]]


def test_runs_may_come_in_any_order():
    assert rle.decode("4 1 1 2", 1, 4).tolist() == [[1, 1, 0, 1]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 2 3", "there are 3 numbers"),
        ("1 two", "whole numbers"),
        ("1 99999999999999999999", "whole numbers"),
        ("1 9223372036854775807", "inside the 2×3 image"),
        ("2 9223372036854775807", "inside the 2×3 image"),
        ("0 2", "inside the 2×3 image: not from pixel 0"),
        ("5 3", "inside the 2×3 image: not from pixel 5"),
        ("3 0", "1 pixel or more, not 0"),
        ("1 3 2 2", "two share pixel 2"),
        ("1 2 1 2", "two share pixel 1"),
    ],
)
def test_malformed_run_lengths_are_refused(text, said):
    with pytest.raises(BadData, match=said):
        rle.decode(text, 2, 3)


def test_runs_may_go_down_the_columns():
    mask = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)
    text = rle.encode(mask, columns=True)
    assert text == "2 2 5 1"
    np.testing.assert_array_equal(rle.decode(text, 2, 3, columns=True), mask)


def test_objects_on_lines_of_their_own_are_numbered_and_the_later_one_wins():
    assert rle.decode_objects("1 2\n2 2\n", (1, 4)).tolist() == [[1, 2, 2, 0]]


def test_a_single_object_is_a_mask_of_0_and_1():
    assert rle.decode_objects("2 2", (1, 4)).tolist() == [[0, 1, 1, 0]]


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.skipif(not CARVANA.exists(), reason="needs the Carvana photos")
def test_every_real_mask_comes_back():
    for file in sorted((CARVANA / "train_masks").iterdir()):
        with Image.open(file) as image:
            mask = np.asarray(image)
        for columns in (False, True):
            text = rle.encode(mask, columns)
            found = rle.decode(text, *mask.shape, columns)
            assert np.array_equal(found, mask > 0), file


def blob(seed: int, shape: tuple[int, int]) -> np.ndarray:
    """Returns a disc of ones somewhere."""
    chance = np.random.default_rng(seed)
    row, column = (chance.uniform(0.35, 0.65) * side for side in shape)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return ((rows - row) ** 2 + (columns - column) ** 2 < 60).astype(np.uint8)


def salt(root: Path, shape: tuple[int, int], columns: bool, count: int = 8) -> Path:
    """Draws images whose masks are run lengths."""
    (root / "train").mkdir(parents=True)
    rows = ["id,rle_mask"]
    for seed in range(count):
        mask = blob(seed, shape)
        noise = np.random.default_rng(seed).integers(0, 90, shape, np.uint8)
        Image.fromarray(noise + 80 * mask).save(root / f"train/i{seed}.png")
        rows.append(f"i{seed},{rle.encode(mask, columns)}")
    (root / "train_masks.csv").write_text("\n".join(rows))
    return root


@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("shape", [(24, 40), (40, 24), (32, 32)])
def test_the_order_is_that_which_makes_whole_masks(tmp_path, shape, columns):
    data = DataConfig(data=salt(tmp_path, shape, columns))
    report = check_data(find(data), data)
    order, words = (
        ("columns", "column by column") if columns else ("rows", "row by row")
    )
    assert (report.problems, report.resolved.run_lengths) == ((), order)
    assert any(note.startswith(f"run lengths: {words} (") for note in report.notes)
    for seed, pair in enumerate(find_pairs(data)):
        np.testing.assert_array_equal(
            read_values(pair, DataConfig()), blob(seed, shape)
        )


@pytest.mark.parametrize("columns", [False, True])
def test_images_of_10_bits_tell_the_order_too(tmp_path, columns):
    data = DataConfig(data=salt(tmp_path, (32, 32), columns))
    for file in (tmp_path / "train").iterdir():
        with Image.open(file) as image:
            deep = np.asarray(image, np.uint16) * 6
        Image.fromarray(deep).save(file)
    assert find(data).says["run_lengths"] == ("columns" if columns else "rows")


@pytest.mark.parametrize("count", [1, 4])
def test_an_order_that_cannot_be_told_is_a_question(tmp_path, count):
    data = DataConfig(data=salt(tmp_path, (32, 32), True, count))
    [problem] = find(data).problems
    assert "has run lengths whose order cannot be told" in problem.cause
    assert "--run-lengths rows" in problem.cause
    assert "--run-lengths columns" in problem.cause


def test_images_that_show_nothing_of_their_masks_leave_the_order_a_question(tmp_path):
    data = DataConfig(data=salt(tmp_path, (32, 32), True))
    for seed, file in enumerate(sorted((tmp_path / "train").iterdir())):
        noise = np.random.default_rng(99 + seed).integers(0, 256, (32, 32), np.uint8)
        Image.fromarray(noise).save(file)
    assert len(find(data).problems) == 1


@pytest.mark.parametrize("order", ["rows", "columns"])
def test_an_order_that_was_given_is_not_looked_for(tmp_path, order):
    data = DataConfig(data=salt(tmp_path, (24, 40), True), run_lengths=order)
    found = find(data)
    assert {pair.coding for pair in found.pairs} == {order}
    assert not any("run lengths: " in note for note in found.notes)


def test_masks_that_are_the_same_both_ways_need_no_order(tmp_path):
    (tmp_path / "train").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "train/a.png")
    (tmp_path / "train_masks.csv").write_text("id,rle_mask\na,1 16\n")
    assert find(DataConfig(data=tmp_path)).problems == ()


@given(
    st.lists(
        arrays(np.uint8, (5, 7), elements=st.sampled_from([0, 1])),
        min_size=3,
        max_size=6,
    ),
    st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_random_masks_are_read_as_written_or_a_question(masks, columns):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "train").mkdir()
        lines = ["id,rle_mask"]
        for number, mask in enumerate(masks):
            Image.new("L", (7, 5)).save(root / f"train/i{number}.png")
            lines.append(f"i{number},{rle.encode(mask, columns)}")
        (root / "train_masks.csv").write_text("\n".join(lines))
        found = find(DataConfig(data=root))
        if not found.problems:
            for pair, mask in zip(found.pairs, masks, strict=True):
                np.testing.assert_array_equal(read_values(pair, DataConfig()), mask)
