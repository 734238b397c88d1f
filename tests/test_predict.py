"""The command that segments images, and the job behind it."""

import csv
import dataclasses
import itertools
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from bright_run import draw, load, make_border_run, make_cells, make_run, square
from PIL import Image
from stopped import stopped

import keras_unet
from keras_unet.config import PredictConfig
from keras_unet.console import parse
from keras_unet.data import rle
from keras_unet.predict import Arguments, main
from keras_unet.prediction.inputs import Shard

MANIFEST = Path(__file__).parents[1] / "docs/kubernetes-predict.yaml"


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
    hidden = {path.name for path in folder.glob(".*")}
    return {path.name for path in folder.iterdir()} - hidden - {"failed.csv"}


def test_every_image_of_a_folder_gets_a_mask_of_0_and_255(run, images, tmp_path):
    assert predict(run, images, "--output", tmp_path / "out") == 0
    for name in ("a", "b"):
        wanted = square(shift=ord(name) - ord("a")) * 255
        np.testing.assert_array_equal(load(tmp_path / "out" / f"{name}.png"), wanted)


def test_12_of_16_bits_are_a_question_to_a_run_that_saw_8(run, tmp_path, capsys):
    grey = np.where(square(), 3840, 320).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    words = (tmp_path / "a.png", "--output", tmp_path / "out")
    assert predict(run, *words) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "has 16 bits of which 12 are used" in said
    assert "--white 4095, or --white 65535" in said
    assert predict(run, *words, "--white", "4095") == 0
    np.testing.assert_array_equal(load(tmp_path / "out/a.png"), square() * 255)
    assert predict(run, *words, "--white", "7") == 2
    assert "white must be" in capsys.readouterr().err


def test_the_largest_image_that_is_opened_is_a_flag(run, images, tmp_path, capsys):
    height, width = load(images / "a.png").shape[:2]
    to, most = ("--output", tmp_path / "out"), height * width
    assert predict(run, images, *to, "--max-pixels", most - 1) == 1
    assert f"more than --max-pixels {most - 1} allows" in capsys.readouterr().err
    assert predict(run, images, *to, "--max-pixels", most) == 0
    assert masks(tmp_path / "out") == {"a.png", "b.png"}
    assert predict(run, images, *to, "--max-pixels", 0) == 2
    assert "--max-pixels" in capsys.readouterr().err


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
    assert [path.name for path in out.glob(".*")] == [".predict.json"]
    assert names < {f"{number}.png" for number in range(300)}
    assert all(load(out / name).shape == (16, 24) for name in names)


def rows(file):
    with file.open(newline="") as stream:
        return list(csv.reader(stream))


