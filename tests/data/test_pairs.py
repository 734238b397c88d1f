import os
import random
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bright_run import make_data
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from splits import find_pairs, remember, split_of

from keras_unet.config import Config, FitConfig
from keras_unet.data.layouts import find
from keras_unet.data.pair import Fingerprint, Pair
from keras_unet.data.pairs import (
    Split,
    rewrite_split,
    split_of_run,
    split_pairs,
    steps_per_epoch,
)
from keras_unet.data.pairs_file import rows_of
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData, BadUsage
from keras_unet.run_folder import RunFolder

PARTS = ("train", "validation", "test")
CARVANA = Path(__file__).parents[3] / "shared/data/carvana"


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2)).save(path)


def kaggle(root: Path, cars: str = "abcd") -> Path:
    for car in cars:
        for view in ("01", "02"):
            touch(
                root / f"train/{car}_{view}.jpg",
                root / f"train_masks/{car}_{view}_mask.gif",
            )
    return root


def plain(root: Path, names: list[str]) -> Path:
    for name in names:
        touch(root / f"images/{name}.png", root / f"masks/{name}.png")
    return root


def groups(pairs: tuple[Pair, ...]) -> set[str]:
    return {pair.group for pair in pairs}


def made(names: list[str]) -> list[Pair]:
    return [
        Pair(Path(f"{name}_{view}.jpg"), None, name) for name in names for view in "12"
    ]


def parts(split: Split) -> list[set[str]]:
    return [groups(split.train), groups(split.validation), groups(split.test)]


def test_kaggles_layout_is_recognised_with_its_cars(tmp_path):
    pairs = find_pairs(DataConfig(data=kaggle(tmp_path)))
    assert [(p.image.name, p.group) for p in pairs[:3]] == [
        ("a_01.jpg", "a"),
        ("a_02.jpg", "a"),
        ("b_01.jpg", "b"),
    ]


def test_kaggles_run_lengths_do_where_there_are_no_mask_files(tmp_path):
    touch(tmp_path / "train/a_01.jpg")
    (tmp_path / "train_masks.csv").write_text("img,rle_mask\na_01.jpg,1 2\n")
    data = DataConfig(data=tmp_path, run_lengths="rows")
    assert [p.run_lengths for p in find_pairs(data)] == ["1 2"]


def test_mask_files_come_before_run_lengths(tmp_path):
    kaggle(tmp_path)
    (tmp_path / "train_masks.csv").write_text("img,rle_mask\n")
    assert all(p.mask for p in find_pairs(DataConfig(data=tmp_path)))


def test_the_plain_layout_is_recognised_and_every_image_is_its_own_group(tmp_path):
    pairs = find_pairs(DataConfig(data=plain(tmp_path, ["b_01", "a_01"])))
    assert [p.group for p in pairs] == ["a_01", "b_01"]


def test_any_two_folders_can_be_named(tmp_path):
    touch(tmp_path / "x/a.png", tmp_path / "y/a.tif")
    pairs = find_pairs(DataConfig(images=tmp_path / "x", masks=tmp_path / "y"))
    assert pairs == [Pair(tmp_path / "x/a.png", tmp_path / "y/a.tif", "a")]


@pytest.mark.parametrize("pattern", ["patient(\\d+)", "(?<=patient)\\d+"])
def test_group_by_takes_its_first_group_or_all_it_finds(tmp_path, pattern):
    plain(tmp_path, ["patient1_a", "patient1_b", "patient2_a"])
    pairs = find_pairs(DataConfig(data=tmp_path, group_by=pattern))
    assert [p.group for p in pairs] == ["1", "1", "2"]


def test_a_name_in_which_group_by_finds_nothing_is_refused(tmp_path):
    plain(tmp_path, ["patient1", "x"])
    with pytest.raises(
        BadData, match=r"x\.png: --group-by \\d\+ finds nothing in its name"
    ):
        find_pairs(DataConfig(data=tmp_path, group_by=r"\d+"))


def test_a_group_by_that_is_no_expression_is_wrong_usage(tmp_path):
    with pytest.raises(BadUsage, match=r"--group-by \( is no regular expression"):
        find_pairs(DataConfig(data=plain(tmp_path, ["a"]), group_by="("))


