import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from shutil import rmtree as remove  # noqa: F401, for ``before``

import numpy as np
import pytest
import tiny_fit
from tiny_run import write_pairs

from keras_unet.config import Config, FitConfig, LossConfig
from keras_unet.console import is_installed
from keras_unet.model.unet import build_unet
from keras_unet.run_folder import RunFolder
from keras_unet.training.logs import Trackers, describe, draw_strip, summarise

STRIP = np.zeros((16, 30, 3), "uint8")


def needs(name):
    return pytest.mark.skipif(not is_installed(name), reason=f"needs the extra {name}")


def config_of(*names):
    return replace(Config(), fit=FitConfig(log=names))


def follow(run, *names, epochs=(1, 2), before=int):
    """Returns what is said of a training of these epochs that --log names follow."""
    said = []
    with Trackers(run, config_of(*names), said.append) as trackers:
        for epoch in epochs:
            before(epoch)
            trackers.log(epoch, {"epoch": epoch, "val_dice": epoch / 10}, STRIP)
        test = {"dice": 0.75, "hausdorff_95": None, "data": "/home/me/cars"}
        trackers.log_metrics({"test": test})
    return said


def test_a_strip_has_a_row_an_image_and_three_columns():
    images = np.zeros((2, 8, 10, 1), "uint8")
    masks = np.zeros((2, 8, 10), "uint8")
    assert draw_strip(images, masks, masks).shape == (16, 30, 3)


def test_the_commands_that_are_said_can_be_pasted(tmp_path):
    said = []
    summarise(RunFolder(tmp_path / "my run"), False, said.append)
    commands = [line for line in said if "python -m" in line]
    assert len(commands) == 3
    assert all(f" '{tmp_path / 'my run'}' " in line for line in commands)


@pytest.mark.parametrize(
    ("kind", "weighs", "noted"),
    [("instances", False, True), ("instances", True, False), ("binary", False, False)],
)
def test_that_touching_objects_are_learnt_as_one_is_said(tmp_path, kind, weighs, noted):
    write_pairs(tmp_path, 4)
    config = tiny_fit.config_of(tmp_path)
    plan = tiny_fit.plan_of(config, tmp_path / "run")
    data = replace(config.data, mask_kind=kind)
    config = replace(config, data=data, loss=LossConfig(weight_map=weighs))
    network = build_unet(config.model)
    said = []
    describe(plan.run, config, plan.split, plan.device, network, said.append)
    assert any("are learnt as one" in line for line in said) == noted


def test_of_a_run_of_objects_the_command_that_numbers_them_is_said(tmp_path):
    said = []
    summarise(RunFolder(tmp_path), True, said.append)
    assert any(line.endswith("--output DIR --instances --overlay") for line in said)


@needs("tensorboard")
def test_tensorboard_gets_strip_scores_and_config(tmp_path):
    follow(RunFolder(tmp_path), "tensorboard")
    (file,) = (tmp_path / "logs").iterdir()
    content = file.read_bytes()
    for name in (b"val_dice", b"test/dice", b"truth, prediction, error", b"batch_size"):
        assert name in content


@needs("tensorboard")
def test_tensorboard_is_the_default_and_log_without_names_switches_it_off(tmp_path):
    for name, log, there in (("default", None, True), ("off", (), False)):
        run = RunFolder(tmp_path / name)
        config = replace(Config(), fit=FitConfig(log=log))
        with Trackers(run, config, print) as trackers:
            trackers.log(1, {"val_dice": 0.5}, STRIP)
        assert run.logs.is_dir() == there


