"""A CSV file that lists the pairs: the way out for every other layout."""

import os
from pathlib import Path

import pytest
from PIL import Image
from splits import find_pairs

from keras_unet.data.__main__ import main
from keras_unet.data.layouts import find
from keras_unet.data.pair import Found, Pair
from keras_unet.data.pairs_file import find_run_lengths
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData


@pytest.fixture
def root(tmp_path) -> Path:
    for name in ("a", "b", "c", "d"):
        for folder in ("x", "y"):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.new("L", (4, 3), ord(name)).save(tmp_path / f"{folder}/{name}.png")
    return tmp_path


def listed(root: Path, text: str, encoding: str = "utf-8") -> DataConfig:
    (root / "pairs.csv").write_text(text, encoding)
    return DataConfig(pairs=root / "pairs.csv")


def parts_of(found: Found) -> tuple[list[str], list[str], list[str]]:
    return tuple(
        [pair.image.stem for pair in part]
        for part in (found.pairs, found.validation, found.test)
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("comma", [",", ";"])
def test_paths_are_relative_to_the_file(root, comma, encoding):
    text = "mask,image\ny/b.png,x/a.png\n".replace(",", comma)
    [pair] = find(listed(root, text, encoding)).pairs
    assert (pair.image, pair.mask) == (root / "x/a.png", root / "y/b.png")
    assert pair.group == "a"


def test_groups_and_parts_are_those_of_the_file(root):
    found = find(
        listed(
            root,
            "image,mask,group,part\n"
            "x/a.png,y/a.png,g,train\nx/b.png,y/b.png,,validation\n"
            "x/c.png,y/c.png,h,test\nx/d.png,y/d.png,g,train\n",
        )
    )
    assert found.problems == ()
    assert parts_of(found) == (["a", "d"], ["b"], ["c"])
    assert [pair.group for pair in found.every] == ["g", "g", "b", "h"]


def test_images_of_equal_names_are_a_group_each(root):
    rows = "image,mask", "x/a.png,y/b.png", "y/a.png,x/b.png", "x/c.png,y/c.png"
    found = find(listed(root, "\n".join(rows)))
    assert [pair.group for pair in found.every] == ["x/a", "y/a", "c"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["x/a.png,y/a.png,dev"], "line 2 (x/a.png): has the part dev; expected train"),
        (["x/e.png,y/a.png,"], "line 2 (x/e.png): names {}/x/e.png, which is not ther"),
        (["x/a.png,y/e.png,"], "line 2 (x/a.png): names {}/y/e.png, which is not ther"),
        (["x/a.png,,"], "line 2 (x/a.png): has no mask"),
        (["x/a.png,y/a.png"], "line 2 (x/a.png): has more or fewer cells than the"),
        (["x/a.png,x/a.png,"], "line 2 (x/a.png): names one file as image and mask"),
        (
            ["x/a.png,y/a.png,", "x/../x/a.png,y/b.png,"],
            "line 3 (x/../x/a.png): names the image of line 2 once more",
        ),
        (
            ["x/a.png,y/a.png,train", "x/b.png,y/b.png,"],
            "line 3 (x/b.png): has no part, as other lines have; expected train",
        ),
        (["x/pipe,y/a.png,"], "line 2 (x/pipe): names {}/x/pipe, which is a pipe"),
    ],
)
def test_a_wrong_line_is_named_by_its_number(root, lines, said):
    os.mkfifo(root / "x/pipe")
    found = find(listed(root, "\n".join(["image,mask,part", *lines])))
    [problem] = [str(problem) for problem in found.problems]
    assert problem.startswith(f"{root}/pairs.csv, {said.format(root)}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has the columns (none); expected image and mask"),
        ("image,label\na,b\n", "has the columns image,label; expected image and mask"),
        ("image,mask,prat\na,b,c\n", "has the columns image,mask,prat; expected"),
        ("image,mask\n", "lists no pairs; expected image and mask"),
    ],
)
def test_wrong_columns_are_refused(root, text, said):
    with pytest.raises(BadData) as error:
        find(listed(root, text))
    assert said in str(error.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_file_with_nul_characters_is_refused(root, encoding):
    data = listed(root, "image,mask\na\0.png,b.png\n", encoding)
    with pytest.raises(BadData, match="holds NUL characters, and is no text in UTF-8"):
        find(data)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(BadData, match=r"gone\.csv: cannot be read \(No such file"):
        find(DataConfig(pairs=tmp_path / "gone.csv"))


def test_validation_and_test_may_be_such_files(root):
    def write(name: str, text: str) -> Path:
        (root / name).write_text(f"image,mask\n{text}")
        return root / name

    data = DataConfig(
        pairs=write("rest.csv", "x/a.png,y/a.png\nx/b.png,y/b.png\n"),
        validation=write("validation.csv", "x/c.png,y/c.png\n"),
        test=write("test.csv", "x/d.png,y/d.png\n"),
    )
    assert parts_of(find(data)) == (["a", "b"], ["c"], ["d"])


def kaggles(root: Path, text: str) -> DataConfig:
    (root / "train_masks.csv").write_text(f"id,rle_mask\n{text}")
    (root / "train").mkdir()
    for name in "ab":
        Image.new("L", (4, 3), ord(name)).save(root / f"train/{name}.png")
    return DataConfig(data=root, run_lengths="rows")


def objects(root: Path) -> DataConfig:
    for name in "ab":
        (root / name / "images").mkdir(parents=True)
        (root / name / "masks").mkdir()
        Image.new("L", (4, 3), ord(name)).save(root / f"{name}/images/{name}.png")
        for left in (0, 2):
            mask = Image.new("L", (4, 3))
            mask.paste(255, (left, 0, left + 1, 1))
            mask.save(root / f"{name}/masks/{left}.png")
    return DataConfig(data=root)


@pytest.mark.parametrize("kind", ["folders", "run lengths", "objects"])
def test_what_check_writes_can_be_given_back(tmp_path, kind, capsys):
    root = tmp_path / "set"
    root.mkdir()
    flags = ["--data", str(root), "--output", str(tmp_path / "out")]
    if kind == "run lengths":
        data = kaggles(root, "a,1 3\nb,2 4\n")
        flags += ["--run-lengths", "rows"]
    elif kind == "objects":
        data = objects(root)
    else:
        for folder in ("images", "masks"):
            (root / folder).mkdir()
            for name in "ab":
                image = Image.new("L", (4, 3), ord(name))
                image.paste(255, (0, 0, 2, 2))
                image.save(root / f"{folder}/{name}.png")
        data = DataConfig(data=root)
    main(["check", *flags])
    assert f"{tmp_path}/out/pairs.csv" in capsys.readouterr().out
    again = find(DataConfig(pairs=tmp_path / "out/pairs.csv", run_lengths="rows"))
    found = find(data)
    assert again.problems == found.problems == ()
    assert again.pairs == found.pairs
    assert again.says.items() >= found.says.items()


def table(folder: Path, text: str) -> Path:
    path = folder / "train_masks.csv"
    path.write_text(text)
    return path


def look_up(folder: Path, text: str, *names: str) -> Found:
    images = {Path(name).stem: [folder / name] for name in names}
    return find_run_lengths(images, table(folder, text))


def test_run_lengths_stand_in_for_mask_files(tmp_path):
    found = look_up(tmp_path, "img,rle_mask\na_01.jpg,1 3 7 2\n", "a_01.jpg")
    assert found.pairs == (
        Pair(
            *(tmp_path / "a_01.jpg", None, "a_01"),
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
    found = find_run_lengths(images, path)
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


@pytest.mark.parametrize("header", ["ImageId_ClassId", "Image_Label", "ImageId"])
def test_rows_of_one_class_each_are_no_objects(tmp_path, header):
    (tmp_path / "images").mkdir()
    Image.new("L", (4, 3)).save(tmp_path / "images/a.jpg")
    table = tmp_path / "train.csv"
    table.write_text(f"{header},EncodedPixels\na.jpg_1,1 2\na.jpg_3,5 2\n")
    with pytest.raises(BadData, match=r"several classes is not read|row a.jpg_3"):
        find_pairs(DataConfig(images=tmp_path / "images", masks=table))


def test_a_table_of_several_classes_is_refused(tmp_path):
    with pytest.raises(BadData, match="has the columns ImageId,ClassId,EncodedPixels"):
        look_up(tmp_path, "ImageId,ClassId,EncodedPixels\na.jpg,1,1 2\n", "a.jpg")
