import csv
import os
import re
from dataclasses import replace

import forked
import numpy as np
import pytest
from tiny_fit import in_pieces, make_config, plan_of, state

from keras_unet.errors import BadData
from keras_unet.files import read_rows
from keras_unet.model.unet import build_network
from keras_unet.prediction.weights_file import load_weights
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


@pytest.fixture(scope="module")
def whole_in_pieces(config, tmp_path_factory):
    """Returns the run folder of a training on pieces that was never stopped."""
    folder = tmp_path_factory.mktemp("pieces")
    fit(plan_of(in_pieces(config), folder))
    return folder


def end_a_fit(config, folder, when, *more, status=-9):
    words = ["-m", "killed_fit", config.data.data, folder, when, *more]
    found, said = forked.run(words)
    assert found == status, said


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

    assert_same(tmp_path, whole)


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_training_on_pieces_that_was_ended_equals_one_never_stopped(
    config, whole_in_pieces, tmp_path
):
    end_a_fit(config, tmp_path, "state.npz 3", "pieces")
    end_a_fit(config, tmp_path, "validation", "pieces", status=143)
    end_a_fit(config, tmp_path, "history.csv 1", "pieces")
    fit(plan_of(in_pieces(config), tmp_path))
    assert_same(tmp_path, whole_in_pieces)


def test_epochs_laid_out_one_by_one_are_those_laid_out_at_once(
    config, whole, tmp_path, monkeypatch
):
    monkeypatch.setattr("keras_unet.training.fit._MANY", 1)
    fit(plan_of(config, tmp_path))
    assert_same(tmp_path, whole)


def test_a_validation_image_that_broke_since_the_check_is_named(tmp_path):
    plan = plan_of(make_config(tmp_path / "data"), tmp_path / "run")
    broken = plan.split.validation[0].image
    broken.write_bytes(b"")
    with pytest.raises(BadData, match=re.escape(f"{broken}: ")):
        fit(plan)


def test_more_epochs_than_memory_could_lay_out_are_begun(config, tmp_path):
    def say(line):
        if str(line).startswith("epoch 1/"):
            raise KeyboardInterrupt

    plan = plan_of(config, tmp_path, say)
    endless = replace(config, fit=replace(config.fit, epochs=10**11))
    with pytest.raises(KeyboardInterrupt):
        fit(replace(plan, config=endless))
    assert len(scores(tmp_path)) == 1


def test_weights_trained_on_pieces_are_those_of_the_network(config, whole_in_pieces):
    network = build_network(config.model)
    load_weights(network, RunFolder(whole_in_pieces).weights_file)


def test_the_papers_network_learns_pieces_with_their_context(config, tmp_path):
    model = replace(config.model, padding="valid", normalization="none")
    fit_config = replace(config.fit, epochs=1)
    valid = replace(in_pieces(config), model=model, fit=fit_config)
    fit(plan_of(valid, tmp_path))
    load_weights(build_network(model), RunFolder(tmp_path).weights_file)
    assert 0 <= float(scores(tmp_path)[0]["val_dice"]) <= 1


def assert_same(run, other):
    assert scores(run) == scores(other)
    never_stopped, stopped = state(other), state(run)
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
