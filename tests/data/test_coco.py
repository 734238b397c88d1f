"""COCO's annotations: what they say of each pixel, and what is wrong with them."""

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from keras_unet.data.check import check_data
from keras_unet.data.layouts import find
from keras_unet.data.masks import read_mask, read_values
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData

LEFT = [[0, 0, 2, 0, 2, 2, 0, 2]]
ALL = [[0, 0, 4, 0, 4, 2, 0, 2]]


def annotated(root: Path, *objects: dict, **changes: object) -> DataConfig:
    """Writes an image of 4×2 and its annotations."""
    (root / "images").mkdir()
    Image.new("L", (4, 2)).save(root / "images/a.png")
    content = {
        "images": [{"id": 7, "file_name": "a.png", "width": 4, "height": 2}],
        "categories": [{"id": 3, "name": "cat"}, {"id": 9, "name": "dog"}],
        "annotations": [
            {"id": number, "image_id": 7, "category_id": 3, "iscrowd": 0, **one}
            for number, one in enumerate(objects)
        ],
    }
    (root / "annotations.json").write_text(json.dumps({**content, **changes}))
    return DataConfig(data=root)


def values_in(data: DataConfig) -> list[list[int]]:
    found = find(data)
    assert found.problems == ()
    return read_values(found.pairs[0], DataConfig()).tolist()


def test_values_are_the_ids_of_the_categories_and_the_later_object_wins(tmp_path):
    data = annotated(
        tmp_path,
        {"segmentation": ALL},
        {"segmentation": LEFT, "category_id": 9},
    )
    assert values_in(data) == [[9, 9, 3, 3]] * 2


def test_an_image_that_exif_turns_is_said(tmp_path):
    data = annotated(tmp_path, {"segmentation": LEFT})
    turned = Image.new("L", (4, 2))
    turned.getexif()[0x0112] = 3
    turned.save(tmp_path / "images/a.png", exif=turned.getexif())
    [notice] = check_data(find(data), data).notices
    assert "has EXIF orientation 3 and is turned upright" in notice.cause


def test_windows_names_and_a_file_called_labels_are_read(tmp_path):
    images = [{"id": 7, "file_name": "images\\a.png", "width": 4, "height": 2}]
    data = annotated(tmp_path, {"segmentation": LEFT}, images=images)
    (tmp_path / "annotations.json").rename(tmp_path / "labels.json")
    report = check_data(find(data), data)
    assert report.problems == ()
    assert report.resolved.class_names == ("background", "cat", "dog")


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        (
            {"annotations": [{"image_id": 7, "segments_info": []}]},
            "is of COCO's panoptic kind",
        ),
        (
            {"categories": [{"id": 3, "name": "a"}, {"id": 3, "name": "b"}]},
            "two categories of one id",
        ),
    ],
)
def test_annotations_of_another_kind_are_named(tmp_path, changes, cause):
    with pytest.raises(BadData, match=cause):
        find(annotated(tmp_path, **changes))


def test_classes_and_their_names_are_the_categories(tmp_path):
    data = annotated(tmp_path, {"segmentation": LEFT})
    report = check_data(find(data), data)
    resolved = report.resolved
    assert report.problems == ()
    assert resolved.class_values == (0, 3, 9)
    assert resolved.class_names == ("background", "cat", "dog")
    [pair] = find(data).pairs
    assert read_mask(pair, resolved).tolist() == [[1, 1, 0, 0]] * 2


@pytest.mark.parametrize("counts", [[2, 4, 2], "242"])
def test_outlines_may_be_run_lengths(tmp_path, counts):
    data = annotated(tmp_path, {"segmentation": {"counts": counts, "size": [2, 4]}})
    assert values_in(data) == [[0, 3, 3, 0]] * 2


def test_crowds_are_ignored_but_not_the_objects_in_them(tmp_path):
    crowd = {"counts": [0, 8], "size": [2, 4]}
    data = annotated(
        tmp_path,
        {"segmentation": LEFT},
        {"segmentation": crowd, "iscrowd": 1},
    )
    assert values_in(data) == [[3, 3, 255, 255]] * 2
    resolved = check_data(find(data), data).resolved
    [pair] = find(data).pairs
    assert read_mask(pair, resolved).tolist() == [[1, 1, 255, 255]] * 2


def test_crowds_are_counted_however_the_annotations_are_given(tmp_path):
    brush = {"segmentation": {"counts": [0, 8], "size": [2, 4]}, "iscrowd": 1}
    data = annotated(tmp_path, {"segmentation": LEFT}, brush)
    (tmp_path / "pairs.csv").write_text("image,mask\nimages/a.png,annotations.json\n")
    for given in (data, DataConfig(pairs=tmp_path / "pairs.csv")):
        note = find(given).notes[-1]
        assert (
            "json: 1 of 2 annotations are crowds (iscrowd 1), and ignored; if" in note
        )


