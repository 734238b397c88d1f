"""Layouts that people have, each found by its folder alone and said."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image
from splits import find_pairs

from keras_unet.data.check import check_data
from keras_unet.data.class_list import find_class_list
from keras_unet.data.layouts import find
from keras_unet.data.masks import read_values
from keras_unet.data.pair import Found
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData

CASES = Path(__file__).parents[3] / "shared/data/cases"


def touch(root: Path, *names: str) -> None:
    """Draws an image of its own for each name."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 3)).save(root / name)


def found_in(root: Path) -> Found:
    found = find(DataConfig(data=root))
    assert found.problems == ()
    return found


def pairs_of(found: Found) -> list[tuple[str, str]]:
    return [
        (pair.image.name, pair.mask.name if pair.mask else "") for pair in found.pairs
    ]


def parts_of(found: Found) -> tuple[list[str], list[str], list[str]]:
    return tuple(
        [pair.image.stem for pair in part]
        for part in (found.pairs, found.validation, found.test)
    )


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("imgs", "masks"),
        ("Images", "Labels"),
        ("image", "mask"),
        ("img", "gt"),
        ("IMG", "annotations"),
        ("train", "train_labels"),
        ("train_images", "train_masks"),
        ("images_train", "masks_train"),
    ],
)
def test_folders_may_have_the_common_names_in_any_case(tmp_path, images, masks):
    touch(tmp_path, f"{images}/a.jpg", f"{masks}/a.png")
    found = found_in(tmp_path)
    assert pairs_of(found) == [("a.jpg", "a.png")]
    assert found.notes == (f"layout: {images}/ {masks}/",)


def test_carvanas_names_are_kept_together_by_car_whatever_the_folders(tmp_path):
    names = [f"{car}_{view}" for car in ("0ab", "1cd", "2ef") for view in ("01", "02")]
    touch(tmp_path, *(f"imgs/{name}.jpg" for name in names))
    touch(tmp_path, *(f"masks/{name}_mask.gif" for name in names))
    found = found_in(tmp_path)
    assert {pair.group for pair in found.pairs} == {"0ab", "1cd", "2ef"}
    assert "groups: by what comes before _01" in found.notes[1]


def test_camvids_layout_has_its_own_split(tmp_path):
    for part, name in [("train", "a"), ("val", "b"), ("test", "c")]:
        touch(tmp_path, f"{part}/{name}.png", f"{part}annot/{name}.png")
    found = found_in(tmp_path)
    assert parts_of(found) == (["a"], ["b"], ["c"])
    assert found.notes == (
        "layout: train/ trainannot/ val/ valannot/ test/ testannot/, with its own "
        "split",
    )


def test_parts_of_camvid_may_be_missing(tmp_path):
    touch(tmp_path, "train/a.png", "trainannot/a.png", "val/b.png", "valannot/b.png")
    assert parts_of(found_in(tmp_path)) == (["a"], ["b"], [])


@pytest.mark.parametrize("pattern", ["{part}/{kind}/{name}", "{kind}/{part}/{name}"])
def test_each_part_may_have_its_images_and_masks(tmp_path, pattern):
    for part, name in [("train", "a.png"), ("val", "a.png"), ("test", "c.png")]:
        for kind in ("images", "masks"):
            touch(tmp_path, pattern.format(part=part, kind=kind, name=name))
    assert parts_of(found_in(tmp_path)) == (["a"], ["a"], ["c"])


@pytest.mark.parametrize(
    "pattern",
    [
        "{part}_set/{kind}/{name}",
        "{part}_data/{kind}/{name}",
        "{kind}/{part}2017/{name}",
        "{kind}/{part}_set/deeper/{name}",
    ],
)
def test_parts_may_have_another_word_in_their_names_if_all_have_it(tmp_path, pattern):
    for part, name in [("train", "a.png"), ("val", "a.png"), ("test", "c.png")]:
        for kind in ("images", "masks"):
            touch(tmp_path, pattern.format(part=part, kind=kind, name=name))
    found = found_in(tmp_path)
    assert parts_of(found) == (["a"], ["a"], ["c"])
    assert found.notes[0].endswith("with its own split")
    assert len(found.notes) == 1


