import contextlib
import importlib
import json
import sys

import numpy as np
import pytest
from PIL import Image

from benchmarks import paper
from benchmarks.paper import ABLATION, Flags, folds_of, main
from keras_unet.errors import BadData
from keras_unet.files import read_rows
from keras_unet.run_folder import differences
from keras_unet.train import parse_config

LEARNT = "out/masks_3/01/t004.png"
TINY = (
    "--depth 1 --tile-size 16 16 --batch-size 2 --precision float32 --dropout 0 "
    "--elastic-pixels 0 --rotation-degrees 0"
)


def write(file, pixels):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


def cells(seed):
    """Two cells that touch, at a random height, and their image."""
    ids = np.zeros((24, 24), np.uint16)
    top = seed % 8
    ids[top : top + 14, 2:11], ids[top : top + 14, 11:21] = 1, 2
    noise = np.random.default_rng(seed).integers(0, 40, ids.shape)
    return ids, (60 + 120 * (ids > 0) + noise).astype(np.uint8)


@pytest.fixture
def isbi(tmp_path):
    for slice_ in range(10):
        ids, image = cells(slice_)
        write(tmp_path / f"isbi/image/{slice_}.png", image)
        inside = (ids > 0) & ~((ids == 1) & (np.roll(ids, -1, 1) == 2))
        write(tmp_path / f"isbi/label/{slice_}.png", (255 * inside).astype(np.uint8))
    return tmp_path / "isbi"


@pytest.fixture
def hela(tmp_path):
    root = tmp_path / "hela"
    for sequence in ("01", "02"):
        for frame in (3, 4, 5, 67):
            ids, image = cells(frame + int(sequence))
            name = f"{sequence}_ST/SEG/man_seg{frame:03}.tif"
            write(root / f"{sequence}/t{frame:03}.tif", image)
            write(root / name, ids)
            if frame in (4, 67):
                write(root / name.replace("ST", "GT", 1), ids)
    return root


def of_part(rows, part):
    return [row for row in rows if row["part"] == part]


def test_each_slice_is_tested_once_and_training_keeps_away_behind_it(isbi):
    preset, folds = folds_of(isbi)
    tested = [[row["image"].stem for row in of_part(fold, "test")] for fold in folds]
    assert preset == "isbi"
    assert tested == [["0", "1"], ["2", "3"], ["4", "5"], ["6", "7"], ["8", "9"]]
    behind = [of_part(fold, "validation")[0]["image"].stem for fold in folds]
    assert behind == ["2", "4", "6", "8", "0"]


def test_gold_frames_of_the_other_sequence_are_scored(hela):
    preset, (first, second) = folds_of(hela)
    assert preset == "hela"
    assert [str(row["mask"]) for row in of_part(first, "test")] == [
        str(hela / "02_GT/SEG/man_seg004.tif")
    ]
    seen = [str(row["mask"].relative_to(hela)) for row in of_part(second, "train")]
    assert seen == [
        "02_ST/SEG/man_seg003.tif",
        "02_GT/SEG/man_seg004.tif",
        "02_ST/SEG/man_seg005.tif",
    ]


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(BadData, match=r"expected isbi-em .* found neither"):
        folds_of(tmp_path)


def words(data, output, *more):
    sizes = ["--filters", "1", "--epochs", "1", f"--train={TINY}"]
    return ["--data", str(data), "--output", str(output), *sizes, *more]


def test_an_ablation_of_membranes_is_refused(isbi, tmp_path, capsys):
    assert main(words(isbi, tmp_path / "out", "--ablation")) == 2
    assert "--ablation is of dic-hela" in capsys.readouterr().err


def test_an_edge_of_membranes_is_refused(isbi, tmp_path, capsys):
    assert main(words(isbi, tmp_path / "out", "--edge", "3")) == 2
    assert "--edge is of dic-hela" in capsys.readouterr().err


def test_an_edge_below_zero_is_refused(hela, tmp_path, capsys):
    assert main(words(hela, tmp_path / "out", "--edge", "-3")) == 2
    assert "--edge must be 0 or more, not -3" in capsys.readouterr().err


