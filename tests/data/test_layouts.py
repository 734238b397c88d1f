"""From what was given, folders or files, to pairs and what each of them is for."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from splits import find_pairs, split_of

from keras_unet.config import Config
from keras_unet.data.__main__ import main
from keras_unet.data.check import check_data
from keras_unet.data.layouts import find
from keras_unet.data.masks import read_values
from keras_unet.data.pair import Found
from keras_unet.data.pairs import prepare, split_of_run
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData
from keras_unet.run_folder import RunFolder


def draw(root: Path, *names: str) -> Path:
    """Draws an image or mask, half of it white, for each name."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(len(str(root / name))).integers(0, 9, (6, 8))
        pixels[:3] = 255 if "mask" in name or "annot" in name else 200
        pixels[3:] = 0 if "mask" in name or "annot" in name else pixels[3:]
        Image.fromarray(pixels.astype(np.uint8)).save(root / name)
    return root


def divided(root: Path, **parts: str) -> Path:
    for part, names in parts.items():
        draw(root, *(f"{part}/{name}.png" for name in names))
        draw(root, *(f"{part}annot/{name}.png" for name in names))
    return root


def stems(pairs) -> list[str]:
    return [pair.image.stem for pair in pairs]


def parts_of(found: Found) -> tuple[list[str], list[str], list[str]]:
    return stems(found.pairs), stems(found.validation), stems(found.test)


def test_one_folder_named_twice_is_looked_at_for_pairs_side_by_side(tmp_path):
    draw(tmp_path, "x/a.jpg", "x/a_mask.png", "x/p/b.jpg", "x/p/b.png")
    found = find(DataConfig(images=tmp_path / "x", masks=tmp_path / "x"))
    assert ([p.group for p in found.pairs], found.problems) == (["a", "p/b"], ())


def test_one_folder_named_twice_without_such_pairs_is_refused(tmp_path):
    draw(tmp_path, "x/a.jpg", "x/b.jpg")
    with pytest.raises(BadData, match="x: is --images and --masks, but has no image"):
        find(DataConfig(images=tmp_path / "x", masks=tmp_path / "x"))


def test_masks_may_be_a_table_of_run_lengths(tmp_path):
    draw(tmp_path, "x/a.png")
    (tmp_path / "t.csv").write_text("id,rle_mask\na,1 3\n")
    data = DataConfig(
        images=tmp_path / "x", masks=tmp_path / "t.csv", run_lengths="columns"
    )
    [pair] = find_pairs(data)
    assert read_values(pair, DataConfig())[:, 0].tolist() == [1, 1, 1, 0, 0, 0]


CARS = [f"{car}_{view}" for car in ("0ab", "1cd", "2ef") for view in ("01", "02")]
BY_CAR = {
    "two folders": DataConfig(images=Path("x"), masks=Path("y")),
    "Kaggle's": DataConfig(images=Path("train"), masks=Path("train_masks")),
    "Kaggle's table": DataConfig(images=Path("train"), masks=Path("train_masks.csv")),
    "one folder": DataConfig(images=Path("z"), masks=Path("z")),
    "side by side": DataConfig(data=Path("z")),
    "pairs": DataConfig(pairs=Path("pairs.csv")),
    "pairs of a table": DataConfig(pairs=Path("runs.csv")),
}


@pytest.fixture
def cars(tmp_path, monkeypatch) -> Path:
    """A working directory with three cars in two views, in several layouts."""
    monkeypatch.chdir(tmp_path)
    for images, masks in [("x", "y"), ("train", "train_masks"), ("z", "z")]:
        draw(tmp_path, *(f"{images}/{name}.jpg" for name in CARS))
        draw(tmp_path, *(f"{masks}/{name}_mask.png" for name in CARS))
    for file, line in [
        ("train_masks.csv", "img,rle_mask\n{0}.jpg,1 3\n"),
        ("pairs.csv", "image,mask\nx/{0}.jpg,y/{0}_mask.png\n"),
        ("runs.csv", "image,mask\nx/{0}.jpg,train_masks.csv\n"),
    ]:
        header, row = line.splitlines()
        rows = [row.format(name) for name in CARS]
        Path(file).write_text("\n".join([header, *rows]))
    return tmp_path


@pytest.mark.parametrize("given", BY_CAR)
def test_carvanas_names_are_kept_together_by_car_however_they_are_given(cars, given):
    found = find(replace(BY_CAR[given], run_lengths="columns"))
    assert [pair.group for pair in found.every] == [name[:3] for name in CARS]
    assert "groups: by what comes before _01" in found.notes[-1]


