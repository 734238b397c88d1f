"""The demo set: Kaggle's layout, exact masks, the same bytes for the same seed."""

from __future__ import annotations

import csv
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from keras_unet.data import rle
from keras_unet.data.demo.make import make_demo
from keras_unet.errors import BadData, BadUsage

SIZE = (32, 48)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return make_demo(
        tmp_path_factory.mktemp("demo") / "set", cars=7, size=SIZE, views=4
    )


def contents(folder):
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def read(file):
    with Image.open(file) as image:
        return np.asarray(image)


def masks(folder):
    return [read(f) for f in sorted(folder.glob("train_masks/*.gif"))]


def test_every_image_has_its_mask_by_name(demo):
    images = sorted(file.stem for file in (demo / "train").iterdir())
    assert images == sorted(f.stem[:-5] for f in (demo / "train_masks").iterdir())


def test_names_are_twelve_hex_digits_and_two_of_the_view(demo):
    cars, views = zip(*(f.stem.split("_") for f in demo.glob("train/*")), strict=True)
    assert {len(car) for car in cars if int(car, 16) >= 0} == {12}
    assert set(views) == {"01", "02", "03", "04"}
    assert len(set(cars)) == 7


def test_images_have_the_size_that_was_asked_for(demo):
    assert {read(file).shape for file in demo.glob("train/*.jpg")} == {(*SIZE, 3)}


def test_masks_are_palette_images_of_index_0_and_1(demo):
    with Image.open(min(demo.glob("train_masks/*.gif"))) as image:
        assert image.mode == "P"
    assert {value for mask in masks(demo) for value in np.unique(mask)} == {0, 1}


def test_masks_shown_as_colours_are_black_and_white(demo):
    with Image.open(min(demo.glob("train_masks/*.gif"))) as image:
        colours = image.convert("RGB").getcolors()
    assert {colour for _, colour in colours} == {(0, 0, 0), (255, 255, 255)}


def test_the_run_lengths_are_those_of_the_masks(demo):
    with (demo / "train_masks.csv").open(newline="") as stream:
        rows = {row["img"]: row["rle_mask"] for row in csv.DictReader(stream)}
    for file in demo.glob("train_masks/*.gif"):
        name = file.name.replace("_mask.gif", ".jpg")
        np.testing.assert_array_equal(rle.decode(rows.pop(name), *SIZE), read(file))
    assert not rows


def test_the_same_seed_gives_the_same_bytes(demo, tmp_path):
    again = make_demo(tmp_path / "again", cars=7, size=SIZE, views=4)
    assert contents(again) == contents(demo)


def test_a_longer_set_begins_with_the_shorter_one(demo, tmp_path):
    short = make_demo(tmp_path / "short", cars=1, size=SIZE, views=4)
    name = min(short.glob("train/*.jpg")).relative_to(short)
    assert (short / name).read_bytes() == (demo / name).read_bytes()


def test_another_seed_gives_other_cars(tmp_path):
    names = [
        {
            f.name
            for f in make_demo(tmp_path / str(seed), 2, seed, SIZE, 1).glob("train/*")
        }
        for seed in (0, 1)
    ]
    assert not names[0] & names[1]


def test_numpys_global_random_state_is_left_alone(tmp_path):
    before = np.random.get_state()[1].tolist()
    make_demo(tmp_path / "set", cars=1, size=SIZE, views=1)
    assert np.random.get_state()[1].tolist() == before


def test_a_complete_set_is_left_as_it_is(demo):
    before = {f: f.stat().st_mtime_ns for f in demo.rglob("*")}
    make_demo(demo, cars=7, size=SIZE, views=4)
    assert {f: f.stat().st_mtime_ns for f in demo.rglob("*")} == before


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "set").mkdir()
    assert len(masks(make_demo(tmp_path / "set", cars=1, size=SIZE, views=2))) == 2


def test_parents_are_made(tmp_path):
    assert make_demo(tmp_path / "a/b/set", cars=1, size=SIZE, views=1).is_dir()


