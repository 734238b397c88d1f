import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from keras_unet.data import rle
from keras_unet.data.check import check_data
from keras_unet.data.folder_layouts import car_of
from keras_unet.data.layouts import find
from keras_unet.data.masks import read_values
from keras_unet.data.pair import Found, Pair
from keras_unet.data.pairs import find_pairs
from keras_unet.data.run_lengths import find_run_lengths
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData


def table(folder: Path, text: str) -> Path:
    path = folder / "train_masks.csv"
    path.write_text(text)
    return path


def look_up(folder: Path, text: str, *names: str) -> Found:
    images = {Path(name).stem: [folder / name] for name in names}
    return find_run_lengths(images, table(folder, text), car_of)


def test_run_lengths_stand_in_for_mask_files(tmp_path):
    found = look_up(tmp_path, "img,rle_mask\na_01.jpg,1 3 7 2\n", "a_01.jpg")
    assert found.pairs == (
        Pair(
            *(tmp_path / "a_01.jpg", None, "a"),
            run_lengths="1 3 7 2",
            table=tmp_path / "train_masks.csv",
        ),
    )


def test_an_image_without_a_row_is_named(tmp_path):
    found = look_up(tmp_path, "img,rle_mask\na_01.jpg,1 3\n", "a_01.jpg", "a_02.jpg")
    assert [p.cause for p in found.problems] == [
        f"has no row in {tmp_path}/train_masks.csv"
    ]


def test_a_row_without_an_image_is_named(tmp_path):
    found = look_up(tmp_path, "img,rle_mask\na_01.jpg,1 3\na_02.jpg,1 3\n", "a_01.jpg")
    assert [str(p) for p in found.problems] == [
        f"{tmp_path}/train_masks.csv, row a_02: has no image in {tmp_path}"
    ]


def test_two_images_of_one_name_are_named(tmp_path):
    images = {"a": [tmp_path / "a.jpg", tmp_path / "a.png"]}
    path = table(tmp_path, "img,rle_mask\na.jpg,1 3\n")
    found = find_run_lengths(images, path, car_of)
    assert [p.cause for p in found.problems] == ["has the same name as a.png"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a_01.jpg,1 2", "line 3 (a_01.jpg,1 2): is one more for the same image"),
        ("half" * 9, "line 3 (halfhalfhalfhalfhalfhalfhalfha): has no comma"),
    ],
)
def test_a_wrong_row_is_named_by_its_line(tmp_path, line, said):
    found = look_up(tmp_path, f"img,rle_mask\na_01.jpg,1 3\n{line}\n", "a_01.jpg")
    assert [str(p) for p in found.problems] == [f"{tmp_path}/train_masks.csv, {said}"]


def test_a_table_with_another_delimiter_is_one_cause(tmp_path):
    lines = "".join(f"a_{number:02}.jpg;1 3\n" for number in range(30))
    found = look_up(tmp_path, f"img,rle_mask\n{lines}", "a_01.jpg")
    assert {p.cause for p in found.problems if p.part} == {"has no comma"}


def test_a_table_without_a_header_is_refused(tmp_path):
    with pytest.raises(BadData, match="must begin with a header such as img,rle_mask"):
        look_up(tmp_path, "", "a_01.jpg")


def test_a_missing_length_is_an_empty_mask(tmp_path):
    text = "ImageId,EncodedPixels\na.jpg,\nb.jpg,-1\nc.jpg,nan\n"
    found = look_up(tmp_path, text, "a.jpg", "b.jpg", "c.jpg")
    assert [pair.run_lengths for pair in found.pairs] == ["", "", ""]


def test_the_columns_may_come_the_other_way_round(tmp_path):
    found = look_up(tmp_path, "EncodedPixels,ImageId\n1 2,a.jpg\n", "a.jpg")
    assert [pair.run_lengths for pair in found.pairs] == ["1 2"]


def test_an_id_may_have_dots(tmp_path):
    found = look_up(tmp_path, "id,rle_mask\n1.2.3,1 2\n", "1.2.3.png")
    assert [pair.run_lengths for pair in found.pairs] == ["1 2"]


def test_several_rows_of_encoded_pixels_are_objects(tmp_path):
    text = "ImageId,EncodedPixels\na.jpg,1 2\na.jpg,4 1\n"
    found = look_up(tmp_path, text, "a.jpg")
    assert [pair.run_lengths for pair in found.pairs] == ["1 2\n4 1"]
    assert found.says == {"mask_kind": "instances"}


def test_an_empty_row_beside_another_one_is_named(tmp_path):
    text = "ImageId,EncodedPixels\na.jpg,1 2\na.jpg,\n"
    [problem] = look_up(tmp_path, text, "a.jpg").problems
    assert problem.cause == "is one more for the same image"


def test_a_table_of_several_classes_is_refused(tmp_path):
    with pytest.raises(BadData, match="has the columns ImageId,ClassId,EncodedPixels"):
        look_up(tmp_path, "ImageId,ClassId,EncodedPixels\na.jpg,1,1 2\n", "a.jpg")


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
    table(tmp_path, "id,rle_mask\na,1 16\n")
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
        table(root, "\n".join(lines))
        found = find(DataConfig(data=root))
        if not found.problems:
            for pair, mask in zip(found.pairs, masks, strict=True):
                np.testing.assert_array_equal(read_values(pair, DataConfig()), mask)
