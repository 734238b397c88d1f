"""The command that segments images, and the job behind it."""

import csv
import dataclasses
import os

import numpy as np
import pytest
from bright_run import draw, load, make_border_run, make_cells, make_run, square
from stopped import stopped

from keras_unet.data import rle
from keras_unet.predict import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def images(tmp_path):
    for name in ("a", "b"):
        draw(tmp_path / "in" / f"{name}.png", square(shift=ord(name) - ord("a")))
    return tmp_path / "in"


def predict(run, *words):
    return main([str(run.path), *map(str, words)])


def masks(folder):
    return {path.name for path in folder.iterdir()} - {".predict.json", "failed.csv"}


def test_every_image_of_a_folder_gets_a_mask_of_0_and_255(run, images, tmp_path):
    assert predict(run, images, "--output", tmp_path / "out") == 0
    for name in ("a", "b"):
        wanted = square(shift=ord(name) - ord("a")) * 255
        np.testing.assert_array_equal(load(tmp_path / "out" / f"{name}.png"), wanted)


def test_nothing_but_the_masks_and_what_made_them_is_written(run, images, tmp_path):
    predict(run, images, "--output", tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        ".predict.json",
        "a.png",
        "b.png",
    ]


@pytest.mark.process
@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without a word")
def test_sigterm_leaves_whole_masks_and_no_submission(run, tmp_path):
    for number in range(300):
        draw(tmp_path / "in" / f"{number}.png", square())
    out = tmp_path / "out"
    words = ["keras_unet.predict", run.path, tmp_path / "in", "--output", out]
    words += ["--submission", out / "all.csv"]
    said, status = stopped(words, lambda: (out / "0.png").exists())
    go_on = "Go on with the same command: what is done is kept"
    assert (said, status) == (f"terminated. {go_on}\n", 143)
    names = masks(out)
    assert names < {f"{number}.png" for number in range(300)}
    assert all(load(out / name).shape == (16, 24) for name in names)


def test_a_mask_has_its_image_s_own_size(run, tmp_path):
    draw(tmp_path / "large.png", np.kron(square(), np.ones((5, 4), np.uint8)))
    predict(run, tmp_path / "large.png", "--output", tmp_path / "out")
    assert load(tmp_path / "out" / "large.png").shape == (80, 96)


def test_an_overlay_is_an_image_of_the_same_size(run, images, tmp_path):
    predict(run, images / "a.png", "--output", tmp_path / "out", "--overlay")
    assert load(tmp_path / "out" / "a_overlay.jpg").shape == (16, 24, 3)


def test_a_probability_has_16_bits(run, images, tmp_path):
    predict(run, images / "a.png", "--output", tmp_path / "out", "--probabilities")
    levels = load(tmp_path / "out" / "a_probability.png")
    assert levels.max() > 60000
    assert levels.min() < 5000


def test_three_classes_of_no_known_values_are_written_as_their_numbers(tmp_path):
    run = make_run(tmp_path / "run", classes=3)
    truth = square()
    truth[4:12, 4:9] = 2
    draw(tmp_path / "car.png", truth, levels=(20, 127, 240))
    words = ["--output", tmp_path / "out", "--probabilities"]
    assert predict(run, tmp_path / "car.png", *words) == 0
    np.testing.assert_array_equal(load(tmp_path / "out" / "car.png"), truth)
    assert len(list((tmp_path / "out").glob("car_probability_*.png"))) == 3


def test_a_submission_holds_the_run_lengths_of_every_image(run, images, tmp_path):
    file = tmp_path / "submission.csv"
    predict(run, images, "--output", tmp_path / "out", "--submission", file)
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["img"] for row in rows] == ["a.png", "b.png"]
    np.testing.assert_array_equal(rle.decode(rows[0]["rle_mask"], 16, 24), square())


def test_a_submission_goes_the_way_of_the_runs_own_run_lengths(images, tmp_path):
    run = make_run(tmp_path / "run")
    config = run.load_config()
    data = dataclasses.replace(config.data, run_lengths="columns")
    run.save_config(dataclasses.replace(config, data=data))
    file = tmp_path / "submission.csv"
    predict(run, images, "--output", tmp_path / "out", "--submission", file)
    with file.open(newline="") as stream:
        runs = next(csv.DictReader(stream))["rle_mask"]
    np.testing.assert_array_equal(rle.decode(runs, 16, 24, columns=True), square())