def test_no_folder_at_all_is_wrong_usage():
    with pytest.raises(
        BadUsage, match="give --data DIR, or --images DIR and --masks DIR"
    ):
        find_pairs(DataConfig())


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ([], "is empty; expected images/ and masks/, or Kaggle's train/"),
        (["images/a.png"], "holds images/; expected images/"),
        (["train/a_01.jpg"], "holds train/; expected images/"),
    ],
)
def test_a_folder_of_no_known_layout_is_told_what_is_expected(tmp_path, made, message):
    touch(*(tmp_path / name for name in made))
    with pytest.raises(BadData, match=message):
        find_pairs(DataConfig(data=tmp_path))


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BadData, match="gone: there is no such folder"):
        find_pairs(DataConfig(data=tmp_path / "gone"))


def test_every_file_without_its_partner_is_in_the_message(tmp_path):
    plain(tmp_path, ["a", "b"])
    (tmp_path / "masks/a.png").unlink()
    (tmp_path / "images/b.png").unlink()
    with pytest.raises(BadData, match=r"2 things are wrong(.|\n)*a\.png(.|\n)*b\.png"):
        find_pairs(DataConfig(data=tmp_path))


@given(st.sets(st.text(min_size=1), min_size=3, max_size=40), st.randoms())
def test_no_group_is_on_two_sides_and_none_is_lost(names, chance):
    pairs = made(sorted(names))
    train, validation, test = parts(split_pairs(pairs))
    assert train | validation | test == {p.group for p in pairs}
    assert len(train) + len(validation) + len(test) == len({p.group for p in pairs})


@given(st.sets(st.text(min_size=1), min_size=3, max_size=40), st.randoms())
def test_the_split_does_not_depend_on_the_order_of_the_listing(names, chance):
    pairs = made(sorted(names))
    shuffled = random.Random(chance.random()).sample(pairs, len(pairs))
    assert parts(split_pairs(pairs)) == parts(split_pairs(shuffled))


def test_the_split_is_the_same_on_every_machine():
    split = split_pairs(made([f"car{number}" for number in range(20)]))
    assert groups(split.test) == {"car19", "car9"}
    assert groups(split.validation) == {"car6", "car0"}


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(3, (1, 1, 1)), (10, (8, 1, 1)), (40, (32, 4, 4)), (318, (254, 32, 32))],
)
def test_a_tenth_of_the_groups_is_test_and_a_tenth_validation(count, sizes):
    split = split_pairs(made([f"car{number}" for number in range(count)]))
    assert tuple(map(len, parts(split))) == sizes


def test_fewer_than_three_groups_cannot_be_split():
    with pytest.raises(BadData, match=r"at least 3, not 2 \(.*\); see --group-by"):
        split_pairs(made(["a", "b"]))


def test_a_given_validation_folder_validates_and_a_tenth_of_the_rest_tests(tmp_path):
    data = DataConfig(
        data=kaggle(tmp_path / "x", "abc"), validation=kaggle(tmp_path / "y", "de")
    )
    train, validation, test = parts(split_of(data))
    assert validation == {"d", "e"}
    assert (len(test), train | test) == (1, {"a", "b", "c"})


def test_the_pairs_of_the_validation_folder_are_found_apart(tmp_path):
    data = DataConfig(
        data=kaggle(tmp_path / "x", "a"), validation=kaggle(tmp_path / "y", "b")
    )
    found = find(data)
    assert (groups(found.pairs), groups(found.validation)) == ({"a"}, {"b"})


def test_a_group_of_the_validation_folder_in_the_rest_is_refused(tmp_path):
    data = DataConfig(
        data=kaggle(tmp_path / "x", "abc"), validation=kaggle(tmp_path / "y", "cd")
    )
    with pytest.raises(BadData, match="group c of --validation is also in the rest"):
        split_of(data)


def test_equal_names_without_groups_are_no_overlap(tmp_path):
    data = DataConfig(
        data=plain(tmp_path / "x", ["1", "2", "3"]),
        validation=plain(tmp_path / "y", ["1"]),
    )
    assert len(split_of(data).validation) == 1


def test_the_data_folder_as_its_own_validation_is_refused(tmp_path):
    data = DataConfig(data=kaggle(tmp_path))
    with pytest.raises(BadData, match="is in --validation and in the rest of the data"):
        split_of(replace(data, validation=tmp_path))


def test_one_group_is_too_few_beside_a_validation_folder(tmp_path):
    data = DataConfig(
        data=kaggle(tmp_path / "x", "a"), validation=kaggle(tmp_path / "y", "b")
    )
    with pytest.raises(BadData, match="at least 2, not 1"):
        split_of(data)


@pytest.mark.real_data
@pytest.mark.skipif(not CARVANA.is_dir(), reason="needs ../shared/data/carvana")
def test_carvanas_cars_are_split_four_to_each_side():
    split = split_of(DataConfig(data=CARVANA))
    assert (len(split.train), len(split.validation), len(split.test)) == (512, 64, 64)