def test_two_folders_called_as_kaggles_need_not_hold_cars(tmp_path):
    names = [f"img_{number:03}" for number in range(20)]
    data = DataConfig(images=tmp_path / "train", masks=tmp_path / "train_masks")
    draw(tmp_path, *(f"{at}/{n}.png" for at in ("train", "train_masks") for n in names))
    assert [pair.group for pair in find(data).every] == names


@pytest.mark.parametrize("masks", ["train_masks", "train_masks.csv"])
@pytest.mark.parametrize("name", ["{}_{:04}", "{}_{}", "img_{1:02}"])
def test_kaggles_layout_need_not_hold_cars(tmp_path, name, masks):
    kinds = ["neg", "other", "pos"]
    names = sorted(name.format(kinds[n % 3], n) for n in range(9))
    draw(tmp_path, *(f"train/{one}.png" for one in names))
    if masks.endswith("csv"):
        rows = [f"{one}.png,1 3" for one in names]
        (tmp_path / masks).write_text("\n".join(["img,rle_mask", *rows]))
    else:
        draw(tmp_path, *(f"{masks}/{one}.png" for one in names))
    found = find(DataConfig(data=tmp_path, run_lengths="rows"))
    assert [pair.group for pair in found.every] == names


def test_of_kaggles_layout_a_sample_is_kept_together_by_car_and_that_is_said(tmp_path):
    names = ["0ab_01", "0ab_07", "1cd_03", "2ef_16"]
    draw(tmp_path, *(f"train/{name}.jpg" for name in names))
    draw(tmp_path, *(f"train_masks/{name}_mask.png" for name in names))
    found = find(DataConfig(data=tmp_path))
    assert [pair.group for pair in found.every] == [name[:3] for name in names]
    assert "groups: by what comes before _01" in found.notes[-1]


def test_two_cars_of_a_table_are_kept_together(tmp_path):
    names = [f"{car}_{view:02}" for car in ("0ab", "1cd") for view in range(1, 17)]
    draw(tmp_path, *(f"train/{name}.jpg" for name in names))
    rows = ["img,rle_mask", *(f"{name}.jpg,1 3" for name in names)]
    (tmp_path / "train_masks.csv").write_text("\n".join(rows))
    found = find(DataConfig(data=tmp_path, run_lengths="rows"))
    assert {pair.group for pair in found.every} == {"0ab", "1cd"}


def test_an_expression_or_a_column_of_groups_holds_for_carvanas_names_too(cars):
    found = find(replace(BY_CAR["two folders"], group_by=".*_.."))
    assert [pair.group for pair in found.every] == CARS
    rows = [f"x/{name}.jpg,y/{name}_mask.png,{name}" for name in CARS]
    Path("pairs.csv").write_text("\n".join(["image,mask,group", *rows]))
    assert [pair.group for pair in find(BY_CAR["pairs"]).every] == CARS


VERSIONS = ["a_jpg.rf.1f", "a_jpg.rf.2e", "b_jpg.rf.30"]