def test_side_by_side_too(tmp_path):
    touch(tmp_path, *(f"{part}_set/a{e}" for part in PARTS for e in (".jpg", ".png")))
    assert parts_of(found_in(tmp_path)) == (["a"], ["a"], ["a"])


PARTS = ("train", "val", "test")


def test_two_folders_that_are_named_have_the_split_that_both_have(tmp_path):
    for part in PARTS:
        touch(tmp_path, *(f"{kind}/{part}/{part}.png" for kind in "im"))
    touch(tmp_path, "i/valid2/x.png", "m/valid2/x.png")
    data = DataConfig(images=tmp_path / "i", masks=tmp_path / "m")
    assert "split: test/ train/ val/ valid2/ are pooled" in find(data).notes[-1]
    (tmp_path / "i/valid2/x.png").unlink()
    (tmp_path / "i/valid2").rmdir()
    found = find(data)
    assert parts_of(found) == (["train"], ["val"], ["test"])
    assert found.notes == ("split: its own, by test/ train/ val/",)


def test_a_part_without_masks_is_left_out_and_said(tmp_path):
    touch(tmp_path, *(f"{kind}/{part}/{part}.png" for kind in "im" for part in PARTS))
    (tmp_path / "m/test/test.png").unlink()
    (tmp_path / "m/test").rmdir()
    found = find(DataConfig(images=tmp_path / "i", masks=tmp_path / "m"))
    assert parts_of(found) == (["train"], ["val"], [])
    assert found.notes[1] == f"{tmp_path}/i/test: has no masks, and is left out"


@pytest.mark.parametrize(
    ("pattern", "others"),
    [
        ("{kind}/{part}/{name}", ["extra"]),
        ("{part}/{kind}/{name}", ["train_set", "val_set", "extra"]),
        ("{part}/{name}{kind}", ["extra"]),
    ],
)
def test_folders_that_are_not_all_parts_are_pooled_and_said(tmp_path, pattern, others):
    for part in (*(others if len(others) > 1 else ("train", "val")), others[-1]):
        for kind, end in (("images", ".jpg"), ("masks", ".png")):
            kind = end if "name}{" in pattern else kind
            name = "a" if kind == end else f"{part}{end}"
            touch(tmp_path, pattern.format(part=part, kind=kind, name=name))
    found = found_in(tmp_path)
    assert {pair.part for pair in found.every} == {""}
    assert "are pooled: not all are parts" in found.notes[-1]


def test_nnunets_test_images_may_have_masks(tmp_path):
    for kind, end in (("images", "_0000"), ("labels", "")):
        names = [f"{kind}Tr/c_{n}{end}.png" for n in (1, 2)]
        touch(tmp_path, *names, *(f"{kind}Ts/c_{n}{end}.png" for n in (3, 4)))
    train, *_, test = parts_of(found_in(tmp_path))
    assert (train, test) == (["c_1_0000", "c_2_0000"], ["c_3_0000", "c_4_0000"])


def test_test_images_without_masks_make_no_split(tmp_path):
    touch(tmp_path, "train/images/a.png", "train/masks/a.png", "test/images/b.png")
    assert parts_of(found_in(tmp_path)) == (["a"], [], [])


def voc(root: Path, **lists: str) -> Path:
    touch(root, *(f"JPEGImages/{name}.jpg" for name in "abcde"))
    touch(root, *(f"SegmentationClass/{name}.png" for name in "abcd"))
    folder = root / "ImageSets/Segmentation"
    folder.mkdir(parents=True)
    for name, text in lists.items():
        (folder / f"{name}.txt").write_text(text)
    return root


def test_vocs_lists_are_its_split_and_images_without_masks_no_problem(tmp_path):
    voc(tmp_path, train="a\nb\n", val="c\n", trainval="a\nb\nc\n", test="e\n")
    found = found_in(tmp_path)
    assert parts_of(found) == (["a", "b"], ["c"], [])
    assert "Pascal VOC" in found.notes[0]


