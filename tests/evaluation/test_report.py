"""Scoring as a job: what is written into the run folder."""

import csv
import dataclasses
import io
import json

import pytest
from bright_run import SIZE, make_data, make_run
from PIL import Image
from rich.console import Console
from splits import split_of

from keras_unet.data.layouts import find
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData
from keras_unet.evaluation.report import (
    evaluate_run,
    score_parts,
)
from keras_unet.run_folder import RunFolder

FIGURES = {"data.png", "augmentation.png", "predictions.png", "evaluation.png"}


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Returns a run after its evaluation, and its split."""
    folder = tmp_path_factory.mktemp("evaluated")
    run = make_run(folder / "run", data=make_data(folder / "data", wrong=20))
    split = split_of(run.load_config().data)
    evaluate_run(run, split, say=lambda line: None)
    return run, split


def read_rows(run):
    with run.per_image_file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_metrics_have_the_scores_of_both_parts(scored):
    run, split = scored
    metrics = json.loads(run.metrics_file.read_text())
    assert metrics["test"]["images"] == len(split.test)
    assert 0 < metrics["validation"]["dice"] <= 1


def test_metrics_have_intervals_and_where_the_data_are(scored):
    run, _ = scored
    test = json.loads(run.metrics_file.read_text())["test"]
    low, high = test["intervals"]["dice"]
    assert low <= test["dice"] <= high
    assert test["data"] == str(run.load_config().data.data)
    assert (test["classes"], test["groups"]) == ({}, {})


def test_groups_of_several_images_are_in_the_metrics_and_the_tables(tmp_path):
    run = make_run(
        tmp_path / "run", data=make_data(tmp_path / "data", count=8, wrong=4)
    )
    data = run.load_config().data
    pairs = [
        dataclasses.replace(pair, group=f"car_of_a_long_name_{place // 2}")
        for place, pair in enumerate(find(data).pairs)
    ]
    told = []
    score_parts(run, {"test": pairs}, data, told.append)
    groups = json.loads(run.metrics_file.read_text())["test"]["groups"]
    assert [groups[f"car_of_a_long_name_{n}"]["dice"] for n in range(4)] == [
        0.6,
        0.6,
        1.0,
        1.0,
    ]
    assert [table.columns[0].header for table in told[1:]] == [
        "score",
        "worst group, test",
    ]
    narrow = io.StringIO()
    Console(file=narrow, width=80).print(told[-1])
    assert "…" not in narrow.getvalue()
    # As many letters as a car of Carvana has.
    assert "car_of_a_lon" in narrow.getvalue()


def test_intervals_are_spoken_of_where_there_are_any(tmp_path):
    run = make_run(tmp_path / "run", data=make_data(tmp_path / "data", count=4))
    data, told = run.load_config().data, []
    pairs = find(data).pairs
    for groups in ("abcd", "aaaa"):
        named = zip(pairs, groups, strict=True)
        grouped = [dataclasses.replace(pair, group=group) for pair, group in named]
        score_parts(run, {"test": grouped}, data, told.append)
        said = run.card_file.read_text("utf-8")
        assert ("95 % intervals" in said) == ("b" in groups)
    captions = [table.caption for table in told if hasattr(table, "caption")]
    assert ["intervals" in (caption or "") for caption in captions] == [
        *(True, False),
    ]


def test_what_is_no_number_is_null_in_the_metrics(tmp_path):
    run = make_run(tmp_path / "run", data=make_data(tmp_path / "data", count=4))
    data = run.load_config().data
    for file in (data.data / "masks").iterdir():
        Image.new("L", SIZE[::-1]).save(file)
    score_parts(run, {"test": find(data).pairs}, data, lambda line: None)
    metrics = json.loads(run.metrics_file.read_text())
    assert metrics["test"]["hausdorff_95"] is None
    assert "hausdorff_95" not in metrics["test"]["intervals"]
    assert {row["hausdorff_95"] for row in read_rows(run)} == {"nan"}


def test_rows_of_an_earlier_version_stay(tmp_path):
    run = make_run(tmp_path / "run", data=make_data(tmp_path / "data"))
    run.per_image_file.write_text("part,image,group,dice\nold,a.png,a,0.5\n")
    data = run.load_config().data
    score_parts(run, {"test": split_of(data).test}, data, lambda line: None)
    assert read_rows(run)[0]["boundary_iou"] == ""
    assert read_rows(run)[1]["boundary_iou"] == "1.0"


def test_images_and_seconds_are_sums_over_the_parts(scored):
    run, split = scored
    metrics = json.loads(run.metrics_file.read_text())
    assert metrics["images"] == len(split.validation) + len(split.test)
    assert metrics["seconds"] > 0


def test_each_image_has_a_row(scored):
    run, split = scored
    rows = read_rows(run)
    assert [row["image"] for row in rows] == [
        str(pair.image) for pair in [*split.validation, *split.test]
    ]
    assert {row["part"] for row in rows} == {"validation", "test"}


def test_the_figures_are_drawn(scored):
    run, _ = scored
    assert {file.name for file in run.figures.iterdir()} == FIGURES


def test_a_history_is_drawn_too(tmp_path):
    run = make_run(tmp_path / "run", data=make_data(tmp_path / "data"))
    run.history_file.write_text("epoch,dice,val_dice\n1,0.5,0.4\n2,0.6,0.5\n")
    evaluate_run(run, split_of(run.load_config().data), say=lambda line: None)
    assert (run.figures / "training.png").is_file()


def test_other_parts_are_added_and_earlier_ones_stay(tmp_path):
    run = make_run(tmp_path / "run", data=make_data(tmp_path / "data"))
    data = run.load_config().data
    for name in ("first", "second", "first"):
        pairs = split_of(data).test
        score_parts(run, {name: pairs}, data, say=lambda line: None)
    metrics = json.loads(run.metrics_file.read_text())
    assert metrics.keys() == {"first", "second", "images", "seconds"}
    assert len(read_rows(run)) == 2 * len(split_of(data).test)


def test_each_part_is_told_in_a_line(tmp_path):
    run = make_run(tmp_path / "run", data=make_data(tmp_path / "data"))
    data, lines = run.load_config().data, []
    score_parts(run, {"test": split_of(data).test}, data, lines.append)
    assert lines[0].startswith("test: Dice 1.0000, IoU 1.0000, 3 images")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2", "is no JSON"),
        ("[1, 2]", "expected object, found array"),
        ("[" * 100_000, "is nested too deeply"),
        ('{"test": 3}', r"test\.images: expected a number, found 3"),
        ('{"test": {"images": 1}}', r"test\.seconds: expected a number, found None"),
    ],
)
def test_a_metrics_file_of_something_else_is_refused(tmp_path, text, message):
    run = RunFolder(tmp_path)
    run.metrics_file.write_text(text)
    with pytest.raises(BadData, match=rf"metrics\.json: {message}.*; remove"):
        score_parts(run, {"test": [None]}, DataConfig())