@pytest.fixture
def run(tmp_path):
    """A run that was made with six pairs."""
    data = DataConfig(data=make_data(tmp_path / "data", count=6))
    run = RunFolder(tmp_path / "run")
    run.save_config(Config(data=data))
    return remember(run)


def names_of(split):
    return {part: [pair.image.name for pair in vars(split)[part]] for part in PARTS}


def test_a_run_keeps_the_split_that_it_was_made_with(run):
    split, notes = split_of_run(run)
    assert names_of(split) == names_of(split_of(run.load_config().data))
    assert notes == ()


def test_where_size_and_time_are_the_same_no_file_of_a_run_is_opened(run, monkeypatch):
    images = {file for file in run.load_config().data.data.rglob("*.png")}
    opened, really = set(), Path.open

    def watched(path, *arguments, **options):
        opened.add(path)
        return really(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", watched)
    split_of_run(run)
    assert run.split_file in opened
    assert not images & opened


@pytest.mark.parametrize(
    ("folder", "cause"), [("images", "is gone"), ("masks", "has no mask in")]
)
def test_a_file_that_is_gone_is_named(run, folder, cause):
    (run.load_config().data.data / folder / "car03.png").unlink()
    with pytest.raises(BadData, match=rf"images/car03\.png: {cause}") as error:
        split_of_run(run)
    assert "split.csv" in str(error.value)


def test_a_file_that_is_gone_is_named_where_another_folder_has_one_of_its_name(run):
    data = run.load_config().data.data
    for folder in ("images", "masks"):
        (data / folder / "car03.png").unlink()
        (data / folder / "c").mkdir()
        Image.new("L", (4, 3), 9).save(data / folder / "c/car03.png")
    said = r"images/car03\.png: is gone, and .*/images/c/car03\.png has changed since"
    with pytest.raises(BadData, match=said):
        split_of_run(run)


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_a_file_that_has_changed_is_named(run, folder):
    file = run.load_config().data.data / folder / "car03.png"
    other = np.zeros((16, 24), np.uint8)
    Image.fromarray(other).save(file)
    with pytest.raises(BadData, match=r"car03\.png: has changed since the training"):
        split_of_run(run)


def test_a_file_that_was_only_touched_is_the_same(run):
    os.utime(run.load_config().data.data / "masks" / "car03.png", (1, 1))
    split_of_run(run)


def test_an_image_that_is_new_is_said_and_left_out(run):
    data = run.load_config().data.data
    before = names_of(split_of_run(run)[0])
    for folder in ("images", "masks"):
        shutil.copy(data / folder / "car03.png", data / folder / "new.png")
    split, notes = split_of_run(run)
    assert names_of(split) == before
    assert notes == ("1 image is new since the training and left out (new.png)",)


def test_data_that_have_moved_are_the_same(run, tmp_path):
    shutil.move(tmp_path / "data", tmp_path / "elsewhere")
    moved = run.load_config().data.moved_to(tmp_path / "elsewhere")
    split, (note,) = split_of_run(run, moved)
    assert split.train[0].image.parent == tmp_path / "elsewhere" / "images"
    assert note.startswith("images have moved: ")


def of_equal_names(root, *places):
    """Writes 0.png to 3.png with their masks into every place, each its own pixels."""
    for place in places:
        for number in range(4):
            level = 10 * number + len(str(place))
            image = Image.new("RGB", (4, 3), (level, ord(place[0]), 9))
            mask = Image.new("L", (4, 3), 255 * (number % 2))
            for kind, pixels in (("images", image), ("masks", mask)):
                file = root / place.format(kind) / f"{number}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                pixels.save(file)


@pytest.mark.parametrize(
    ("places", "before", "now"),
    [
        (
            ["train/{}", "val/{}", "test/{}"],
            {"data": "old/train", "validation": "old/val", "test": "old/test"},
            {"data": "new/train", "validation": "new/val", "test": "new/test"},
        ),
        (
            ["{}/a", "{}/b"],
            {"images": "old/images", "masks": "old/masks"},
            {"images": "new/images", "masks": "new/masks"},
        ),
        # Out of a folder, into one above it.
        (["{}/a", "{}/b"], {"data": "old"}, {"data": "."}),
    ],
)
def test_images_of_equal_names_that_have_moved_are_told_apart(
    tmp_path, places, before, now
):
    root = tmp_path / "set"
    of_equal_names(root / "old", *places)
    run = RunFolder(tmp_path / "run")
    meaning = DataConfig(mask_kind="binary", foreground_above=127)
    old = replace(meaning, **{name: root / at for name, at in before.items()})
    run.save_config(Config(data=old))
    remember(run)
    hashes = [row["image_sha256"] for row in rows_of(run)]
    if "data" in now and now["data"] == ".":
        for kind in ("images", "masks"):
            (root / "old" / kind).rename(root / kind)
    else:
        (root / "old").rename(root / "new")
    split, notes = split_of_run(
        run, replace(meaning, **{name: root / at for name, at in now.items()})
    )
    assert len(notes) == 1
    rewrite_split(run, split)
    rows = rows_of(run)
    assert [row["image_sha256"] for row in rows] == hashes
    assert all(Path(row["image"]).is_file() for row in rows)
    for row in rows:
        with Path(row["image"]).open("rb") as file:
            assert Fingerprint.of(file).sha256 == row["image_sha256"]


def test_of_images_that_were_copied_the_times_of_change_are_kept_anew(run, tmp_path):
    shutil.copytree(tmp_path / "data", tmp_path / "copy", copy_function=shutil.copyfile)
    split, _ = split_of_run(run, run.load_config().data.moved_to(tmp_path / "copy"))
    rewrite_split(run, split)
    for row in rows_of(run):
        assert row["mask_modified"] == str(Path(row["mask"]).stat().st_mtime_ns)


def test_masks_that_moved_alone_are_written_where_they_are(run, tmp_path):
    data = run.load_config().data
    (data.data / "masks").rename(tmp_path / "m")
    places = {"images": data.data / "images", "masks": tmp_path / "m"}
    split, _ = split_of_run(run, replace(data, data=None, **places))
    rewrite_split(run, split)
    assert {Path(row["mask"]).parent for row in rows_of(run)} == {tmp_path / "m"}


def test_images_that_moved_without_a_word_are_asked_for_by_the_runs_own_flags(
    run, tmp_path
):
    data = run.load_config().data
    places = {"images": data.data / "images", "masks": data.data / "masks"}
    run.save_config(Config(data=replace(data, data=None, **places)))
    shutil.move(tmp_path / "data", tmp_path / "elsewhere")
    run = RunFolder(shutil.move(run.path, tmp_path / "my run"))
    flags = f"--output '{run.path}' --resume --images DIR --masks DIR"
    with pytest.raises(BadData, match=re.escape(flags)):
        split_of_run(run)


@pytest.mark.parametrize("content", [None, "", "image,part\na.png,train\n"])
def test_a_list_of_images_that_is_none_is_named(run, content):
    run.split_file.unlink()
    if content is not None:
        run.split_file.write_text(content)
    with pytest.raises(BadData, match=r"split\.csv is (missing|damaged)"):
        split_of_run(run)


def test_run_lengths_that_have_changed_are_named(tmp_path):
    (tmp_path / "data" / "train").mkdir(parents=True)
    table = tmp_path / "data" / "train_masks.csv"
    for car in "abc":
        Image.new("RGB", (4, 3)).save(tmp_path / "data" / "train" / f"{car}_01.jpg")
    rows = "".join(f"{car}_01.jpg,1 3\n" for car in "abc")
    table.write_text("img,rle_mask\n" + rows)
    run = RunFolder(tmp_path / "run")
    data = DataConfig(data=tmp_path / "data", run_lengths="rows")
    run.save_config(Config(data=data))
    remember(run)
    split_of_run(run)
    table.write_text("img,rle_mask\n" + rows.replace("a_01.jpg,1 3", "a_01.jpg,1 4"))
    with pytest.raises(BadData, match=r"a_01\.jpg: has other run lengths"):
        split_of_run(run)


def test_a_file_that_cannot_be_read_is_named(run):
    mask = run.load_config().data.data / "masks" / "car03.png"
    mask.unlink()
    mask.symlink_to("nowhere")
    with pytest.raises(BadData, match=r"masks/car03\.png: cannot be read"):
        split_of_run(run)


def test_a_rest_of_an_epoch_makes_no_step():
    pairs = [Pair(Path(f"{n}.png"), None, f"{n}") for n in range(11)]
    assert steps_per_epoch(pairs, Config(fit=FitConfig(batch_size=4))) == 2


def test_pieces_fill_the_last_step_of_an_epoch():
    sizes = [(100, 100), (9, 9)]
    pairs = [Pair(Path("a"), None, "a", size=size) for size in sizes]
    data = DataConfig(resolution=1, tile_size=(32, 32))
    config = Config(data=data, fit=FitConfig(batch_size=4))
    assert steps_per_epoch(pairs, config) == 3