@pytest.mark.parametrize(
    ("lists", "names"),
    [({"trainval": "a\nc\n"}, ["a", "c"]), ({}, ["a", "b", "c", "d"])],
)
def test_voc_without_a_split_is_split_as_any_other(tmp_path, lists, names):
    assert parts_of(found_in(voc(tmp_path, **lists))) == (names, [], [])


@pytest.mark.parametrize(
    ("lists", "parts"),
    [
        ({"trainval": "a\nb\n", "test": "c\ne\n"}, (["a", "b"], [], ["c"])),
        ({"train": "a\n", "valid": "b\n"}, (["a"], ["b"], [])),
        ({"Train": "a\n", "VAL": "b\n", "Test": "c\n"}, (["a"], ["b"], ["c"])),
        ({"trainval": "a\nb\n", "val": "b\n"}, (["a", "b"], [], [])),
    ],
)
def test_vocs_lists_may_be_called_otherwise(tmp_path, lists, parts):
    assert parts_of(found_in(voc(tmp_path, **lists))) == parts


def test_images_of_voc_without_masks_are_told_of_where_no_list_leaves_them_out(
    tmp_path,
):
    notes = found_in(voc(tmp_path)).notes
    assert notes[1:] == ("images without a mask are left out: 1 (e.jpg)",)
    assert len(found_in(voc(tmp_path / "listed", train="a\n", val="b\n")).notes) == 1


def test_a_listed_image_of_voc_without_a_mask_is_named(tmp_path):
    voc(tmp_path, train="a\ne\n", val="c\n")
    [problem] = find(DataConfig(data=tmp_path)).problems
    assert str(problem).startswith(f"{tmp_path}/JPEGImages/e.jpg: is listed in Image")


def test_an_only_subfolder_is_looked_into(tmp_path):
    touch(tmp_path, "set/imgs/a.png", "set/masks/a.png")
    assert found_in(tmp_path).notes == ("layout: set/: imgs/ masks/",)


def test_an_only_subfolder_of_images_and_masks_is_a_set_and_no_image(tmp_path):
    names = ("a.jpg", "b.jpg", "c.jpg")
    touch(tmp_path, *(f"Set/{kind}/{n}" for kind in ("images", "masks") for n in names))
    (tmp_path / "set.zip").write_text("x")
    found = found_in(tmp_path)
    assert found.notes == ("layout: Set/: images/ masks/",)
    assert [pair.group for pair in found.pairs] == ["a", "b", "c"]


@pytest.mark.parametrize("mask", ["a.png", "a_mask.jpg", "mask_a.png", "a-labels.tif"])
def test_image_and_mask_may_lie_side_by_side(tmp_path, mask):
    touch(tmp_path, "a.jpg", mask)
    found = found_in(tmp_path)
    assert pairs_of(found) == [("a.jpg", mask)]
    assert found.notes[0].endswith(f"side by side, such as a.jpg and {mask}")


def test_side_by_side_in_subfolders_is_found_too(tmp_path):
    touch(tmp_path, "p1/a.tif", "p1/a_mask.tif", "p2/a.tif", "p2/a_mask.tif")
    assert [pair.group for pair in found_in(tmp_path).pairs] == ["p1/a", "p2/a"]


def test_side_by_side_in_folders_of_parts_has_its_own_split(tmp_path):
    for part in ("train", "valid", "test"):
        touch(tmp_path, f"{part}/a_jpg.rf.1.jpg", f"{part}/a_jpg.rf.1_mask.png")
        table = "Pixel Value, Class\n0, background\n1, cat\n"
        (tmp_path / part / "_classes.csv").write_text(table)
    found = found_in(tmp_path)
    assert parts_of(found) == (["a_jpg.rf.1"],) * 3
    assert found.notes[0].endswith("a_jpg.rf.1_mask.png, with its own split")
    names = find_class_list([tmp_path / "train"])
    assert names
    assert names.names([0, 1], coloured=False) == {0: "background", 1: "cat"}


