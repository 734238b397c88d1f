"""The command that scores a run."""

import json
import subprocess
import sys

import numpy as np
import pytest
from bright_run import (
    draw,
    load,
    make_border_run,
    make_cells,
    make_data,
    make_run,
    square,
)
from PIL import Image
from splits import remember

from keras_unet.evaluate import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated")
    return remember(make_run(folder / "run", data=make_data(folder / "data")))


def evaluate(run, *words):
    return main([str(run.path), *map(str, words)])


def metrics_of(run):
    return json.loads(run.metrics_file.read_text())


def test_without_flags_validation_and_test_are_scored(run, capsys):
    assert evaluate(run) == 0
    assert metrics_of(run)["test"]["dice"] == 1.0
    assert metrics_of(run)["validation"]["dice"] == 1.0
    assert str(run.metrics_file) in capsys.readouterr().out


def test_the_scores_say_how_probabilities_became_masks(run):
    assert evaluate(run, "--split", "train", "--threshold", "0.4") == 0
    assert metrics_of(run)["train"]["threshold"] == 0.4
    assert metrics_of(run)["train"]["test_time_flips"] is False
    assert evaluate(run, "--split", "train", "--test-time-flips") == 0
    assert metrics_of(run)["train"]["threshold"] == 0.5
    assert metrics_of(run)["train"]["test_time_flips"] is True


def test_several_classes_are_scored_without_a_threshold(tmp_path):
    data = make_cells(tmp_path / "cells")
    run = remember(make_border_run(tmp_path / "run", data=data))
    assert evaluate(run, "--split", "test") == 0
    assert metrics_of(run)["test"]["threshold"] is None


def test_one_part_goes_by_its_name(run):
    assert evaluate(run, "--split", "train") == 0
    assert metrics_of(run)["train"]["images"] == 24
    assert (run.figures / "train" / "evaluation.png").is_file()


def test_other_data_goes_by_its_folder(run, tmp_path):
    data = make_data(tmp_path / "other", count=4, wrong=2)
    assert evaluate(run, "--data", data) == 0
    scores = metrics_of(run)["other"]
    assert scores["images"] == 4
    assert scores["dice"] == pytest.approx((2 + 2 * 0.6) / 4)


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("Cars 3: vélos?", "Cars-3-vélos"),
        ("validation", "validation-2"),
        ("-..-", "data"),
        ("a" * 90, "a" * 60),
    ],
)
def test_other_data_goes_by_a_good_folder_name(tmp_path, folder, name):
    run = make_run(tmp_path / "run")
    data = make_data(tmp_path / folder, count=2)
    assert evaluate(run, "--data", data) == 0
    assert metrics_of(run)[name]["data"] == str(data.resolve())
    assert (run.figures / name / "evaluation.png").is_file()


def test_other_data_are_grouped_as_the_runs_are_where_their_names_allow(
    tmp_path, capsys
):
    run = make_run(tmp_path / "run", group_by="car(0)")
    data = make_data(tmp_path / "other", count=4)
    for folder in ("images", "masks"):
        (data / folder / "car03.png").rename(data / folder / "scan3.png")
    assert evaluate(run, "--data", data) == 0
    assert metrics_of(run)["other"]["groups"].keys() == {"0", "scan3"}
    assert "fits 3 of 4 names; the others are grouped" in capsys.readouterr().out


def test_how_other_data_would_be_split_for_training_is_not_told(run, tmp_path, capsys):
    for part in ("train", "val"):
        make_data(tmp_path / "other" / part, count=4)
    assert evaluate(run, "--data", tmp_path / "other") == 0
    said = capsys.readouterr().out
    assert "layout: train/images/" in said
    assert "has no images of its own" not in said


def test_two_folders_of_one_name_are_told_apart_and_keep_their_names(tmp_path):
    run = make_run(tmp_path / "run")
    for place in ("one/cars", "two/Cars", "two/Cars", "one/cars"):
        data = tmp_path / place
        if not data.exists():
            make_data(data, count=2)
        assert evaluate(run, "--data", data) == 0
    metrics = metrics_of(run)
    assert metrics.keys() == {"cars", "Cars-2", "images", "seconds"}
    assert metrics["Cars-2"]["data"] == str(tmp_path / "two" / "Cars")


