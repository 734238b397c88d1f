import csv
import dataclasses
import functools

import numpy as np
import pytest
from tiny_fit import make_config, plan_of, state

from keras_unet.run_folder import RunFolder
from keras_unet.training import checkpoint, devices
from keras_unet.training.fit import compile_network, fit


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return make_config(tmp_path_factory.mktemp("fitted") / "data")


class KilledError(Exception):
    pass


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """Returns the run folder of a training that was never stopped, by its --ema."""

    @functools.cache
    def trained(ema):
        folder = tmp_path_factory.mktemp("whole")
        fit(plan_of(with_ema(config, ema), folder))
        return folder

    return trained


def with_ema(config, ema):
    return dataclasses.replace(config, fit=dataclasses.replace(config.fit, ema=ema))


@pytest.mark.parametrize(("step", "ema"), [(4, 0.9), (5, 0.0), (7, 0.0)])
def test_a_resumed_training_equals_one_that_was_never_stopped(
    config, whole, tmp_path, monkeypatch, step, ema
):
    config, never_stopped = with_ema(config, ema), state(whole(ema))
    save = checkpoint.save

    def save_then_die(file, network, progress, average):
        save(file, network, progress, average)
        if progress.step >= step:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", save_then_die)
        with pytest.raises(KilledError):
            fit(plan_of(config, tmp_path / "stopped"))
    fit(plan_of(config, tmp_path / "stopped"))

    stopped = state(tmp_path / "stopped")
    assert never_stopped.keys() == stopped.keys()
    for name, array in never_stopped.items():
        np.testing.assert_array_equal(array, stopped[name], err_msg=name)


def test_history_has_a_row_per_epoch(whole):
    with RunFolder(whole(0.0)).history_file.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert {"loss", "dice", "val_dice", "learning_rate", "seconds"} <= rows[0].keys()


def test_the_same_seed_gives_the_same_first_weights(config, tmp_path):
    device = devices.use_device(config.fit)
    first, second = (compile_network(config, 3, device).get_weights() for _ in "ab")
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