def test_parts_in_which_no_image_has_a_mask_are_left_out_and_said(tmp_path):
    touch(tmp_path, "train/1_sat.jpg", "train/1_mask.png")
    touch(tmp_path, "valid/2_sat.jpg", "test/3_sat.jpg", "test/4_sat.jpg")
    found = found_in(tmp_path)
    assert pairs_of(found) == [("1_sat.jpg", "1_mask.png")]
    assert found.notes[1] == (
        "images of test/ valid/, where none has a mask, are left out: 3 (2_sat.jpg)"
    )


@pytest.mark.parametrize("name", ["train/2_sat.jpg", "more/2.jpg", "test_2.jpg"])
def test_other_images_without_a_mask_beside_them_are_named(tmp_path, name):
    touch(tmp_path, "train/1_sat.jpg", "train/1_mask.png", "more/3.jpg", "more/3.png")
    touch(tmp_path, name)
    with pytest.raises(BadData, match=r"2.*has no mask beside it(.|\n)*for --pairs"):
        find_pairs(DataConfig(data=tmp_path))


def test_two_layouts_are_a_question(tmp_path):
    touch(tmp_path, "images/a.png", "masks/a.png", "train/b.png", "train_masks/b.png")
    with pytest.raises(BadData) as error:
        find_pairs(DataConfig(data=tmp_path))
    said = str(error.value)
    assert "fits 2 layouts: images/ masks/; train/ train_masks/" in said
    assert all(flag in said for flag in ("--images", "--masks", "--pairs FILE.csv"))


def test_two_folders_of_masks_are_a_question(tmp_path):
    touch(tmp_path, "images/a.png", "masks/a.png", "labels/a.png")
    with pytest.raises(BadData, match="images/ labels/; images/ masks/"):
        find_pairs(DataConfig(data=tmp_path))


@pytest.mark.parametrize("manual", ["1st_manual", "manual1"])
def test_masks_of_the_field_of_view_beside_those_by_hand_are_a_question(
    tmp_path, manual
):
    for part in ("training", "test"):
        names = "images/1_a.png", "mask/1_a_mask.png", f"{manual}/1_{manual}.png"
        touch(tmp_path, *(f"{part}/{name}" for name in names))
    with pytest.raises(BadData, match=f"training/images/ training/{manual}/"):
        find_pairs(DataConfig(data=tmp_path))


def test_a_folder_of_masks_may_lie_among_the_images(tmp_path):
    touch(tmp_path, "a.jpg", "b.jpg", "masks/a.png", "masks/b.png")
    both = [("a.jpg", "a.png"), ("b.jpg", "b.png")]
    assert pairs_of(found_in(tmp_path)) == both
    found = find(DataConfig(images=tmp_path, masks=tmp_path / "masks"))
    assert (found.problems, pairs_of(found)) == ((), both)


def test_images_of_nnunet_have_the_number_of_their_channel(tmp_path):
    for case in ("c_001", "c_002"):
        touch(tmp_path, f"imagesTr/{case}_0000.png", f"labelsTr/{case}.png")
    touch(tmp_path, "imagesTs/c_003_0000.png")
    assert pairs_of(found_in(tmp_path))[1] == ("c_002_0000.png", "c_002.png")


def test_outlines_of_yolo_are_called_what_they_are(tmp_path):
    touch(tmp_path, "train/images/a.jpg")
    (tmp_path / "train/labels").mkdir()
    (tmp_path / "train/labels/a.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n")
    with pytest.raises(BadData, match="Outlines in text files, as YOLO has"):
        find_pairs(DataConfig(data=tmp_path))


def test_what_macs_and_maps_leave_beside_images_is_passed_over(tmp_path):
    touch(tmp_path, "set/images/a.png", "set/masks/a.png", "__MACOSX/set/images/b.png")
    (tmp_path / "set/images/a.pgw").write_text("1\n0\n")
    assert pairs_of(found_in(tmp_path)) == [("a.png", "a.png")]