def test_the_best_threshold_is_found_and_said(run, capsys):
    assert evaluate(run, "--split", "validation") == 0
    assert "--threshold best" in capsys.readouterr().out
    assert metrics_of(run)["validation"]["dice_at_best_threshold"] == 1.0
    assert run.best_threshold() == metrics_of(run)["validation"]["best_threshold"]


def test_other_data_find_no_threshold(run, tmp_path, capsys):
    data = make_data(tmp_path / "validation", count=20)
    assert evaluate(run, "--data", data, "--split", "validation") == 0
    assert "--threshold" not in capsys.readouterr().out
    assert "best_threshold" not in metrics_of(run)["validation-validation"]


def test_the_scores_are_told_as_a_table(run, capsys):
    assert evaluate(run) == 0
    told = capsys.readouterr().out
    for word in ("boundary IoU", "Hausdorff 95 %", "1.0000–1.0000"):
        assert word in told


def test_other_data_may_have_masks_of_another_kind(tmp_path):
    run = make_run(tmp_path / "run", mask_reading="levels")
    data = make_data(tmp_path / "other", count=4)
    for file in (data / "masks").iterdir():
        mask = np.asarray(Image.open(file).convert("L"))
        pixels = np.stack([np.zeros_like(mask)] * 3 + [255 * (mask > 0)], -1)
        Image.fromarray(pixels.astype(np.uint8)).save(file.with_suffix(".png"))
    assert evaluate(run, "--data", data) == 0
    assert metrics_of(run)["other"]["dice"] == 1.0


def test_white_is_the_runs_whatever_other_data_hold(tmp_path):
    run = make_run(tmp_path / "run", white=1023)
    data = make_data(tmp_path / "other", count=4)
    for file in (data / "images").iterdir():
        levels = np.asarray(Image.open(file).convert("L")).astype(np.uint16)
        Image.fromarray(levels << 2).save(file)
    assert evaluate(run, "--data", data) == 0
    assert metrics_of(run)["other"]["dice"] == 1.0


def test_other_data_may_number_their_objects(tmp_path, capsys):
    run = make_run(tmp_path / "run")
    data = make_cells(tmp_path / "other", 4, (20, 240, 240))
    assert evaluate(run, "--data", data, "--instances") == 0
    assert metrics_of(run)["other"]["seg"] == 1.0
    assert evaluate(run, "--data", data, "--instances", "--mask-kind=instances") == 0
    # The two that touch are found as one.
    assert metrics_of(run)["other"]["seg"] < 0.6
    assert "instances" in capsys.readouterr().out
    for flags in (["--mask-kind=binary"], ["--foreground-above=0"]):
        assert evaluate(run, *flags) == 2
        assert "is of --data: the run's own have theirs" in capsys.readouterr().err


def test_what_other_masks_ask_about_is_answered_by_flags(tmp_path, capsys):
    run, data = make_run(tmp_path / "run"), make_cells(tmp_path / "other", 2)
    for file in (data / "masks").iterdir():
        ids = np.array([0, 20, 255], np.uint8)[np.asarray(Image.open(file))]
        Image.fromarray(ids).save(file)
    words = ["--data", data, "--instances", "--mask-kind=instances"]
    assert evaluate(run, *words) == 1
    assert "no label: --ignore-values 255" in capsys.readouterr().err
    assert evaluate(run, *words, "--ignore-values", "255") == 0
    assert evaluate(run, *words, "--foreground-above", "0") == 0
    assert evaluate(run, "--ignore-values", "255") == 2


def test_a_part_of_other_data_goes_by_both_names(run, tmp_path):
    data = make_data(tmp_path / "other", count=4)
    assert evaluate(run, "--data", data, "--split", "test") == 0
    assert metrics_of(run)["other-test"]["images"] == 1
    assert (run.figures / "other-test" / "evaluation.png").is_file()


def test_data_that_is_not_there_is_named(run, tmp_path, capsys):
    assert evaluate(run, "--data", tmp_path / "missing") == 1
    assert "missing: there is no such folder" in capsys.readouterr().err