def test_crowds_alone_are_refused_with_the_way_on(tmp_path):
    brush = {"segmentation": {"counts": [0, 8], "size": [2, 4]}, "iscrowd": 1}
    with pytest.raises(BadData, match=r"2 of 2 annotations are .* set iscrowd to 0"):
        find(annotated(tmp_path, brush, brush))


def test_an_image_without_annotations_is_background(tmp_path):
    assert values_in(annotated(tmp_path)) == [[0] * 4] * 2


def test_categories_counted_from_0_are_told_from_the_background(tmp_path):
    data = annotated(
        tmp_path,
        {"segmentation": LEFT, "category_id": 0},
        categories=[{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}],
    )
    assert values_in(data) == [[1, 1, 0, 0]] * 2
    found = find(data)
    assert found.says["class_names"] == ("background", "cat", "dog")
    assert "its categories are counted from 0" in found.notes[1]


@pytest.mark.parametrize(
    ("root", "other", "names"),
    [
        ("cat", "", ("background", "cat", "dog")),
        ("animals", "animals", ("background", "dog")),
        ("_background_", "", ("background", "dog")),
    ],
)
def test_an_unused_category_0_counts_unless_it_is_a_root_or_the_background(
    tmp_path, root, other, names
):
    data = annotated(
        tmp_path,
        {"segmentation": LEFT, "category_id": 1},
        categories=[
            {"id": 0, "name": root},
            {"id": 1, "name": "dog", "supercategory": other},
        ],
    )
    dog = len(names) - 1
    assert values_in(data) == [[dog, dog, 0, 0]] * 2
    assert find(data).says["class_names"] == names


SWAPPED = {"categories": [{"id": 3, "name": "dog"}, {"id": 9, "name": "cat"}]}


def two_sets(root: Path, **changes: object) -> tuple[Path, Path]:
    """Returns the folders of two sets, of which the other one has ``changes``."""
    folders = root / "one", root / "other"
    for folder, content in zip(folders, ({}, changes), strict=True):
        folder.mkdir()
        annotated(folder, {"segmentation": LEFT}, **content)
    return folders


def test_validation_has_the_categories_of_the_rest(tmp_path):
    one, other = two_sets(tmp_path, **SWAPPED)
    with pytest.raises(BadData, match=r"--validation: .* 3 for dog, expected 3 for ca"):
        find(DataConfig(data=one, validation=other))


def test_validation_need_not_list_what_it_does_not_show(tmp_path):
    one, other = two_sets(tmp_path, categories=[{"id": 3, "name": "cat"}])
    found = find(DataConfig(data=one, validation=other))
    assert found.says["class_names"] == ("background", "cat", "dog")


def test_all_annotations_of_a_csv_file_have_the_same_categories(tmp_path):
    folders = two_sets(tmp_path, **SWAPPED)
    rows = [f"{f.name}/images/a.png,{f.name}/annotations.json" for f in folders]
    (tmp_path / "pairs.csv").write_text("\n".join(["image,mask", *rows]))
    with pytest.raises(BadData, match=r"other/annotations\.json: has the value 3 for"):
        find(DataConfig(pairs=tmp_path / "pairs.csv"))


def test_a_run_is_scored_on_the_categories_it_was_trained_on(tmp_path):
    one, other = two_sets(tmp_path, **SWAPPED)
    data = DataConfig(data=one)
    trained = check_data(find(data), data).resolved
    found = find(DataConfig(data=other))
    with pytest.raises(BadData, match=r"other/annotations\.json: has the value 3 for"):
        check_data(found, trained)
    renamed = replace(trained, class_names=("Rest", "Katze", "Hund"))
    assert check_data(found, renamed).resolved.class_names == renamed.class_names


def test_annotations_and_images_can_be_named(tmp_path):
    annotated(tmp_path, {"segmentation": LEFT})
    data = DataConfig(images=tmp_path / "images", masks=tmp_path / "annotations.json")
    assert values_in(data) == [[3, 3, 0, 0]] * 2


def test_crowds_are_ignored_whatever_kind_the_masks_are_said_to_be(tmp_path):
    data = annotated(
        tmp_path,
        {"segmentation": LEFT},
        {"segmentation": {"counts": [0, 8], "size": [2, 4]}, "iscrowd": 1},
    )
    data = replace(data, mask_kind="instances")
    resolved = check_data(find(data), data).resolved
    [pair] = find(data).pairs
    assert read_mask(pair, resolved).tolist() == [[1, 1, 255, 255]] * 2


def test_outlines_are_numbered_where_instances_are_wanted(tmp_path):
    outlines = [[[x, 0, x + 1, 0, x + 1, 2, x, 2]] for x in range(3)]
    crowd = {"segmentation": {"counts": [0, 8], "size": [2, 4]}, "iscrowd": 1}
    objects = [{"segmentation": outline} for outline in outlines]
    data = annotated(tmp_path, *objects, crowd)
    for kind, row in [("classes", [3, 3, 3, 255]), ("instances", [1, 2, 3, 255])]:
        wanted = replace(data, mask_kind="auto" if kind == "classes" else kind)
        resolved = check_data(find(wanted), wanted).resolved
        assert resolved.mask_kind == kind
        [pair] = find(wanted).pairs
        assert read_values(pair, resolved).tolist() == [row] * 2