def in_a_new_process(run, *names, epochs="(1, 2)", before="int", **variables):
    """Returns what is said; trackers leave threads and handlers in their process."""
    follows = f"t.RunFolder(sys.argv[1]), *{names}, epochs={epochs}, before={before}"
    code = f"import sys, test_logs as t; print(*t.follow({follows}), sep='\\n')"
    mine = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    outside = {k: v for k, v in os.environ.items() if not k.startswith(("MLF", "WAN"))}
    done = subprocess.run(
        [sys.executable, "-c", code, str(run.path)],
        env={**outside, **mine, **variables},
        capture_output=True,
        text=True,
        cwd=run.path.parent,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def stored(store):
    """Returns MLflow's client of a store and the runs in it."""
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    from mlflow import MlflowClient

    client = MlflowClient(store.as_uri())
    numbers = [one.experiment_id for one in client.search_experiments()]
    return client, client.search_runs(numbers)


@needs("mlflow")
@pytest.mark.slow
def test_mlflow_keeps_one_run_in_the_run_folder_that_a_resumed_one_goes_on(tmp_path):
    run = RunFolder(tmp_path / "cars")
    assert "cars/logs/mlruns" in in_a_new_process(run, "mlflow", epochs="(1,)")
    in_a_new_process(run, "mlflow", epochs="(2,)")
    client, (one,) = stored(run.logs / "mlruns")
    assert (one.info.run_name, one.info.status) == ("cars", "FINISHED")
    assert one.data.params["fit.batch_size"] == "4"
    assert one.data.metrics["test/dice"] == 0.75
    history = client.get_metric_history(one.info.run_id, "val_dice")
    assert [(point.step, point.value) for point in history] == [(1, 0.1), (2, 0.2)]
    files = {file.path for file in client.list_artifacts(one.info.run_id)}
    assert files == {"config.json", "images"}
    assert list(tmp_path.iterdir()) == [run.path]


@needs("mlflow")
@pytest.mark.slow
def test_mlflow_goes_where_its_own_variables_say(tmp_path):
    run, store = RunFolder(tmp_path / "cars"), tmp_path / "store"
    place = {"MLFLOW_TRACKING_URI": store.as_uri()}
    in_a_new_process(run, "mlflow", **place, MLFLOW_EXPERIMENT_NAME="mine")
    client, (one,) = stored(store)
    assert client.get_experiment(one.info.experiment_id).name == "mine"
    assert not (run.logs / "mlruns").exists()


@needs("mlflow")
@pytest.mark.slow
def test_a_server_that_is_not_there_costs_a_line(tmp_path):
    nowhere, run = "http://127.0.0.1:9", RunFolder(tmp_path / "cars")
    said = in_a_new_process(run, "mlflow", MLFLOW_TRACKING_URI=nowhere)
    assert said.startswith("warning: --log mlflow failed and is left out now: ")
    assert len(said.splitlines()) == 1


@needs("wandb")
@pytest.mark.slow
def test_wandb_keeps_one_offline_run_that_a_resumed_one_goes_on(tmp_path):
    run = RunFolder(tmp_path / "cars")
    for epochs in ("(1,)", "(2,)"):
        assert "wandb sync" in in_a_new_process(run, "wandb", epochs=epochs)
    folders = sorted((run.logs / "wandb").glob("offline-run-*"))
    (number,) = {folder.name.rpartition("-")[2] for folder in folders}
    assert number == json.loads((run.logs / "trackers.json").read_text())["wandb"]
    for folder in folders:
        content = (folder / f"run-{number}.wandb").read_bytes()
        for name in (b"val_dice", b"test/dice", b"batch_size"):
            assert name in content
        assert list(folder.glob("files/media/images/*.png"))
    assert list(tmp_path.iterdir()) == [run.path]


@needs("tensorboard")
def test_a_log_that_cannot_be_opened_costs_a_line(tmp_path):
    run = RunFolder(tmp_path)
    run.logs.write_text("no folder")
    (line,) = follow(run, "tensorboard")
    assert line.startswith("warning: --log tensorboard failed and is left out now: ")


@needs("mlflow")
@pytest.mark.slow
def test_a_log_that_is_gone_in_mid_run_costs_a_line(tmp_path):
    gone = "lambda epoch: epoch == 2 and t.remove('cars/logs/mlruns')"
    run = RunFolder(tmp_path / "cars")
    said = in_a_new_process(run, "mlflow", epochs="(1, 2, 3)", before=gone)
    assert said.count("warning: --log mlflow failed and is left out now: ") == 1