def test_an_unusable_image_of_other_data_is_named(run, tmp_path, capsys):
    data = make_data(tmp_path / "other", count=4)
    (data / "images" / "car01.png").write_bytes(b"")
    assert evaluate(run, "--data", data) == 1
    assert "car01.png" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_a_run_folder_without_config_or_weights_is_refused(tmp_path, capsys, name):
    run = make_run(tmp_path / "run")
    (run.path / name).unlink()
    assert evaluate(run) == 1
    assert name in capsys.readouterr().err


def test_a_missing_run_folder_is_refused(tmp_path, capsys):
    assert main([str(tmp_path / "none")]) == 1
    assert "is not a run folder" in capsys.readouterr().err


def test_a_split_that_does_not_exist_ends_with_status_2(run):
    with pytest.raises(SystemExit) as end:
        evaluate(run, "--split", "tset")
    assert end.value.code == 2


@pytest.mark.parametrize("module", ["evaluate", "predict"])
def test_help_does_not_load_tensorflow(module):
    code = (
        f"import sys, keras_unet.{module} as entry\n"
        "try: entry.main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_instances_are_scored_one_by_one(tmp_path, capsys):
    pytest.importorskip("skimage", reason="needs the extra science")
    data = make_cells(tmp_path / "data")
    run = remember(make_border_run(tmp_path / "run", data=data))
    assert evaluate(run, "--instances", "--split", "all") == 0
    assert metrics_of(run)["all"]["seg"] == 1.0
    assert "all: SEG 1.0000" in capsys.readouterr().out
    header, *rows = run.per_image_file.read_text().splitlines()
    places = header.split(",").index("seg")
    assert {row.split(",")[places] for row in rows} == {"1.0"}


def test_touching_cells_that_are_found_as_one_have_seg_0(tmp_path):
    data = make_cells(tmp_path / "data")
    run = make_run(tmp_path / "run", mask_kind="instances", foreground_above=0)
    assert evaluate(run, "--instances", "--data", data) == 0
    assert metrics_of(run)["data"]["seg"] < 0.6


def test_thresholds_for_instances_are_found_on_validation_and_said(tmp_path, capsys):
    pytest.importorskip("skimage", reason="needs the extra science")
    data = make_cells(tmp_path / "data", 4, (20, 240, 140))
    meaning = {"mask_kind": "instances", "mask_reading": "levels"}
    run = make_run(tmp_path / "run", data=data, foreground_above=0, **meaning)
    assert evaluate(remember(run), "--instances", "--split", "validation") == 0
    of_validation = metrics_of(run)["validation"]
    assert of_validation["seg"] < 0.6
    best = of_validation["best_instances"]
    assert best == {"boundary_threshold": 0.9, "threshold": 0.1, "seg": 1.0}
    flags = ["--boundary-threshold", "0.9", "--threshold", "0.1"]
    assert f"{' '.join(flags)}, SEG 1.0000" in capsys.readouterr().out
    assert evaluate(run, "--instances", "--split", "all", *flags) == 0
    assert metrics_of(run)["all"]["seg"] == 1.0
    assert metrics_of(run)["all"]["boundary_threshold"] == 0.9
    assert "best_instances" not in metrics_of(run)["all"]


def test_thresholds_of_the_run_stay_where_no_others_are_better(tmp_path):
    pytest.importorskip("skimage", reason="needs the extra science")
    # What lies between the cells is as dark as what is around them.
    data = make_cells(tmp_path / "data", 4, (20, 240, 20))
    meaning = {"mask_kind": "instances", "mask_reading": "levels"}
    run = make_run(tmp_path / "run", data=data, foreground_above=0, **meaning)
    assert evaluate(remember(run), "--instances", "--split", "validation") == 0
    scores = metrics_of(run)["validation"]
    best = {"boundary_threshold": 0.0, "threshold": 0.5, "seg": scores["seg"]}
    assert scores["best_instances"] == best


def test_what_lies_between_membranes_is_scored(tmp_path, capsys):
    pytest.importorskip("skimage", reason="needs the extra science")
    run = remember(make_run(tmp_path / "run", data=make_data(tmp_path / "data", 12)))
    assert evaluate(run, "--membranes", "--split", "test") == 0
    membranes = metrics_of(run)["test"]["membranes"]
    assert membranes["v_rand"] == membranes["v_info"] == 1.0
    assert membranes["warping_error"] == membranes["pixel_error"] == 0.0
    assert 0 < membranes["thresholds"]["v_rand"] < 1
    assert "test, membranes" in capsys.readouterr().out
    assert evaluate(run, "--split", "train") == 0
    assert metrics_of(run)["test"]["membranes"] == membranes


def test_instances_that_membranes_part_are_scored_and_their_thresholds_found(
    tmp_path, capsys
):
    pytest.importorskip("skimage", reason="needs the extra science")
    # Of two cells the membrane is brighter than the threshold.
    images, masks = tmp_path / "images", tmp_path / "masks"
    cells = square()
    cells[4:12, 8:10] = 2
    masks.mkdir()
    for place in range(10):
        draw(images / f"{place}.png", cells, (20, 240, 140))
        Image.fromarray((cells == 1) * np.uint8(255)).save(masks / f"{place}.png")
    run = make_run(tmp_path / "run", images=images, masks=masks)
    assert evaluate(remember(run), "--instances", "--membranes") == 0
    validation, test = (metrics_of(run)[part] for part in ("validation", "test"))
    assert validation["instances"]["v_rand"] < 0.8
    best = validation["best_instances"]
    assert best["v_rand"] == 1.0
    assert "best_instances" not in test
    flags = [f"--{key.replace('_', '-')}={best[key]}" for key in sorted(best)[:2]]
    said = " ".join(capsys.readouterr().out.split())
    assert f"{' '.join(flags).replace('=', ' ')}, V_Rand 1.0000" in said
    assert evaluate(run, "--instances", "--membranes", "--split=test", *flags) == 0
    assert metrics_of(run)["test"]["instances"] == {"v_rand": 1.0, "v_info": 1.0}
    assert "test, instances with lines between them" in capsys.readouterr().out


def test_boundaries_without_instances_are_refused(run, capsys):
    assert evaluate(run, "--boundary-threshold", "0.9") == 2
    assert "--boundary-threshold is of --instances" in capsys.readouterr().err


def test_membranes_of_classes_are_refused(tmp_path, capsys):
    run = make_border_run(tmp_path / "run")
    assert evaluate(run, "--membranes") == 2
    assert "this one has 3 classes" in capsys.readouterr().err


def test_instances_of_classes_are_refused(tmp_path, capsys):
    run = make_run(tmp_path / "run", 3, mask_kind="classes", class_values=(0, 1, 2))
    assert evaluate(run, "--instances") == 2
    assert "this one's say classes" in capsys.readouterr().err


def test_a_threshold_is_taken_by_its_number_or_as_the_best(tmp_path):
    run = remember(make_run(tmp_path / "run", data=make_data(tmp_path / "data")))
    assert evaluate(run, "--split", "validation", "--threshold", "0.9999999") == 0
    assert metrics_of(run)["validation"]["dice"] < 1
    assert evaluate(run, "--split", "validation", "--threshold", "best") == 0
    assert metrics_of(run)["validation"]["dice"] == 1.0
    assert evaluate(run, "--split", "validation", "--test-time-flips") == 0


@pytest.mark.parametrize(
    ("threshold", "status", "message"),
    [
        ("best", 1, "run python -m keras_unet.evaluate"),
        ("1.5", 2, "--threshold must be above 0 and below 1, not 1.5"),
        ("nan", 2, "--threshold must be above 0 and below 1, not nan"),
    ],
)
def test_a_threshold_that_is_none_is_told(tmp_path, capsys, threshold, status, message):
    run = make_run(tmp_path / "run", data=make_data(tmp_path / "data", count=3))
    assert evaluate(run, "--threshold", threshold) == status
    assert message in capsys.readouterr().err


def test_other_data_of_12_bits_are_read_as_a_training_reads_them(run, tmp_path, capsys):
    data = make_data(tmp_path / "deep", count=3)
    for file in (data / "images").iterdir():
        grey = load(file)[..., 0].astype(np.uint16) * 16
        Image.fromarray(grey).save(file)
    assert evaluate(run, "--data", data) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "12 are used: 4095 counts as white" in said
    assert "deep: Dice 1.0000" in said
    assert evaluate(run, "--white", "4095") == 2
    assert "--white is of --data" in capsys.readouterr().err