def test_progress_counts_to_the_end(tmp_path):
    seen = []
    make_demo(
        tmp_path / "set",
        1,
        0,
        SIZE,
        2,
        progress=lambda done, all_: seen.append((done, all_)),
    )
    assert seen == [(1, 2), (2, 2)]


def test_a_folder_with_other_files_is_refused_and_kept(tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(BadData, match=r"holds no demo set"):
        make_demo(tmp_path, cars=1, size=SIZE, views=1)
    assert list(contents(tmp_path)) == ["letter.txt"]


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "set").write_text("mine")
    with pytest.raises(BadData, match=r"holds no demo set"):
        make_demo(tmp_path / "set", cars=1, size=SIZE, views=1)


def test_a_set_of_other_settings_is_refused(demo):
    with pytest.raises(
        BadData, match=r"7 cars in 4 views, seed 0, .* wanted: 7 cars .* seed 1"
    ):
        make_demo(demo, cars=7, seed=1, size=SIZE, views=4)


def test_a_set_with_missing_files_is_refused(tmp_path):
    folder = make_demo(tmp_path / "set", cars=1, size=SIZE, views=2)
    min(folder.glob("train/*")).unlink()
    with pytest.raises(BadData, match="1 files of the demo set are missing"):
        make_demo(folder, cars=1, size=SIZE, views=2)


def test_a_mark_that_is_no_mark_is_refused(tmp_path):
    (tmp_path / "demo.json").write_text(json.dumps([1]))
    with pytest.raises(BadData, match=r"holds no demo set \(demo.json"):
        make_demo(tmp_path, cars=1, size=SIZE, views=1)


def test_an_interrupted_call_leaves_nothing(tmp_path):
    def interrupt(done, _):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_demo(tmp_path / "set", 1, 0, SIZE, 4, progress=interrupt)
    assert not list(tmp_path.iterdir())


def test_a_call_that_another_one_overtakes_uses_its_set(tmp_path):
    def overtake(*_):
        make_demo(tmp_path / "set", cars=1, size=SIZE, views=1)
        before.append((tmp_path / "set").stat().st_ino)

    before = []
    folder = make_demo(tmp_path / "set", 1, 0, SIZE, 1, progress=overtake)
    assert [folder.stat().st_ino] == before
    assert list(tmp_path.iterdir()) == [folder]


def test_a_call_that_a_call_for_another_set_overtakes_is_refused(tmp_path):
    def overtake(*_):
        make_demo(tmp_path / "set", cars=1, seed=1, size=SIZE, views=1)

    with pytest.raises(BadData, match=r"holds another demo set, of 1 cars .* seed 1"):
        make_demo(tmp_path / "set", 1, 0, SIZE, 1, progress=overtake)


def test_calls_at_the_same_time_make_one_set(demo, tmp_path):
    drawn = threading.Barrier(2, timeout=100)

    def meet(done, total):
        if done == total:
            drawn.wait()

    def make(_):
        return make_demo(tmp_path / "set", 7, 0, SIZE, 4, progress=meet)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(make, range(2))) == [tmp_path / "set"] * 2
    assert contents(tmp_path / "set") == contents(demo)
    assert list(tmp_path.iterdir()) == [tmp_path / "set"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"cars": 0}, "1 car or more, not 0"),
        ({"views": 17}, "1 to 16 views, not 17"),
        ({"seed": -1}, "0 or more, not -1"),
        ({"size": (320, 8)}, "not 320×8"),
    ],
)
def test_settings_without_an_image_are_refused(tmp_path, wrong, said):
    with pytest.raises(BadUsage, match=said):
        make_demo(tmp_path / "set", **wrong)


def test_an_image_that_does_not_fit_into_memory_is_refused(tmp_path):
    with pytest.raises(BadUsage, match=r"takes \d+ GB to draw, and there are"):
        make_demo(tmp_path / "demo", size=(10**6, 10**6))
    assert not (tmp_path / "demo").exists()