@pytest.mark.process
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_command_goes_on_where_it_was(run, tmp_path, capsys):
    for number in range(200):
        draw(tmp_path / "in" / f"{number:03}.png", square(shift=number % 9))
    out, table = tmp_path / "out", tmp_path / "all.csv"
    words = [tmp_path / "in", "--output", out, "--submission", table, "--overlay"]
    begun = out / "003.png"
    command = ["keras_unet.predict", run.path, *words]
    _, status = stopped(command, begun.exists, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert not table.exists()
    before = {name: (out / name).stat().st_mtime_ns for name in masks(out)}
    assert 0 < len(before) < 400
    assert all(load(out / name).shape[:2] == (16, 24) for name in before)

    assert predict(run, *words) == 0
    kept = len([name for name in before if name.endswith(".png")])
    assert f"200 masks in {out} ({kept} from before)" in capsys.readouterr().out
    for name in before:
        if name.endswith(".png"):
            assert (out / name).stat().st_mtime_ns == before[name]
    assert not list(out.glob(".writing-*"))
    assert rows(table)[0] == ["img", "rle_mask"]
    assert [row[0] for row in rows(table)[1:]] == [f"{k:03}.png" for k in range(200)]
    for number, (_, runs) in enumerate(rows(table)[1:]):
        wanted = square(shift=number % 9)
        np.testing.assert_array_equal(rle.decode(runs, 16, 24), wanted)
        np.testing.assert_array_equal(load(out / f"{number:03}.png"), wanted * 255)


def test_a_finished_command_has_nothing_to_do(run, images, tmp_path, capsys):
    words = [images, "--output", tmp_path / "out"]
    assert predict(run, *words) == 0
    (tmp_path / "out" / "b.png").unlink()
    times = (tmp_path / "out" / "a.png").stat().st_mtime_ns
    capsys.readouterr()
    assert predict(run, *words) == 0
    assert capsys.readouterr().out == f"2 masks in {tmp_path / 'out'} (1 from before)\n"
    assert (tmp_path / "out" / "a.png").stat().st_mtime_ns == times


def test_what_is_wanted_beside_the_masks_is_made_of_images_that_have_theirs(
    run, images, tmp_path
):
    words = [images, "--output", tmp_path / "out"]
    assert predict(run, *words) == 0
    assert predict(run, *words, "--overlay", "--instances") == 0
    ends = ("{}.png", "{}_instances.png", "{}_overlay.jpg")
    ends += ("{}_instances_overlay.jpg",)
    wanted = {end.format(name) for name in "ab" for end in ends}
    assert masks(tmp_path / "out") == wanted


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--threshold", "0.9"], "threshold 0.5, now 0.9"),
        (["--test-time-flips"], "test_time_flips False, now True"),
    ],
)
def test_other_settings_in_one_folder_are_refused_with_both_ways_on(
    run, images, tmp_path, capsys, flags, said
):
    words = [images, "--output", tmp_path / "out"]
    assert predict(run, *words) == 0
    assert predict(run, *words, *flags) == 2
    message = capsys.readouterr().err
    assert f"holds masks that were made otherwise: {said}" in message
    assert "--overwrite" in message
    assert "another folder" in message


def test_boundaries_decide_over_instances_alone(run, images, tmp_path, capsys):
    words = [images, "--output", tmp_path / "out"]
    surer = ["--boundary-threshold", "0.8"]
    assert predict(run, *words, *surer) == 2
    assert "--boundary-threshold is of --instances" in capsys.readouterr().err
    assert predict(run, *words) == 0
    assert predict(run, *words, *surer, "--instances") == 0
    assert predict(run, *words) == 0
    assert predict(run, *words, "--instances") == 2
    assert "made otherwise: boundary_threshold 0.8, now 0.0" in capsys.readouterr().err
    assert predict(run, *words, *surer, "--instances") == 0


def test_another_run_s_masks_are_refused_and_overwritten_when_told(
    run, images, tmp_path, capsys
):
    other = make_run(tmp_path / "other", image_size=(32, 48))
    words = [images, "--output", tmp_path / "out"]
    assert predict(other, *words, "--overlay") == 0
    for name in "ab":
        draw(tmp_path / "out" / f"{name}.png", square() * 0)
    assert predict(run, *words) == 2
    assert "image_size [32, 48], now [16, 24]" in capsys.readouterr().err
    assert load(tmp_path / "out" / "a.png").max() == 20
    assert predict(run, *words, "--overwrite") == 0
    assert masks(tmp_path / "out") == {"a.png", "b.png"}
    np.testing.assert_array_equal(load(tmp_path / "out" / "a.png"), square() * 255)
    assert predict(run, *words) == 0


def test_masks_that_were_made_otherwise_do_not_stay_beside_those_overwritten(
    run, images, tmp_path, capsys
):
    out, other = tmp_path / "out", ["--threshold", "0.9", "--overwrite"]
    to = ["--output", out]
    assert predict(run, images, *to, "--probabilities") == 0
    assert predict(run, images / "a.png", *to, *other) == 2
    said = capsys.readouterr().err
    assert "threshold 0.5, now 0.9" in said
    assert "b.png would stay" in said
    assert predict(run, images / "a.png", *to, "--overwrite") == 0
    assert predict(run, images, *to, *other, "--shard", "1/2") == 0
    assert masks(out) == {"a.png", "b.png", "b_probability.png"}


