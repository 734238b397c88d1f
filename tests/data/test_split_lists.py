"""Lists of names beside a set's folders are its split, where they fit its images."""

from pathlib import Path

import pytest
from PIL import Image

from keras_unet.data.layouts import find
from keras_unet.data.pair import Found
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData


def draw(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 3)).save(root / name)


def folders(root: Path, names: str = "abcd") -> Path:
    for name in names:
        draw(root, f"images/{name}.jpg", f"masks/{name}.png")
    return root


def write(root: Path, **lists: str) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for name, text in lists.items():
        (root / f"{name}.txt").write_text(text, "utf-8")


def found_in(root: Path) -> Found:
    return find(DataConfig(data=root))


def parts_of(found: Found) -> tuple[str, str, str]:
    return tuple(
        "".join(pair.image.stem for pair in part)
        for part in (found.pairs, found.validation, found.test)
    )


@pytest.mark.parametrize(
    "line", ["{}", "{}.jpg", "{}.png", "images/{}.jpg", "/x/{}.jpg /x/{}.png", "{},1"]
)
def test_lists_beside_two_folders_are_the_sets_own_split(tmp_path, line):
    folders(tmp_path)
    for name, part in [("ab", "train"), ("c", "val"), ("d", "test")]:
        write(tmp_path, **{part: "".join(line.format(n, n) + "\n" for n in name)})
    found = found_in(tmp_path)
    assert parts_of(found) == ("ab", "c", "d")
    assert found.notes == (
        "layout: images/ masks/",
        "split: its own, by train.txt val.txt test.txt",
    )


@pytest.mark.parametrize(
    ("place", "names"),
    [
        ("splits", ("train", "valid")),
        ("ImageSets/Segmentation", ("train", "test")),
        ("images", ("training", "validation")),
        ("annotations", ("trainval", "test")),
        ("lists", ("Train", "TEST")),
    ],
)
def test_lists_may_lie_in_a_folder_of_their_own(tmp_path, place, names):
    write(
        folders(tmp_path) / place, **dict(zip(names, ("a\nb\n", "c\nd\n"), strict=True))
    )
    found = found_in(tmp_path)
    assert parts_of(found) in (("ab", "cd", ""), ("ab", "", "cd"))
    assert f"{place}/{names[0]}.txt" in found.notes[1]


def test_lists_hold_for_every_way_to_give_a_set(tmp_path):
    write(folders(tmp_path / "set"), train="a\nb\n", val="c\nd\n")
    images, masks = tmp_path / "set/images", tmp_path / "set/masks"
    for data in (DataConfig(data=tmp_path), DataConfig(images=images, masks=masks)):
        assert parts_of(find(data)) == ("ab", "cd", "")


def test_names_with_spaces_and_folders_are_found(tmp_path):
    draw(tmp_path, "p/images/x/a 1.png", "p/images/y/a 1.png", "p/images/a.png")
    draw(tmp_path, "p/masks/x/a 1.png", "p/masks/y/a 1.png", "p/masks/a.png")
    write(tmp_path / "p", train="x\\a 1.png\na\n", val="y/a 1\n")
    found = found_in(tmp_path)
    assert [pair.image.parent.name for pair in found.validation] == ["y"]
    assert len(found.pairs) == 2


def test_images_that_no_list_names_are_left_out_and_said(tmp_path):
    draw(folders(tmp_path), "images/e.jpg", "images/f.jpg")
    write(tmp_path, train="a\n", val="b\nz\n", test="e\n")
    found = found_in(tmp_path)
    assert parts_of(found) == ("a", "b", "")
    assert found.problems == ()
    assert found.notes[2:] == (
        "split: images that no list names are left out: 3 (c.jpg)",
        "split: images without a mask, listed for test, are left out: 1 (e.jpg)",
        "split: listed names that are no image's are left out: 1 (z)",
    )


def test_a_listed_image_to_train_on_without_a_mask_is_named(tmp_path):
    draw(folders(tmp_path), "images/e.jpg")
    write(tmp_path, train="a\ne\n", val="b\n")
    [problem] = found_in(tmp_path).problems
    assert problem.file.name == "e.jpg"


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        ({"train": "a\nb\n"}, "train.txt not followed: a split takes train.txt and"),
        ({"train": "a\n", "val": "q\n"}, "they name 1 pairs for training, 0 for val"),
        ({"train": "a\nb\n", "val": "b\n"}, "b.jpg is in those for train and valid"),
        ({"test": "0 0.5 0.5\n"}, "they name 0 pairs for training"),
        ({"train": "\0..\n,\n/\n.\n", "val": ""}, "they name 0 pairs"),
    ],
)
def test_lists_that_do_not_fit_are_not_used_and_said(tmp_path, lists, said):
    write(folders(tmp_path), **lists)
    found = found_in(tmp_path)
    assert parts_of(found) == ("abcd", "", "")
    assert said in found.notes[-1]


def test_a_name_of_several_images_is_not_guessed(tmp_path):
    for place in ("x/a", "y/a", "b"):
        draw(tmp_path, f"images/{place}.png", f"masks/{place}.png")
    write(tmp_path, train="a\n", val="b\n")
    assert found_in(tmp_path).notes[-1].endswith("a.png is the name of several")


def test_folders_that_are_a_split_go_before_lists(tmp_path):
    for part, name in [("train", "a"), ("val", "b")]:
        draw(tmp_path, f"{part}/{name}.png", f"{part}annot/{name}.png")
    write(tmp_path, train="/x/train/a.png /x/trainannot/a.png\n", val="/x/val/b.png\n")
    found = found_in(tmp_path)
    assert parts_of(found) == ("a", "b", "")
    assert len(found.notes) == 1


def test_cars_that_lists_divide_are_the_sets_own_doing(tmp_path):
    names = [f"{car}_{view}" for car in ("0", "1", "2") for view in ("01", "02")]
    for name in names:
        draw(tmp_path, f"images/{name}.jpg", f"masks/{name}_mask.png")
    write(tmp_path, train="0_01\n1_01\n1_02\n2_01\n", val="0_02\n2_02\n")
    found = found_in(tmp_path)
    assert {pair.group for pair in found.pairs} == {"train/0", "train/1", "train/2"}


def test_a_list_in_another_encoding_is_no_crash(tmp_path):
    folders(tmp_path)
    (tmp_path / "train.txt").write_text("a\nb\n", "utf-16")
    write(tmp_path, val="\ufeffc\n")
    assert "0 pairs for training, 1 for val" in found_in(tmp_path).notes[-1]


def test_a_list_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    write(folders(tmp_path), train="a\n", val="b\n")

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BadData, match=r"train\.txt: may not be read"):
        found_in(tmp_path)
