from pathlib import Path

import pytest
from PIL import Image

from keras_unet.data.names import match_names, match_neighbours
from keras_unet.data.pair import Found

HELA = Path(__file__).parents[3] / "shared/data/dic-hela"


def lay_out(root: Path, images: list[str], masks: list[str]) -> tuple[Path, Path]:
    for name, files in [("images", images), ("masks", masks)]:
        (root / name).mkdir()
        for file in files:
            Image.new("L", (2, 2)).save(root / name / file)
    return root / "images", root / "masks"


def names(found: Found) -> list[tuple[str, str]]:
    return [(p.image.name, p.mask.name if p.mask else "") for p in found.pairs]


def find(root: Path, images: list[str], masks: list[str]) -> Found:
    return match_names(*lay_out(root, images, masks))


def test_a_mask_is_named_as_its_image_with_any_suffix(tmp_path):
    found = find(tmp_path, ["b.jpg", "a.PNG"], ["a.gif", "b.tif"])
    assert names(found) == [("a.PNG", "a.gif"), ("b.jpg", "b.tif")]


def test_a_masks_stem_may_end_in_mask(tmp_path):
    assert names(find(tmp_path, ["a.jpg"], ["a_mask.gif"])) == [("a.jpg", "a_mask.gif")]


def test_an_image_that_is_called_mask_keeps_its_own(tmp_path):
    found = find(tmp_path, ["a.png", "a_mask.png"], ["a.png", "a_mask.png"])
    assert names(found) == [("a.png", "a.png"), ("a_mask.png", "a_mask.png")]


@pytest.mark.parametrize("pattern", ["man_seg{}.tif", "{}_labels.png", "x{}-gt.png"])
def test_what_all_masks_have_around_the_name_does_not_matter(tmp_path, pattern):
    numbers = ["000", "001", "010"]
    found = find(
        tmp_path,
        [f"t{number}.tif" for number in numbers],
        [pattern.format(number) for number in numbers],
    )
    assert names(found) == [(f"t{n}.tif", pattern.format(n)) for n in numbers]


@pytest.mark.parametrize(
    ("image", "mask", "may_be_two"),
    [
        ("2020-01-01_{}", "2020-01-02_{}", True),
        ("patientA_{}", "patientB_{}", True),
        ("{}_run1", "{}_run2", True),
        ("t{}", "man_seg{}", False),
        ("i{}", "m{}", False),
        ("x_train_{}", "y_train_{}", False),
        ("IMG_{}", "img_{}", False),
        ("weiß_{}", "mask_{}", False),
        ("img_512_{}", "mask_256_{}", False),
        ("t2_{}", "seg1_{}", False),
        ("2020_img_{}", "2020_seg_{}", False),
        ("{}_training", "{}_manual1", False),
        ("{}_19_leftImg8bit", "{}_19_gtFine", False),
    ],
)
def test_what_names_are_paired_without_is_said(tmp_path, image, mask, may_be_two):
    images, masks = ([f"{name}.png".format(n) for n in "123"] for name in (image, mask))
    found = find(tmp_path, images, masks)
    assert len(found.pairs) == 3
    said = f"called {image}, masks {mask}, and paired by what stands for *"
    told = found.problems if may_be_two else found.notes
    assert said.replace("{}", "*") in str(told[0])
    assert len(found.problems) == may_be_two


def test_names_with_spaces_accents_and_emoji_are_pairs(tmp_path):
    found = find(tmp_path, ["été à 🚗.png"], ["été à 🚗_mask.png"])
    assert len(found.pairs) == 1


def test_accents_are_equal_however_a_system_spells_them(tmp_path):
    composed, apart = "\u00e9.png", "e\u0301.png"
    assert names(find(tmp_path, [composed], [apart])) == [(composed, apart)]


def test_what_lies_between_images_is_passed_over(tmp_path):
    images, masks = lay_out(tmp_path, ["a.png"], ["a.png"])
    for name in [".DS_Store", "Thumbs.db", "notes.txt", "labels.csv"]:
        (images / name).write_text("x")
    (images / "more").mkdir()
    assert len(match_names(images, masks).pairs) == 1


def test_an_image_without_a_mask_is_named(tmp_path):
    found = find(tmp_path, ["a.png", "b.png"], ["a.png"])
    assert [str(p) for p in found.problems] == [
        f"{tmp_path}/images/b.png: has no mask in {tmp_path}/masks"
    ]