def test_nor_do_those_in_folders_of_which_no_image_is_given(
    run, images, tmp_path, capsys
):
    draw(images / "more" / "c.png", square())
    to = ["--output", tmp_path / "out"]
    assert predict(run, images, *to) == 0
    more = ["--threshold", "0.9", "--overwrite"]
    assert predict(run, images / "a.png", images / "b.png", *to, *more) == 2
    assert "more/c.png would stay" in capsys.readouterr().err


def test_masks_with_a_journal_of_their_own_may_stay(run, images, tmp_path):
    assert predict(run, images, "--output", tmp_path / "out" / "more") == 0
    assert predict(run, images, "--output", tmp_path / "out") == 0
    more = ["--threshold", "0.9", "--overwrite"]
    assert predict(run, images, "--output", tmp_path / "out", *more) == 0


def test_masks_of_a_version_without_boundaries_are_gone_on_with(run, images, tmp_path):
    words = [images, "--output", tmp_path / "out"]
    assert predict(run, *words) == 0
    journal = tmp_path / "out" / ".predict.json"
    made_by = json.loads(journal.read_text())
    del made_by["boundary_threshold"]
    journal.write_text(json.dumps(made_by))
    assert predict(run, *words) == 0


def test_other_images_of_the_same_names_are_not_taken_for_done(
    run, images, tmp_path, capsys
):
    words = ["--output", tmp_path / "out"]
    assert predict(run, images, *words) == 0
    other = tmp_path / "tomorrow"
    shutil.copytree(images, other)
    assert predict(run, other, *words) == 2
    said = capsys.readouterr().err
    assert f"holds the mask of a.png in {images}/, not {other}/" in said
    assert predict(run, other, *words, "--overlay") == 2
    assert predict(run, tmp_path / "out" / ".." / images.name, *words) == 0
    assert predict(run, other / "a.png", *words, "--overwrite") == 0
    assert predict(run, other, *words) == 2
    assert "holds the mask of b.png in" in capsys.readouterr().err
    journal = tmp_path / "out" / ".predict.json"
    made_by = json.loads(journal.read_text())
    del made_by["folders_of_images"]
    journal.write_text(json.dumps(made_by))
    assert predict(run, images, *words) == 0


@pytest.mark.parametrize(
    ("journal", "flags"), [(None, []), (None, ["--overwrite"]), ("half", [])]
)
def test_masks_of_unknown_origin_are_kept(
    run, images, tmp_path, capsys, journal, flags
):
    draw(tmp_path / "masks" / "b.png", square())
    if journal:
        (tmp_path / "masks" / ".predict.json").write_text(journal)
    assert predict(run, images, "--output", tmp_path / "masks", *flags) == 2
    assert "holds b.png, and no .predict.json tells" in capsys.readouterr().err
    assert masks(tmp_path / "masks") == {"b.png"}
    assert load(tmp_path / "masks" / "b.png").max() == 240


def test_shards_make_together_what_one_command_makes(run, tmp_path):
    for number in range(10):
        draw(tmp_path / "in" / f"{number}.png", square(shift=number))
    (tmp_path / "in" / "5.png").write_bytes(b"no image")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    words = [tmp_path / "in", tmp_path / "gone.png", "--submission"]
    assert predict(run, *words, tmp_path / "whole.csv", "--output", whole) == 1
    status = [
        predict(
            *(run, *words, tmp_path / "part.csv", "--output", parts),
            *("--shard", f"{number}/12"),
        )
        for number in range(1, 13)
    ]
    assert sorted(status) == [0] * 10 + [1] * 2
    assert masks(whole) == {n for n in masks(parts) if not n.startswith("failed")}
    tables = sorted(tmp_path.glob("part-*-of-12.csv"))
    assert len(tables) == 12
    together = "".join(table.read_text() for table in tables)
    assert together == (tmp_path / "whole.csv").read_text()
    failed = [rows(file)[1:] for file in sorted(parts.glob("failed-*-of-12.csv"))]
    assert sorted(itertools.chain(*failed)) == sorted(rows(whole / "failed.csv")[1:])