def test_what_network_drives_and_finders_leave_among_images_is_passed_over(tmp_path):
    for kind in ("images", "masks"):
        touch(tmp_path, f"{kind}/a.png", f"{kind}/@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg")
        touch(tmp_path, f"{kind}/#recycle/b.png", f"{kind}/$Recycle.Bin/c.png")
        (tmp_path / kind / "Icon\r").write_text("")
    assert pairs_of(found_in(tmp_path)) == [("a.png", "a.png")]


def test_pipes_among_the_files_are_named_and_not_opened(tmp_path):
    touch(tmp_path, "images/a.png", "masks/a.png")
    os.mkfifo(tmp_path / "images/b.png")
    [problem] = find(DataConfig(data=tmp_path)).problems
    assert str(problem) == f"{tmp_path}/images/b.png: is a pipe (FIFO), not a file"


def coco(root: Path, name: str, image: str, **changes: object) -> None:
    """Writes COCO's annotations of one image of a category 3 in the upper left."""
    content = {
        "images": [{"id": 7, "file_name": image, "width": 4, "height": 3}],
        "categories": [{"id": 3, "name": "cat"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 7,
                "category_id": 3,
                "iscrowd": 0,
                "segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]],
            }
        ],
    }
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**content, **changes}))


@pytest.mark.parametrize(
    ("file", "image"),
    [
        ("annotations.json", "images/a.jpg"),
        ("annotations/instances_all.json", "images/a.jpg"),
        ("_annotations.coco.json", "a.jpg"),
    ],
)
def test_cocos_annotations_are_found(tmp_path, file, image):
    touch(tmp_path, image)
    coco(tmp_path, file, "a.jpg")
    found = found_in(tmp_path)
    assert read_values(found.pairs[0], DataConfig()).tolist() == [
        [3, 3, 0, 0],
        [3, 3, 0, 0],
        [0, 0, 0, 0],
    ]
    assert found.notes == (f"layout: COCO's annotations in {file}",)


def test_cocos_own_split_is_that_of_its_files(tmp_path):
    for part in ("train", "val"):
        touch(tmp_path, f"{part}2017/{part}.jpg")
        name = f"annotations/instances_{part}2017.json"
        coco(tmp_path, name, f"{part}.jpg")
        coco(tmp_path, name.replace("instances", "person_keypoints"), f"{part}.jpg")
    assert parts_of(found_in(tmp_path)) == (["train"], ["val"], [])


def test_cocos_images_lie_in_the_folder_of_the_files_part(tmp_path):
    touch(tmp_path, *(f"images/{part}/a.jpg" for part in ("test", "train", "val")))
    for part in ("train", "val"):
        coco(tmp_path, f"annotations/{part}.json", "a.jpg")
    found = found_in(tmp_path)
    assert [pair.image.parent.name for pair in found.every] == ["train", "val"]


def test_images_that_cocos_annotations_do_not_name_are_told_of(tmp_path):
    touch(tmp_path, *(f"images/{name}.jpg" for name in ("a", "b", "c", "d")))
    (tmp_path / "images/thumb.webp").touch()
    for part, name in (("train", "a"), ("val", "b")):
        coco(tmp_path, f"annotations/{part}.json", f"{name}.jpg")
    said = "images that the annotations do not name are left out: {} ({}.jpg)"
    assert found_in(tmp_path).notes[1:] == (said.format(2, "c"),)
    file = tmp_path / "annotations/val.json"
    data = DataConfig(images=tmp_path / "images", masks=file)
    assert find(data).notes == (said.format(3, "a"),)


@pytest.mark.parametrize("places", [("images/x", "images/y"), ("x", "y")])
def test_two_folders_of_cocos_images_are_a_question(tmp_path, places):
    touch(tmp_path, *(f"{place}/{name}.jpg" for place in places for name in "ab"))
    coco(tmp_path, "annotations/all.json", "a.jpg")
    with pytest.raises(BadData, match=r"x or of .*y\? Both hold such names: give one"):
        find_pairs(DataConfig(data=tmp_path))
    file = tmp_path / "annotations/all.json"
    given = DataConfig(images=tmp_path / places[1], masks=file)
    assert [pair.image.parent.name for pair in find_pairs(given)] == ["y"]


