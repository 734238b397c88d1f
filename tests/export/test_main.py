import json
import os
import shutil
import subprocess
import sys

import forked
import pytest
import tiny_run
from small_disk import fill, small_disk
from stopped import stopped

from keras_unet.export.__main__ import main


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "run"
    shutil.copytree(tiny_run.trained().path, folder)
    command = [sys.executable, "-m", "keras_unet.export", folder]
    done = subprocess.run(
        [*command, "--formats", "float32", "int8"], capture_output=True, text=True
    )
    return folder, done


def test_the_command_ends_with_status_0(printed):
    assert printed[1].returncode == 0


def test_the_table_has_a_row_for_each_artefact(printed):
    for name in ("Keras network", "model_float32.tflite", "model_int8.tflite"):
        assert name in printed[1].stdout


def test_nothing_but_the_table_is_printed(printed):
    assert printed[1].stderr == ""


def test_only_the_asked_formats_are_written(printed):
    names = {path.name for path in (printed[0] / "tflite").glob("*.tflite")}
    assert names == {"model_float32.tflite", "model_int8.tflite"}


@pytest.mark.process
@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without a word")
def test_sigterm_leaves_the_run_as_it_was(tmp_path):
    run = shutil.copytree(tiny_run.trained().path, tmp_path / "run")
    before = sorted(run.rglob("*"))
    words = ["keras_unet.export", run, "--formats", "saved_model"]
    said, status = stopped(words, lambda: any(run.glob(".export-*/saved_model")))
    assert said.endswith("terminated\n")
    assert status == 143
    assert sorted(run.rglob("*")) == before


KILLED = """
import os, sys
reports = []
def watch(event, arguments):
    if event == "os.rename" and str(arguments[1]).endswith("export_report.json"):
        reports.append(event)
        if len(reports) == 2:
            os.kill(os.getpid(), 9)
sys.addaudithook(watch)
from keras_unet.export.__main__ import main
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_killed_before_its_report_an_export_is_said_to_be_unfinished(printed, tmp_path):
    run = shutil.copytree(printed[0], tmp_path / "run")
    before = (run / "tflite" / "model_float32.tflite").stat().st_mtime_ns
    words = ["-c", KILLED, run, "--formats", "float32"]
    assert forked.run(words)[0] == -9
    assert (run / "tflite" / "model_float32.tflite").stat().st_mtime_ns != before
    report = json.loads((run / "export_report.json").read_text())
    assert report["unfinished"] == ["float32"]
    assert report["artefacts"].keys() == {"keras", "int8"}
    assert main([str(run), "--formats", "float32"]) == 0
    report = json.loads((run / "export_report.json").read_text())
    assert report.keys() == {"validation_images", "artefacts"}
    assert report["artefacts"].keys() == {"keras", "int8", "float32"}
    assert not [*run.rglob(".*")]


def test_a_full_disk_ends_an_export_with_its_path_and_cause(tmp_path, capsys):
    with small_disk(tmp_path / "disk", "200k") as disk:
        run = shutil.copytree(tiny_run.trained().path, disk / "run")
        fill(disk / "filling")
        assert main([str(run), "--formats", "saved_model"]) == 1
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert "No space left on device" in said
        assert str(run) in said
        assert "Traceback" not in said
        assert not [*run.rglob(".*")]


def test_a_folder_that_is_no_run_ends_with_status_1(tmp_path, capsys):
    assert main([str(tmp_path)]) == 1
    assert "is not a run folder" in capsys.readouterr().err


def test_a_run_without_weights_ends_with_status_1(tmp_path, capsys):
    shutil.copy(tiny_run.trained().config_file, tmp_path)
    assert main([str(tmp_path)]) == 1
    assert "model.weights.h5" in capsys.readouterr().err


def test_data_that_moved_to_nowhere_ends_with_status_1(tmp_path, capsys):
    assert main([str(tiny_run.trained().path), "--data", str(tmp_path / "gone")]) == 1
    assert "gone" in capsys.readouterr().err


def test_a_mistyped_format_ends_with_status_2(tmp_path):
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path), "--formats", "float23"])


def test_onnx_without_its_extra_ends_with_status_2_and_the_way_to_it(
    tmp_path, capsys, monkeypatch
):
    # That is how Python marks what cannot be imported.
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    assert main([str(tmp_path), "--formats", "onnx"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: --formats onnx needs ")
    assert said.endswith(': pip install "keras-unet-studio[onnx]"\n')
    assert "tf2onnx" in said


def test_masks_are_made_as_the_flags_say(tmp_path):
    run = shutil.copytree(tiny_run.trained().path, tmp_path / "run")
    words = ["--formats", "float32", "--threshold", "0.4", "--test-time-flips"]
    assert main([str(run), *words]) == 0
    report = json.loads((run / "export_report.json").read_text())["artefacts"]
    wanted = {"threshold": 0.4, "test_time_flips": True}
    assert report["float32"]["predict"] == wanted
    told = json.loads((run / "tflite" / "client.json").read_text())
    assert (told["threshold"], told["flips"]) == (0.4, ["horizontal"])


def test_the_best_threshold_is_the_one_that_evaluate_found(tmp_path, capsys):
    run = shutil.copytree(tiny_run.trained().path, tmp_path / "run")
    assert main([str(run), "--threshold", "best"]) == 1
    assert "has no best_threshold" in capsys.readouterr().err
    assert not (run / "tflite").exists()