@pytest.mark.process
@pytest.mark.skipif(os.name == "nt", reason="the job's shell is a Unix one")
def test_the_kubernetes_job_does_each_shard_once(tmp_path):
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (extra test)")
    job = yaml.safe_load(MANIFEST.read_text())["spec"]
    assert job["completionMode"] == "Indexed"
    [container] = job["template"]["spec"]["containers"]
    # Stands for Python, and says what it was given.
    (tmp_path / "python").write_text('#!/bin/sh\nfor word; do echo "$word"; done\n')
    (tmp_path / "python").chmod(0o755)
    shards = []
    for index in range(job["completions"]):
        path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            [*container["command"], *container["args"]],
            env={"PATH": path, "JOB_COMPLETION_INDEX": str(index)},
            capture_output=True,
            text=True,
            check=True,
        )
        module, name, *words = done.stdout.splitlines()
        assert (module, name) == ("-m", "keras_unet.predict")
        shards.append(Shard.parse(parse(Arguments, words).shard))
    assert shards == [Shard(number, 16) for number in range(1, 17)]


def test_failed_csv_names_files_and_causes_until_nothing_fails(
    run, images, tmp_path, capsys
):
    (images / "c.png").write_bytes(b"no image")
    listing = tmp_path / "out" / "failed.csv"
    words = [images, "--output", tmp_path / "out"]
    assert predict(run, *words) == 1
    header, (file, cause) = rows(listing)
    assert (header, file) == (["file", "cause"], str(images / "c.png"))
    said = capsys.readouterr()
    assert said.err == f"error: {file}: {cause}\n"
    assert said.out.endswith(f"1 failed: {listing}\n")
    draw(images / "c.png", square())
    assert predict(run, *words) == 0
    assert not listing.exists()


def test_instances_are_numbers_of_pieces_in_16_bits(run, tmp_path):
    truth = square()
    truth[6, 20:] = 1
    draw(tmp_path / "a.png", truth)
    predict(run, tmp_path / "a.png", "--output", tmp_path / "out", "--instances")
    numbers = load(tmp_path / "out" / "a_instances.png")
    assert numbers.dtype == np.uint16
    truth[6, 20:] = 2
    np.testing.assert_array_equal(numbers, truth)


def test_a_file_of_too_many_pieces_fails_alone(tmp_path, capsys):
    run = make_run(tmp_path / "run", image_size=(512, 514))
    dots = np.zeros((512, 514), np.uint8)
    draw(tmp_path / "in" / "a.png", dots)
    dots[::2, ::2] = 1
    draw(tmp_path / "in" / "b.png", dots)
    words = [tmp_path / "in", "--output", tmp_path / "out", "--instances"]
    assert predict(run, *words) == 1
    assert "b.png: has 65792 pieces, and 65535 is the most" in capsys.readouterr().err
    assert masks(tmp_path / "out") == {"a.png", "a_instances.png"}


