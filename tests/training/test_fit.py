import csv
import os
import subprocess
import sys
from pathlib import Path

import killed_fit
import numpy as np
import pytest
from tiny_fit import make_config, plan_of, state

import keras_unet
from keras_unet.files import read_rows
from keras_unet.run_folder import RunFolder
from keras_unet.training import devices
from keras_unet.training.fit import compile_network, fit


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return make_config(tmp_path_factory.mktemp("fitted") / "data", ema=0.9)


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """Returns the run folder of a training that was never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    fit(plan_of(config, folder))
    return folder


def end_a_fit(config, folder, when, status=-9):
    command = [sys.executable, "-m", "killed_fit", str(config.data.data), str(folder)]
    places = [Path(keras_unet.__file__).parents[1], Path(killed_fit.__file__).parent]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, places))}
    done = subprocess.run([*command, when], env=environment, capture_output=True)
    assert done.returncode == status, done.stderr.decode()


def scores(folder):
    rows = read_rows(RunFolder(folder).history_file)
    return [row | {"seconds": ""} for row in rows]


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_training_ended_four_times_equals_one_that_was_never_stopped(
    config, whole, tmp_path
):
    within, at_its_end, after = "state.npz 3", "history.csv 1", "epoch 2/3"
    end_a_fit(config, tmp_path, within)
    end_a_fit(config, tmp_path, "validation", status=143)
    for when in (at_its_end, after):
        end_a_fit(config, tmp_path, when)
    fit(plan_of(config, tmp_path))

    assert scores(tmp_path) == scores(whole)
    never_stopped, stopped = state(whole), state(tmp_path)
    assert never_stopped.keys() == stopped.keys()
    for name, array in never_stopped.items():
        np.testing.assert_array_equal(array, stopped[name], err_msg=name)


def test_history_has_a_row_per_epoch(whole):
    with RunFolder(whole).history_file.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert {"loss", "dice", "val_dice", "learning_rate", "seconds"} <= rows[0].keys()


def test_the_same_seed_gives_the_same_first_weights(config, tmp_path):
    device = devices.use_device(config.fit)
    first, second = (compile_network(config, 3, device).get_weights() for _ in "ab")
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
