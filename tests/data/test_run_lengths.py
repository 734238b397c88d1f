from pathlib import Path

import pytest

from keras_unet.data.matching import car_of
from keras_unet.data.pair import Found, Pair
from keras_unet.data.run_lengths import find_run_lengths
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