@pytest.mark.parametrize("own", [True, False])
def test_masks_of_indices_carry_the_palette_of_the_training_or_of_voc(tmp_path, own):
    run = make_run(
        tmp_path / "run",
        classes=3,
        mask_kind="classes",
        mask_reading="indices",
        class_values=(0, 1, 7),
    )
    if own:
        mask = Image.fromarray(square())
        mask.putpalette([1, 2, 3, 4, 5, 6])
        mask.save(tmp_path / "mask.png")
        run.split_file.write_text(f"image,mask\na.png,{tmp_path / 'mask.png'}\n")
    truth = square()
    truth[4:12, 4:9] = 2
    draw(tmp_path / "a.png", truth, levels=(20, 127, 240))
    assert predict(run, tmp_path / "a.png", "--output", tmp_path / "out") == 0
    with Image.open(tmp_path / "out" / "a.png") as mask:
        assert mask.mode == "P"
        colours = np.reshape(mask.getpalette(), (-1, 3)).tolist()
        np.testing.assert_array_equal(np.asarray(mask), np.array([0, 1, 7])[truth])
    first = [[1, 2, 3], [4, 5, 6]] if own else [[0, 0, 0], [128, 0, 0]]
    assert colours[:2] == first
    assert colours[7] == [128, 128, 128]


@pytest.mark.parametrize(
    ("values", "reading"),
    [
        ((7, 9), "levels"),
        ((9, 7), "indices"),
        ((0, 300), "levels"),
        ((0xFFFFFF, 0x0080FF), "colours"),
    ],
)
def test_a_submission_is_of_the_foreground_whatever_its_value(
    tmp_path, values, reading
):
    run = make_run(
        tmp_path / "run",
        classes=2,
        mask_kind="classes",
        mask_reading=reading,
        class_values=values,
    )
    draw(tmp_path / "a.png", square())
    words = ["--output", tmp_path / "out", "--submission", tmp_path / "all.csv"]
    assert predict(run, tmp_path / "a.png", *words) == 0
    runs = rows(tmp_path / "all.csv")[1][1]
    np.testing.assert_array_equal(rle.decode(runs, 16, 24), square())


def test_an_image_without_foreground_has_an_empty_string(run, tmp_path):
    draw(tmp_path / "a.png", square() * 0)
    words = ["--output", tmp_path / "out", "--submission", tmp_path / "all.csv"]
    predict(run, tmp_path / "a.png", *words)
    assert (tmp_path / "all.csv").read_text() == "img,rle_mask\na.png,\n"


def test_a_mask_that_was_damaged_since_is_named_and_has_no_row(
    run, images, tmp_path, capsys
):
    words = [images, "--output", tmp_path / "out"]
    predict(run, *words)
    (tmp_path / "out" / "a.png").write_bytes(b"")
    assert predict(run, *words, "--submission", tmp_path / "all.csv") == 1
    assert f"{tmp_path / 'out' / 'a.png'}: " in capsys.readouterr().err
    assert [row[0] for row in rows(tmp_path / "all.csv")] == ["img", "b.png"]


def test_the_threshold_says_how_probable_foreground_must_be(run, tmp_path):
    truth = np.indices((16, 24)).sum(0) * 6
    draw(tmp_path / "a.png", truth.astype(np.uint8), levels=range(256))
    found = {}
    for flag in ("0.1", "0.5", "0.9", "best"):
        run.metrics_file.write_text(json.dumps({"validation": {"best_threshold": 0.9}}))
        words = ["--output", tmp_path / flag, "--threshold", flag]
        assert predict(run, tmp_path / "a.png", *words) == 0
        found[flag] = int((load(tmp_path / flag / "a.png") > 0).sum())
    assert found["0.1"] > found["0.5"] > found["0.9"] == found["best"]


@pytest.mark.parametrize("value", ["0", "1", "-3"])
def test_a_threshold_that_makes_all_pixels_alike_is_refused(
    run, images, tmp_path, capsys, value
):
    words = ["--output", tmp_path / "out", "--threshold", value]
    assert predict(run, images, *words) == 2
    assert "--threshold must be above 0 and below 1" in capsys.readouterr().err


def test_a_mask_has_its_image_s_own_size(run, tmp_path):
    draw(tmp_path / "large.png", np.kron(square(), np.ones((5, 4), np.uint8)))
    predict(run, tmp_path / "large.png", "--output", tmp_path / "out")
    assert load(tmp_path / "out" / "large.png").shape == (80, 96)


