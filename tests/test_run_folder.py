import json
import os
import re
import signal
import subprocess
import sys
from typing import get_args

import pytest

import keras_unet
from keras_unet.config import Config, PredictConfig, PresetName
from keras_unet.data_config import AugmentConfig
from keras_unet.errors import BadData, BadUsage
from keras_unet.files import write_whole
from keras_unet.presets import preset
from keras_unet.run_folder import RunFolder


@pytest.mark.parametrize("name", get_args(PresetName))
def test_a_config_comes_back_from_its_folder(tmp_path, name):
    run = RunFolder(tmp_path / "run")
    run.save_config(preset(name))
    assert run.load_config() == preset(name)


def test_a_folder_without_config_is_no_run(tmp_path):
    with pytest.raises(BadData, match=r"is not a run folder: it has no config\.json"):
        RunFolder(tmp_path).load_config()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"colour": 3}', "colour: is unknown here"),
        ('{"data": {"colour": 3}}', r"data\.colour: is unknown here"),
        ('{"data": 3}', "data: expected object, found int"),
        ('{"fit": {"epochs": "9"}}', r"fit\.epochs: expected int, found str"),
        ('{"fit": {"epochs": -9}}', "fit: --epochs must be 1 or more, not -9"),
        ('{"fit": {"ema": NaN}}', "fit: --ema must be 0 to below 1, not nan"),
        (
            '{"data": {"cache": "x"}}',
            "cache: expected one of none, memory, disk, found",
        ),
        ('{"data": {"data": 3}}', r"data\.data: expected str, found int"),
        ('{"format": 2, "version": "9.0"}', "up to 1, .* found 2, of keras_unet 9.0"),
        ('{"format": "x"}', "format: expected up to 1"),
        ('{"format": []}', "expected .*, found array"),
        ("{}", "preset: is missing"),
        ("[]", "expected object, found array"),
        ("", "is no JSON"),
        ("[" * 100_000, "is nested too deeply"),
    ],
)
def test_a_config_that_is_none_is_told_with_its_key(tmp_path, text, message):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(BadData, match=rf"config\.json: .*{message}"):
        RunFolder(tmp_path).load_config()


def test_the_command_that_finds_a_threshold_can_be_pasted(tmp_path):
    run = RunFolder(tmp_path / "my run")
    with pytest.raises(
        BadData, match=f"keras_unet.evaluate '{re.escape(str(run.path))}',"
    ):
        run.best_threshold()


def test_a_config_that_an_editor_saved_with_its_mark_is_read(tmp_path):
    run = RunFolder(tmp_path)
    run.save_config(preset("demo"))
    run.config_file.write_text(run.config_file.read_text("utf-8"), "utf-8-sig")
    assert run.load_config() == preset("demo")


def test_a_config_has_its_format_and_version(tmp_path):
    RunFolder(tmp_path).save_config(preset("demo"))
    values = json.loads((tmp_path / "config.json").read_text())
    assert (values["format"], values["version"]) == (1, keras_unet.__version__)


@pytest.mark.parametrize(("old", "new"), [(None, ()), (255, (255,))])
def test_a_config_of_the_first_version_is_read(tmp_path, old, new):
    run = RunFolder(tmp_path)
    run.save_config(preset("demo"))
    values = json.loads(run.config_file.read_text())
    del values["format"], values["version"], values["data"]["ignore_values"]
    values["data"]["ignore_value"] = old
    run.config_file.write_text(json.dumps(values))
    assert run.load_config().data.ignore_values == new


def test_a_run_without_weights_says_how_to_get_them(tmp_path):
    with pytest.raises(BadData, match=r"model\.weights\.h5.*--resume"):
        RunFolder(tmp_path).require_weights()


def test_flips_that_would_do_nothing_are_refused_unless_the_run_has_them(tmp_path):
    run, own = RunFolder(tmp_path), PredictConfig(test_time_flips=True)
    run.save_config(Config(augment=AugmentConfig(flip="none"), predict=own))
    with pytest.raises(BadUsage, match="--test-time-flips needs --flip of the run"):
        run.predict_config(test_time_flips=True)
    assert run.predict_config() == own