def test_of_two_folders_the_one_that_holds_all_of_cocos_images_is_theirs(tmp_path):
    touch(tmp_path, "x/a.jpg", "y/a.jpg", "y/b.jpg")
    images = [
        {"id": id_, "file_name": f"{name}.jpg", "width": 4, "height": 3}
        for id_, name in ((7, "a"), (8, "b"))
    ]
    coco(tmp_path, "annotations/all.json", "a.jpg", images=images)
    assert {pair.image.parent.name for pair in found_in(tmp_path).every} == {"y"}


@pytest.mark.parametrize(
    ("categories", "said"),
    [
        ([{"id": 3, "name": "dog"}], r"val\.json: has the value 3 for dog, expected 3"),
        ([{"id": 3, "name": "cat"}, {"id": 4, "name": "dog"}], "different categories"),
    ],
)
def test_cocos_own_split_has_the_same_categories(tmp_path, categories, said):
    """Whether or not an image of each file is there."""
    for part, changes in (("train", {}), ("val", {"categories": categories})):
        (tmp_path / part).mkdir()
        coco(tmp_path, f"annotations/{part}.json", f"{part}.jpg", **changes)
    with pytest.raises(BadData, match=said):
        found_in(tmp_path)


def test_another_json_file_beside_masks_is_no_layout(tmp_path):
    touch(tmp_path, "images/a.png", "masks/a.png")
    (tmp_path / "classes.json").write_text('{"categories": [], "images": []}')
    assert found_in(tmp_path).notes == ("layout: images/ masks/",)


def test_a_folder_for_each_image_with_a_mask_for_each_object_is_found(tmp_path):
    for name in ("x1", "x2"):
        touch(tmp_path, f"{name}/images/{name}.png")
        touch(tmp_path, f"{name}/masks/0.png", f"{name}/masks/1.png")
    found = found_in(tmp_path)
    assert pairs_of(found) == [("x1.png", "masks"), ("x2.png", "masks")]
    assert "a folder for each image" in found.notes[0]


@pytest.mark.parametrize(
    ("images", "table"), [("train", "train_masks.csv"), ("train_images", "train.csv")]
)
def test_a_table_of_run_lengths_beside_images_is_found(tmp_path, images, table):
    touch(tmp_path, f"{images}/a.png")
    (tmp_path / table).write_text("id,rle_mask\na,\n")
    (tmp_path / "sample_submission.csv").write_text("id,rle_mask\nb,1 1\n")
    found = found_in(tmp_path)
    assert found.notes == (f"layout: {images}/ and run lengths in {table}",)


def test_kaggles_table_may_have_another_header(tmp_path):
    touch(tmp_path, "train/a.png")
    (tmp_path / "train_masks.csv").write_text("image,mask\na,\n")
    assert found_in(tmp_path).notes[0].endswith("run lengths in train_masks.csv")


def test_a_table_of_more_beside_masks_that_are_images_is_passed_over(tmp_path):
    """As Kaggle's ultrasound nerves have it."""
    names = [f"train/{patient}_{n}" for patient in (1, 2, 3) for n in (1, 2)]
    touch(tmp_path, *(f"{name}{end}.tif" for name in names for end in ("", "_mask")))
    touch(tmp_path, "test/1.tif")
    (tmp_path / "train_masks.csv").write_text("subject,img,pixels\n1,1,\n")
    found = found_in(tmp_path)
    assert len(found.every) == 6
    assert "images of test/, where none has a mask, are left out: 1" in found.notes[1]
    assert r"--group-by '(.+\D)\d+\D*\.'" in found.notes[2]


@pytest.mark.real_data
@pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/data/cases")
def test_nested_folders_are_matched_by_their_paths():
    found = found_in(CASES / "J_nested")
    assert len(found.pairs) == 8
    assert found.pairs[0].group.startswith("aachen/aachen_000000")


@pytest.mark.real_data
@pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/data/cases")
def test_salt_is_read_column_by_column():
    data = DataConfig(data=CASES / "f_tgs")
    report = check_data(find(data), data)
    assert (report.problems, report.resolved.run_lengths) == ((), "columns")