def test_an_overlay_is_an_image_of_the_same_size(run, images, tmp_path):
    predict(run, images / "a.png", "--output", tmp_path / "out", "--overlay")
    assert load(tmp_path / "out" / "a_overlay.jpg").shape == (16, 24, 3)


def test_an_overlay_of_instances_has_a_colour_for_each(run, tmp_path):
    two = square() * 0
    two[2:14, 2:10] = two[2:14, 14:22] = 1
    draw(tmp_path / "in" / "a.png", two)
    words = [tmp_path / "in", "--overlay", "--instances"]
    assert predict(run, *words, "--output", tmp_path / "out") == 0
    for name, apart in [("a_overlay.jpg", False), ("a_instances_overlay.jpg", True)]:
        seen = load(tmp_path / "out" / name)[4:12, [6, 17]].mean(0)
        assert (np.abs(seen[0] - seen[1]).max() > 30) == apart


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


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("in/a.png", "NAME.csv"),
        ("out", "NAME.csv"),
        ("all.csv", "NAME.csv"),
        ("pairs.csv", "its first line is image,mask"),
    ],
)
def test_a_submission_takes_the_place_of_nothing_else(
    run, images, tmp_path, capsys, name, said
):
    (tmp_path / "all.csv").mkdir()
    (tmp_path / "pairs.csv").write_text("image,mask\na.png,b.png\n")
    words = [images, "--output", tmp_path / "out"]
    assert predict(run, *words) == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert predict(run, *words, "--submission", tmp_path / name) == 2
    assert said in capsys.readouterr().err
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert after == before


def test_a_submission_takes_the_place_of_an_earlier_one(run, images, tmp_path):
    words = [images, "--output", tmp_path / "out", "--submission", tmp_path / "all.csv"]
    for shard in ("1/1", "2/2", "2/2", "1/1"):
        assert predict(run, *words, "--shard", shard) == 0
    assert len(rows(tmp_path / "all.csv")) == 3


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


def test_cells_that_touch_are_parted_where_their_boundary_is_improbable(tmp_path):
    pytest.importorskip("skimage", reason="needs the extra science")
    run = make_run(tmp_path / "run", mask_kind="instances", foreground_above=0)
    # The border is foreground with a probability of 0.7, the cells with 0.9998.
    cells = make_cells(tmp_path / "data", 1, (20, 240, 140))
    for least, wanted in [("0.6", 1), ("0.8", 2)]:
        words = ["--output", tmp_path / least, "--instances"]
        words += ["--boundary-threshold", least]
        assert predict(run, cells / "images", *words) == 0
        found = load(tmp_path / least / "cells0_instances.png")
        mask = load(tmp_path / least / "cells0.png")
        np.testing.assert_array_equal(found > 0, mask > 0)
        assert found.max() == wanted
        assert masks(tmp_path / least) == {"cells0.png", "cells0_instances.png"}
    np.testing.assert_array_equal(found, load(cells / "masks" / "cells0.png"))
    how = PredictConfig(boundary_threshold=0.8)
    segmenter = keras_unet.Segmenter(run, how)
    probability = segmenter.probability(cells / "images" / "cells0.png")
    again = keras_unet.find_instances(probability, segmenter.config)
    np.testing.assert_array_equal(again, found)


def test_cells_that_touch_are_told_apart_by_the_border_between_them(tmp_path):
    pytest.importorskip("skimage", reason="needs the extra science")
    run = make_border_run(tmp_path / "run")
    cells = make_cells(tmp_path / "data", 1)
    words = ["--output", tmp_path / "out", "--instances"]
    assert predict(run, cells / "images", *words) == 0
    found = load(tmp_path / "out" / "cells0_instances.png")
    np.testing.assert_array_equal(found, load(cells / "masks" / "cells0.png"))