def test_a_fold_that_there_is_not_is_refused(hela, tmp_path, capsys):
    assert main(words(hela, tmp_path / "out", "--folds", "2")) == 2
    assert "--folds must be 0 to 1" in capsys.readouterr().err


def test_minutes_end_a_training_instead_of_epochs(tmp_path):
    assert Flags(tmp_path, epochs=3).budget == ["--epochs", "3"]
    assert Flags(tmp_path).budget == []
    assert Flags(tmp_path, epochs=3, minutes=1.5).budget == ["--minutes", "1.5"]


def test_a_command_that_fails_ends_the_benchmark(hela, tmp_path, capfd):
    flags = words(hela, tmp_path / "out", "--folds", "0", "--filters", "0")
    assert main(flags) == 1
    said = capfd.readouterr().err
    assert "--filters must be" in said
    assert "keras_unet.train" in said
    assert "ended with status 2; what it said is above" in said


@pytest.fixture
def in_this_process(monkeypatch):
    """Has the commands run here: TensorFlow is not loaded anew for each."""

    def command(name, *words):
        module = importlib.import_module(name)
        with contextlib.redirect_stdout(sys.stderr):
            assert module.main(words) == 0

    monkeypatch.setattr(paper, "run_module", command)


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_a_fold_of_membranes_is_trained_once_and_its_scores_are_a_row(
    isbi, tmp_path, capfd
):
    pytest.importorskip("skimage", reason="needs the extra science")
    flags = words(isbi, tmp_path / "out", "--folds", "1")
    assert main(flags) == 0
    table = capfd.readouterr().out
    assert main(flags) == 0
    # Nothing is trained again: the commands would have said something.
    assert capfd.readouterr() == (table, "")
    assert main([*flags, "--epochs", "2"]) == 2
    assert "has isbi-0-fold1-seed0 with other flags" in capfd.readouterr().err
    test = json.loads((tmp_path / "out/isbi-0-fold1-seed0/metrics.json").read_text())
    for scores in ("membranes", "instances"):
        assert f"{test['test'][scores]['v_rand']:.4f}" in table


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_cells_are_scored_with_the_thresholds_found_on_validation(
    hela, tmp_path, capfd
):
    pytest.importorskip("skimage", reason="needs the extra science")
    assert main(words(hela, tmp_path / "out", "--folds", "0", "--edge", "3")) == 0
    run = tmp_path / "out/hela-0-fold0-seed0"
    metrics = json.loads((run / "metrics.json").read_text())
    best = metrics["validation"]["best_instances"]
    for name in ("threshold", "boundary_threshold"):
        assert metrics["test"][name] == best[name]
    assert f"{metrics['test']['seg']:.4f}" in capfd.readouterr().out

    ids, learnt = (
        np.asarray(Image.open(file))
        for file in (hela / "01_GT/SEG/man_seg004.tif", tmp_path / LEARNT)
    )
    inside = np.zeros(ids.shape, bool)
    inside[3:-3, 3:-3] = True
    np.testing.assert_array_equal(learnt == 65535, (ids == 0) & ~inside)
    np.testing.assert_array_equal(learnt[learnt != 65535], ids[learnt != 65535])
    pairs = {row["part"]: row["mask"] for row in read_rows(run / "split.csv")}
    assert "masks_3" in pairs["validation"]
    assert pairs["test"].startswith(str(hela))
    assert main(words(hela, tmp_path / "out", "--folds", "0", "--edge", "2")) == 2
    assert "with other flags" in capfd.readouterr().err


def test_each_row_of_the_ablation_changes_one_part_and_the_last_is_the_preset():
    paper, *others = (
        parse_config(["--preset", "hela", *words.split()])
        for words in ABLATION.values()
    )
    # Those that are scored are the best ones on validation.
    thresholds = {"threshold", "boundary_threshold"}
    changed = [
        {name for name, *_ in differences(paper, other)} - thresholds
        for other in others
    ]
    assert changed == [
        {"weight_map"},
        {"weight_map", "targets"},
        {"elastic_pixels"},
        {"padding"},
        {"elastic_pixels", "padding"},
        {"elastic_pixels", "padding", "normalization"},
    ]