def test_what_is_annotated_is_foreground_if_so_wished(tmp_path):
    data = replace(annotated(tmp_path, {"segmentation": LEFT}), foreground_above=0)
    report = check_data(find(data), data)
    assert report.problems == ()
    [pair] = find(data).pairs
    assert read_mask(pair, report.resolved).tolist() == [[1, 1, 0, 0]] * 2


@pytest.mark.parametrize(
    ("outline", "cause"),
    [
        ([], "annotation 0: has no outline (segmentation)"),
        ([[0, 0, 2, 2]], "annotation 0: has an outline that is neither polygons of"),
        ([[0, 0, 2, 0, math.nan, 2]], "annotation 0: has an outline that is neither"),
        ([[0, 0, 1e9, 0, 1e9, 1e9]], "annotation 0: has an outline that is neither"),
        ([[0, 0, 2, 0, 10**400, 2]], "annotation 0: has an outline that is neither"),
    ],
)
def test_an_object_without_an_outline_is_named(tmp_path, outline, cause):
    [problem] = find(annotated(tmp_path, {"segmentation": outline})).problems
    assert str(problem).startswith(f"{tmp_path}/annotations.json, {cause}")


@pytest.mark.parametrize(
    ("counts", "size"),
    [
        ("@@@", [2, 4]),
        ("", [2, 4]),
        ("06", [2, 4]),
        ([2, 4], [2, 4]),
        ([-2, 10], [2, 4]),
        ([2.5, 5.5], [2, 4]),
        (["a"], [2, 4]),
        (5, [2, 4]),
        ([2, 4, 2], [2, 4, 1]),
        ([0, 8], [2 << 20, 4 << 20]),
    ],
)
def test_damaged_run_lengths_are_refused(tmp_path, counts, size):
    """Of too few, pycocotools returns what was in memory before."""
    outline = {"counts": counts, "size": size}
    data = annotated(tmp_path, {"segmentation": outline})
    [pair] = find(data).pairs
    with pytest.raises(BadData, match=r"an outline's (run lengths are|size is)"):
        read_values(pair, data)


def test_annotations_of_an_image_that_is_not_listed_are_named(tmp_path):
    data = annotated(tmp_path, {"segmentation": ALL, "image_id": "7"})
    [problem] = find(data).problems
    assert "annotation 0: is of an image whose id" in str(problem)


def test_images_that_share_an_id_are_named(tmp_path):
    images = [
        {"id": 7, "file_name": name, "width": 4, "height": 2}
        for name in ("a.png", "b.png")
    ]
    data = annotated(tmp_path, {"segmentation": ALL}, images=images)
    Image.new("L", (4, 2)).save(tmp_path / "images/b.png")
    problems = find(data).problems
    assert ["has the id 7 of another image" in p.cause for p in problems] == [True] * 2


@pytest.mark.parametrize("named", [False, True])
def test_what_roboflow_made_of_one_image_is_kept_together(tmp_path, named):
    names = ["a_jpg.rf.1f.jpg", "a_jpg.rf.2e.jpg"]
    images = [
        {"id": place, "file_name": name, "width": 4, "height": 2}
        for place, name in enumerate(names)
    ]
    data = annotated(tmp_path, images=images)
    for name in names:
        Image.new("L", (4, 2)).save(tmp_path / "images" / name)
    if named:
        file = tmp_path / "annotations.json"
        data = DataConfig(images=tmp_path / "images", masks=file)
    assert [pair.group for pair in find(data).every] == ["a_jpg"] * 2


def test_an_image_that_is_not_there_is_named(tmp_path):
    images = [{"id": 7, "file_name": "b.png", "width": 4, "height": 2}]
    [problem] = find(annotated(tmp_path, images=images)).problems
    assert problem.cause == f"is not there, but named in {tmp_path}/annotations.json"


def test_annotations_of_an_image_of_another_size_are_named(tmp_path):
    images = [{"id": 7, "file_name": "a.png", "width": 5, "height": 2}]
    data = annotated(tmp_path, images=images)
    [problem] = check_data(find(data), data).problems
    assert problem.cause == "its mask: is of 5×2, the image is 4×2"


@pytest.mark.parametrize("content", ["[]", "{", '{"annotations": [1], "images": []}'])
def test_a_file_that_is_no_list_of_annotations_is_named(tmp_path, content):
    annotated(tmp_path)
    (tmp_path / "annotations.json").write_text(content)
    data = DataConfig(images=tmp_path / "images", masks=tmp_path / "annotations.json")
    with pytest.raises(BadData, match=r"annotations\.json: is no "):
        find(data)


def test_without_its_library_what_to_install_is_said(tmp_path, monkeypatch):
    data = annotated(tmp_path, {"segmentation": LEFT})
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    monkeypatch.setitem(sys.modules, "pycocotools.mask", None)
    with pytest.raises(BadData, match=r'pip install "keras-unet-studio\[coco\]"'):
        find(data)