def test_a_submission_of_three_classes_is_refused(tmp_path, capsys):
    run = make_run(tmp_path / "run", classes=3)
    draw(tmp_path / "car.png", square())
    words = ["--output", tmp_path / "out", "--submission", tmp_path / "all.csv"]
    assert predict(run, tmp_path / "car.png", *words) == 2
    assert "--submission" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_corrupt_image_is_named_and_the_others_are_done(
    run, images, tmp_path, capsys
):
    whole = (images / "a.png").read_bytes()
    (images / "broken.png").write_bytes(whole[: len(whole) // 2])
    assert predict(run, images, "--output", tmp_path / "out") == 1
    assert "broken.png" in capsys.readouterr().err
    assert masks(tmp_path / "out") == {"a.png", "b.png"}


def test_inputs_that_are_missing_are_named_at_the_end_and_the_others_done(
    run, images, tmp_path, capsys
):
    (tmp_path / "empty").mkdir()
    inputs = [tmp_path / "gone.png", images, tmp_path / "empty", tmp_path / "lost"]
    assert predict(run, *inputs, "--output", tmp_path / "out") == 1
    assert masks(tmp_path / "out") == {"a.png", "b.png"}
    assert capsys.readouterr().err.splitlines() == [
        f"error: {tmp_path}/gone.png: there is no such file or folder",
        f"error: {tmp_path}/empty: holds no images",
        f"error: {tmp_path}/lost: there is no such file or folder",
    ]


def test_a_submission_has_the_images_that_could_be_read(run, images, tmp_path):
    file = tmp_path / "submission.csv"
    inputs = [images, tmp_path / "gone.png"]
    predict(run, *inputs, "--output", tmp_path / "out", "--submission", file)
    assert [line.split(",")[0] for line in file.read_text().splitlines()] == [
        "img",
        "a.png",
        "b.png",
    ]


def test_a_link_in_a_circle_is_named_and_the_others_are_done(
    run, images, tmp_path, capsys
):
    (images / "circle.png").symlink_to(images / "circle.png")
    assert predict(run, images, "--output", tmp_path / "out") == 1
    assert "circle.png: cannot be opened" in capsys.readouterr().err
    assert masks(tmp_path / "out") == {"a.png", "b.png"}


def test_the_end_says_how_many_masks_were_written(run, images, tmp_path, capsys):
    predict(run, images, "--output", tmp_path / "out")
    assert capsys.readouterr().out == f"2 masks in {tmp_path / 'out'}\n"


def test_images_are_never_written_over(run, images, capsys):
    assert predict(run, images, "--output", images) == 2
    assert "would be written over" in capsys.readouterr().err
    assert load(images / "a.png").ndim == 3


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["missing"], "{}/missing: there is no such file or folder"),
        (["empty"], "{}/empty: holds no images"),
        (
            ["missing", "empty"],
            "none of the 2 inputs can be used; the first: "
            "{}/missing: there is no such file or folder",
        ),
    ],
)
def test_without_one_input_there_is_one_message_and_nothing_is_written(
    run, tmp_path, capsys, inputs, message
):
    (tmp_path / "empty").mkdir()
    words = [*(tmp_path / name for name in inputs), "--output", tmp_path / "out"]
    assert predict(run, *words) == 1
    assert capsys.readouterr().err == f"error: {message.format(tmp_path)}\n"
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_a_file_is_refused(run, images, tmp_path, capsys):
    (tmp_path / "out").write_text("mine")
    assert predict(run, images, "--output", tmp_path / "out") == 2
    assert "--output" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_a_run_folder_without_config_or_weights_is_refused(
    images, tmp_path, capsys, name
):
    run = make_run(tmp_path / "run")
    (run.path / name).unlink()
    assert predict(run, images, "--output", tmp_path / "out") == 1
    assert name in capsys.readouterr().err


def test_a_mistyped_flag_ends_with_status_2(run, capsys):
    with pytest.raises(SystemExit) as end:
        predict(run, "a.png", "--outptu", "b")
    assert end.value.code == 2


def test_cells_that_touch_are_told_apart_by_the_border_between_them(tmp_path):
    pytest.importorskip("skimage", reason="needs the extra science")
    run = make_border_run(tmp_path / "run")
    cells = make_cells(tmp_path / "data", 1)
    words = ["--output", tmp_path / "out", "--instances"]
    assert predict(run, cells / "images", *words) == 0
    found = load(tmp_path / "out" / "cells0_instances.png")
    np.testing.assert_array_equal(found, load(cells / "masks" / "cells0.png"))