def test_a_mask_without_an_image_is_named(tmp_path):
    found = find(tmp_path, ["a.png"], ["a.png", "b.png"])
    assert [str(p) for p in found.problems] == [
        f"{tmp_path}/masks/b.png: has no image in {tmp_path}/images"
    ]


@pytest.mark.parametrize(
    ("images", "masks", "first", "second"),
    [
        (["a.jpg", "a.png"], ["a.png"], "images/a.jpg", "a.png"),
        (["a.png"], ["a.png", "a_mask.png"], "masks/a.png", "a_mask.png"),
    ],
)
def test_two_candidates_for_one_stem_are_named(tmp_path, images, masks, first, second):
    found = find(tmp_path, images, masks)
    assert [str(p) for p in found.problems] == [
        f"{tmp_path}/{first}: has the same name as {second}; which one is meant?"
    ]


@pytest.mark.real_data
@pytest.mark.skipif(not HELA.is_dir(), reason="needs ../shared/data/dic-hela")
def test_the_cell_tracking_challenges_names_are_pairs():
    found = match_names(HELA / "01", HELA / "01_ST/SEG")
    assert (len(found.pairs), found.problems) == (84, ())


def test_names_in_subfolders_are_paths(tmp_path):
    for folder in ("images/x", "images/y", "masks/x", "masks/y"):
        (tmp_path / folder).mkdir(parents=True)
        Image.new("L", (2, 2)).save(tmp_path / folder / "1.png")
    found = match_names(tmp_path / "images", tmp_path / "masks")
    assert [pair.group for pair in found.pairs] == ["x/1", "y/1"]
    assert all(p.image.parent.name == p.mask.parent.name for p in found.pairs)


def test_masks_may_lie_a_folder_deeper_than_their_images(tmp_path):
    for name in ("images/cat_1.jpg", "images/dog_1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (2, 2)).save(tmp_path / name)
    for name in ("masks/trimaps/cat_1.png", "masks/trimaps/dog_1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2)).save(tmp_path / name)
    found = match_names(tmp_path / "images", tmp_path / "masks")
    assert names(found) == [("cat_1.jpg", "cat_1.png"), ("dog_1.jpg", "dog_1.png")]


def neighbours(folder: Path, *files: str) -> Found:
    for file in files:
        Image.new("L", (2, 2)).save(folder / file)
    return match_neighbours(folder)


@pytest.mark.parametrize(
    ("files", "pair"),
    [
        (["a.jpg", "a.png"], ("a.jpg", "a.png")),
        (["a.bmp", "a.jpeg"], ("a.jpeg", "a.bmp")),
        (["a.png", "a_mask.png"], ("a.png", "a_mask.png")),
        (["a.png", "GT-a.png"], ("a.png", "GT-a.png")),
        (["my_mask.jpg", "my_mask_mask.png"], ("my_mask.jpg", "my_mask_mask.png")),
        (["1_sat.jpg", "1_mask.png"], ("1_sat.jpg", "1_mask.png")),
        (["IMG_1.png", "mask_1.png"], ("IMG_1.png", "mask_1.png")),
        (["1-rgb.tif", "gt-1.tif"], ("1-rgb.tif", "gt-1.tif")),
    ],
)
def test_image_and_mask_side_by_side_are_a_pair(tmp_path, files, pair):
    found = neighbours(tmp_path, *files)
    assert (names(found), found.problems) == ([pair], ())


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["a.tif", "a.png"], "a.png and a.tif: is an image and its mask, but which of"),
        (["a.jpg"], "a.jpg: has no mask beside it, such as a_mask.png of a.jpg"),
        (
            ["a.jpg", "a_mask.png", "mask_a.png"],
            "a_mask.png: has the same name as mask_a.png; which one is meant?",
        ),
        (["a.jpg", "a_mask.png", "a_mask_1.png"], "a_mask_1.png: has no mask beside"),
        (["a.jpg", "a_sat.jpg", "a_mask.png"], "a_sat.jpg: has no mask beside"),
        (["a_rgb.jpg", "a_sat.jpg", "a_mask.png"], "a_rgb.jpg: has no mask beside"),
        (["a_sat.jpg", "a_mask.png", "a_gt.png"], "a_gt.png: has the same name as a_m"),
    ],
)
def test_which_of_neighbours_is_the_mask_is_not_guessed(tmp_path, files, said):
    [problem] = neighbours(tmp_path, *files).problems
    assert str(problem).startswith(f"{tmp_path}/{said}")
