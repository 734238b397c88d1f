import dataclasses
import signal

import keras
import numpy as np
import pytest
from tiny_fit import make_config, plan_of, state

from keras_unet.errors import Terminated
from keras_unet.model.unet import build_network
from keras_unet.run_folder import RunFolder
from keras_unet.training.callbacks import StopOnInterrupt, ValidationStrip
from keras_unet.training.checkpoint import TrainingProgress
from keras_unet.training.fit import fit
from keras_unet.training.optimizers import WeightAverage


@pytest.fixture
def config(tmp_path):
    return make_config(tmp_path / "data")


def test_a_loss_that_is_no_number_names_step_and_images(config, tmp_path):
    wild = dataclasses.replace(
        config,
        fit=dataclasses.replace(
            config.fit, learning_rate=1e30, clip_norm=0.0, warmup=0.0, optimizer="sgd"
        ),
    )
    with pytest.raises(ValueError, match=r"the loss became .* at step \d.*\.png"):
        fit(plan_of(wild, tmp_path / "run"))


def test_with_ema_the_average_is_scored_and_kept(config, tmp_path):
    short = dataclasses.replace(config.fit, ema=0.99, epochs=1)
    fit(plan_of(dataclasses.replace(config, fit=short), tmp_path / "run"))
    run = RunFolder(tmp_path / "run")
    kept = build_network(config.model)
    kept.load_weights(run.weights_file)
    arrays = state(tmp_path / "run")
    averages = [arrays[f"average/{i}"] for i in range(len(kept.trainable_variables))]
    for one, average in zip(kept.trainable_variables, averages, strict=True):
        np.testing.assert_array_equal(np.asarray(one), average)


class Recorder:
    """Stands for the one that saves: an epoch of three steps."""

    def __init__(self):
        self.saved = 0

    def is_within(self, batch):
        return batch < 2

    def save(self):
        self.saved += 1


@pytest.fixture
def recorder():
    return Recorder()


def interrupted(stop, batch, number=signal.SIGINT, error=KeyboardInterrupt):
    signal.raise_signal(number)
    with pytest.raises(error, match="go on so"):
        stop.on_train_batch_end(batch)


def test_the_step_under_way_is_finished_and_its_state_saved(recorder):
    with StopOnInterrupt(recorder, True, "go on so") as stop:
        interrupted(stop, 0)
    assert recorder.saved == 1


def test_sigterm_does_so_too_and_a_second_one_waits(recorder):
    with StopOnInterrupt(recorder, True, "go on so") as stop:
        signal.raise_signal(signal.SIGTERM)
        interrupted(stop, 0, signal.SIGTERM, Terminated)
    assert recorder.saved == 1


def test_several_workers_do_not_save_within_an_epoch(recorder):
    with StopOnInterrupt(recorder, False, "go on so") as stop:
        interrupted(stop, 0)
    assert recorder.saved == 0


def test_after_the_last_step_it_stops_in_the_validation(recorder):
    with StopOnInterrupt(recorder, True, "go on so") as stop:
        signal.raise_signal(signal.SIGINT)
        stop.on_train_batch_end(2)
        with pytest.raises(KeyboardInterrupt, match="go on so"):
            stop.on_test_batch_end(0)
    assert recorder.saved == 1


def test_an_epoch_that_is_done_is_saved_already(recorder):
    with StopOnInterrupt(recorder, True, "go on so") as stop:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt, match="go on so"):
            stop.on_epoch_end(0)
    assert recorder.saved == 0


def test_a_second_ctrl_c_does_not_wait(recorder):
    with StopOnInterrupt(recorder, True, "go on so"):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_the_signal_is_given_back_at_the_end(recorder):
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    with StopOnInterrupt(recorder, True, "go on so"):
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in numbers] == before


IMAGES = np.zeros((2, 8, 8, 3), "uint8")


def make_network(logit):
    """Returns a network that gives every pixel the same logit and never learns."""
    bias = keras.layers.Dense(1, bias_initializer=keras.initializers.Constant(logit))
    network = keras.Sequential([keras.Input((8, 8, 3)), bias])
    network.compile(keras.optimizers.SGD(0.0), "mse")
    return network


def watch(logit, masks, averaged=None):
    """Returns what is said of an epoch; ``averaged`` is the moving average's logit."""
    said, network = [], make_network(logit)
    progress = TrainingProgress(history=[{"epoch": 1, "loss": 0.5}])
    strip = ValidationStrip(IMAGES, masks, progress, None, said.append)
    beside = [strip]
    if averaged is not None:
        average = WeightAverage(network, 0.99)
        _, bias, steps = average.state
        bias.assign([averaged])
        steps.assign(1000.0)
        beside = [average, strip]
    images = IMAGES.astype("float32"), masks[..., np.newaxis].astype("float32")
    network.fit(*images, validation_data=images, callbacks=beside, verbose=0)
    return said


def half_masks():
    masks = np.zeros((2, 8, 8), "uint8")
    masks[:, :4] = 1
    return masks


@pytest.mark.parametrize(("logit", "class_id"), [(-3.0, 0), (3.0, 1)])
def test_a_network_that_predicts_one_class_is_said(logit, class_id):
    (line,) = watch(logit, half_masks())
    assert f"predicted as class {class_id}" in line


@pytest.mark.parametrize(("logit", "averaged"), [(-3.0, 3.0), (3.0, -3.0)])
def test_with_a_moving_average_its_predictions_are_shown(logit, averaged):
    (line,) = watch(logit, half_masks(), averaged=averaged)
    assert f"predicted as class {int(averaged > 0)}" in line


def test_masks_of_one_class_are_no_reason_to_warn():
    assert watch(-3.0, np.zeros((2, 8, 8), "uint8")) == []