@pytest.mark.parametrize("given", ["two folders", "one folder", "pairs"])
def test_what_roboflow_made_of_one_image_is_kept_together(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    draw(tmp_path, *(f"{at}/{n}.jpg" for at in "xz" for n in VERSIONS))
    draw(tmp_path, *(f"{at}/{n}_mask.png" for at in "yz" for n in VERSIONS))
    rows = [f"x/{n}.jpg,y/{n}_mask.png" for n in VERSIONS]
    Path("pairs.csv").write_text("\n".join(["image,mask", *rows]))
    found = find(BY_CAR[given])
    assert [pair.group for pair in found.every] == ["a_jpg", "a_jpg", "b_jpg"]
    assert "groups: by what comes before .rf." in found.notes[-1]


def test_roboflows_names_are_groups_within_the_parts_of_a_layout(tmp_path):
    root = divided(tmp_path, train="x", val="y", test="z")
    draw(root, *(f"train{kind}/{n}.png" for kind in ("", "annot") for n in VERSIONS))
    draw(root, *(f"val{kind}/{VERSIONS[0]}.png" for kind in ("", "annot")))
    groups = [pair.group for pair in find(DataConfig(data=root)).every]
    assert groups == [
        *("train/a_jpg", "train/a_jpg", "train/b_jpg", "train/x"),
        *("validation/a_jpg", "validation/y", "test/z"),
    ]


def test_a_run_that_split_a_car_keeps_the_split_that_it_has(cars):
    run = RunFolder(cars / "run")
    data = replace(BY_CAR["two folders"], group_by=".*_..")
    run.save_config(Config(data=data))
    prepare(data).write_split(run)
    before, _ = split_of_run(run)
    # Runs of before cars were guessed have such a config and such a split.
    run.save_config(Config(data=BY_CAR["two folders"]))
    assert split_of_run(run)[0] == before
    assert {pair.group for pair in before.train} < {*CARS}


def test_where_only_validation_is_given_test_comes_from_the_rest(tmp_path):
    root = divided(tmp_path, train="abcdef", val="gh")
    found = find(DataConfig(data=root))
    assert parts_of(found) == (list("abcdef"), ["g", "h"], [])
    assert found.notes[1:] == (
        "split: test has no images of its own and takes 1 of the 6 images for training "
        "(--test DIR gives it others)",
    )
    split = prepare(DataConfig(data=root)).split()
    assert stems(split.validation) == ["g", "h"]
    assert len(split.test) == 1
    assert sorted(stems(split.train + split.test)) == list("abcdef")


def test_where_only_test_is_given_validation_comes_from_the_rest(tmp_path):
    split = prepare(DataConfig(data=divided(tmp_path, train="abc", test="d"))).split()
    assert stems(split.test) == ["d"]
    assert (len(split.train), len(split.validation)) == (2, 1)


def test_a_whole_split_is_kept_however_small(tmp_path):
    root = divided(tmp_path, train="a", val="b", test="c")
    split = prepare(DataConfig(data=root)).split()
    assert [stems(part) for part in vars(split).values()] == [["a"], ["b"], ["c"]]


def test_given_validation_and_test_take_the_place_of_the_layouts_own(tmp_path):
    draw(tmp_path / "v", "images/x.png", "masks/x.png")
    draw(tmp_path / "t", "images/y.png", "masks/y.png")
    found = find(
        DataConfig(
            data=divided(tmp_path / "d", train="a", val="bc", test="d"),
            validation=tmp_path / "v",
            test=tmp_path / "t",
        )
    )
    assert parts_of(found) == (["a"], ["x"], ["y"])
    assert (
        "2 validation images of the data's own split are left out: --validation is "
        "given" in found.notes
    )


def test_a_folder_given_for_validation_is_for_validation_as_a_whole(tmp_path):
    draw(
        tmp_path / "d",
        *(f"{kind}/{n}.png" for kind in ("images", "masks") for n in "ab"),
    )
    given = divided(tmp_path / "v", train="x", val="y")
    found = find(DataConfig(data=tmp_path / "d", validation=given))
    assert parts_of(found) == (["a", "b"], ["x", "y"], [])


@pytest.mark.parametrize("part", ["validation", "test"])
def test_an_image_of_a_given_part_in_the_rest_is_refused(tmp_path, part):
    names = [f"{kind}/{name}.png" for kind in ("images", "masks") for name in "abc"]
    draw(tmp_path, *names)
    prepared = prepare(DataConfig(data=tmp_path, **{part: tmp_path}))
    with pytest.raises(BadData, match=f"is in --{part} and in the rest of the data"):
        prepared.split()


def test_names_that_parts_share_are_no_overlap(tmp_path):
    split = prepare(DataConfig(data=divided(tmp_path, train="ab", val="a"))).split()
    assert stems(split.validation) == ["a"]


FRAMES = [f"{film}/{frame}" for film in "abc" for frame in ("00", "01")]


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [("([^/]+)/[^/]*$", list("aabbcc")), (r"(\d+)\.", ["00"] * 3 + ["01"] * 3)],
)
def test_groups_are_looked_for_in_paths_where_no_name_has_them(
    tmp_path, pattern, groups
):
    draw(tmp_path, *(f"{at}/{n}.png" for at in ("images", "masks") for n in FRAMES))
    for data in (
        DataConfig(data=tmp_path),
        DataConfig(images=tmp_path / "images", masks=tmp_path / "masks"),
    ):
        found = find(replace(data, group_by=pattern))
        assert sorted(pair.group for pair in found.every) == groups
        assert found.problems == ()


NUMBERED = [f"{patient}_{slice_}" for patient in (1, 2, 47) for slice_ in (1, 2, 120)]