def test_a_run_in_the_way_is_refused_with_both_ways_on(tmp_path):
    run = RunFolder(tmp_path)
    run.weights_file.write_bytes(b"")
    with pytest.raises(BadUsage, match=r"--resume.*--overwrite"):
        run.require_free(overwrite=False)


def test_clearing_leaves_what_no_run_wrote(tmp_path):
    run = RunFolder(tmp_path)
    run.save_config(preset("demo"))
    (tmp_path / "notes.txt").write_text("mine")
    run.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


HOLDS = """
import sys
from pathlib import Path
from keras_unet.files import write_whole
from keras_unet.run_folder import RunFolder
run = RunFolder(sys.argv[1])
with run.hold(), write_whole(run.checkpoint / "state.npz") as aside:
    aside.write_text("half")
    print("held", flush=True)
    input()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the run folder and writes to it, and is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path / "run")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such locks")
def test_a_second_command_is_refused_until_the_first_is_gone(holder, tmp_path):
    run = RunFolder(tmp_path / "run")
    with pytest.raises(BadUsage, match=f"process {holder.pid} on "), run.hold():
        pass
    assert any(run.checkpoint.iterdir())
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with run.hold():
        assert {path.name for path in run.path.iterdir()} == {"checkpoint", ".lock"}
        assert not any(run.checkpoint.iterdir())
    assert [path.name for path in run.path.iterdir()] == ["checkpoint"]


def test_what_a_process_at_work_has_not_finished_stays(tmp_path):
    run = RunFolder(tmp_path / "run")
    with write_whole(run.path / "metrics.json") as aside:
        aside.write_text("{}")
        with run.hold():
            assert aside.exists()


def test_a_folder_that_was_taken_for_an_exchange_comes_back(tmp_path):
    run = RunFolder(tmp_path / "run")
    (run.path / ".replaced-serving").mkdir(parents=True)
    with run.hold():
        assert [path.name for path in run.path.iterdir() if path.is_dir()] == [
            "serving"
        ]


def test_a_folder_in_which_nothing_was_written_goes_again(tmp_path):
    with RunFolder(tmp_path / "exports" / "run").hold():
        pass
    assert not any(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    run = RunFolder(tmp_path / "file" / "run")
    with (
        pytest.raises(
            BadUsage, match=r"--output .*file/run: cannot be made \(Not a dir"
        ),
        run.hold(),
    ):
        pass


def test_logs_alone_are_what_a_stop_before_the_first_epoch_leaves(tmp_path):
    run = RunFolder(tmp_path)
    run.save_config(preset("demo"))
    run.logs.mkdir()
    run.require_free(overwrite=False)
    run.weights_file.write_text("")
    with pytest.raises(BadUsage, match="holds a run already"):
        run.require_free(overwrite=False)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("text", ['{"port": 80}', "{}", "{"])
def test_a_config_of_somebody_else_is_kept(tmp_path, text, overwrite):
    run = RunFolder(tmp_path)
    run.config_file.write_text(text)
    run.logs.mkdir()
    with pytest.raises(BadUsage, match=r"no run's \(.*config\.json: .*: give an"):
        run.require_free(overwrite)


@pytest.mark.parametrize("overwrite", [False, True])
def test_figures_and_logs_of_somebody_else_are_kept(tmp_path, overwrite):
    run = RunFolder(tmp_path)
    run.figures.mkdir()
    run.logs.mkdir()
    with pytest.raises(BadUsage, match="holds figures, logs, which are no run's"):
        run.require_free(overwrite)


def test_clearing_leaves_a_readme_of_somebody_else(tmp_path):
    run = RunFolder(tmp_path)
    run.logs.mkdir()
    run.card_file.write_text("mine")
    run.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_clearing_that_is_killed_leaves_a_run(tmp_path, monkeypatch):
    run = RunFolder(tmp_path)
    run.save_config(preset("demo"))
    run.figures.mkdir()
    monkeypatch.setattr("shutil.rmtree", lambda path: sys.exit())
    with pytest.raises(SystemExit):
        run.clear()
    run.require_free(overwrite=True)