@pytest.mark.parametrize(
    ("names", "said"),
    [(FRAMES, "3 folders: if"), (NUMBERED, "3 names, each with several numbers: if")],
)
def test_images_that_may_be_like_their_neighbours_are_asked_about(
    tmp_path, names, said
):
    draw(tmp_path, *(f"{at}/{n}.png" for at in ("images", "masks") for n in names))
    data = DataConfig(data=tmp_path)
    note = find(data).notes[-1]
    assert said in note
    _, way = shlex.split(note[note.index("--group-by") :])
    grouped = find(replace(data, group_by=way))
    assert len({pair.group for pair in grouped.every}) == 3
    assert len(grouped.notes) == 1


def test_of_a_layouts_own_split_the_part_that_is_cut_is_asked_about(tmp_path):
    draw(tmp_path, *(f"train{kind}/{n}.png" for kind in ("", "annot") for n in FRAMES))
    draw(tmp_path, "val/x.png", "valannot/x.png")
    assert "3 folders: if" in find(DataConfig(data=tmp_path)).notes[-1]
    draw(tmp_path, "test/y.png", "testannot/y.png")
    assert len(find(DataConfig(data=tmp_path)).notes) == 1


@pytest.mark.parametrize(
    "names",
    [
        [f"img_{number:03}" for number in range(20)],
        [f"{part}/{n}" for part in ("good", "bad") for n in range(5)],
        [f"{letter}x1" for letter in "abcdef"],
        [f"{number}/a" for number in range(5)],
    ],
)
def test_other_images_are_not(tmp_path, names):
    draw(tmp_path, *(f"{at}/{n}.png" for at in ("images", "masks") for n in names))
    assert len(find(DataConfig(data=tmp_path)).notes) == 1


def test_groups_by_name_hold_for_a_layouts_own_split_too(tmp_path):
    draw(
        tmp_path,
        *(f"train{kind}/{n}.png" for kind in ("", "annot") for n in ("p1", "p2")),
    )
    draw(
        tmp_path,
        *(f"val{kind}/{n}.png" for kind in ("", "annot") for n in ("p1x", "p3")),
    )
    prepared = prepare(DataConfig(data=tmp_path, group_by=r"\d"))
    with pytest.raises(BadData, match="group 1 of --validation is also in the rest"):
        prepared.split()


def test_records_keep_the_split_and_what_the_layout_says(tmp_path, capsys):
    root = divided(tmp_path / "d", train="abc", val="d", test="e")
    words = ["records", str(root), "--output", str(tmp_path / "r"), "--coding", "png"]
    assert main([*words, "--image-size", "6", "8"]) == 0
    found = find(DataConfig(data=tmp_path / "r"))
    assert parts_of(found) == (["a", "b", "c"], ["d"], ["e"])


def test_records_of_annotations_keep_the_names_of_the_classes(tmp_path):
    draw(tmp_path, "d/images/a.png")
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 8, "height": 6}],
        "categories": [{"id": 3, "name": "cat"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 3,
                "segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]],
            }
        ],
    }
    (tmp_path / "d/annotations.json").write_text(json.dumps(content))
    words = ["records", str(tmp_path / "d"), "--output", str(tmp_path / "r")]
    assert main([*words, "--image-size", "6", "8"]) == 0
    data = DataConfig(data=tmp_path / "r")
    assert check_data(find(data), data).resolved.class_names == ("background", "cat")


@pytest.fixture
def nested_run(tmp_path) -> RunFolder:
    """A run that was made with images of one name in several folders."""
    names = [f"{kind}/{n}/1.png" for kind in ("images", "masks") for n in "abcd"]
    run = RunFolder(tmp_path / "run")
    run.save_config(Config(data=DataConfig(data=draw(tmp_path / "data", *names))))
    prepare(run.load_config().data).write_split(run)
    return run


def test_images_of_one_name_in_several_folders_are_known_after_a_move(
    nested_run, tmp_path
):
    before, _ = split_of_run(nested_run)
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    moved = nested_run.load_config().data.moved_to(tmp_path / "elsewhere")
    after, notes = split_of_run(nested_run, moved)
    assert [note.partition(": ")[0] for note in notes] == ["images have moved"]
    assert [p.group for p in after.train] == [p.group for p in before.train]
    assert split_of(DataConfig(data=tmp_path / "elsewhere")).test[0].group == (
        before.test[0].group
    )
