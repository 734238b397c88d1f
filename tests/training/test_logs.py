import keras
import numpy as np
import pytest

from keras_unet.training.checkpoint import TrainingProgress
from keras_unet.training.logs import ValidationStrip, draw_strip
from keras_unet.training.optimizers import WeightAverage

IMAGES = np.zeros((2, 8, 8, 3), "uint8")


def make_network(logit):
    """Returns a network that gives every pixel the same logit and never learns."""
    bias = keras.layers.Dense(1, bias_initializer=keras.initializers.Constant(logit))
    network = keras.Sequential([keras.Input((8, 8, 3)), bias])
    network.compile(keras.optimizers.SGD(0.0), "mse")
    return network


def watch(logit, masks, logs=None, averaged=None):
    """Returns what is said of an epoch; ``averaged`` is the moving average's logit."""
    said, network = [], make_network(logit)
    progress = TrainingProgress(history=[{"epoch": 1, "loss": 0.5}])
    strip = ValidationStrip(IMAGES, masks, progress, logs, said.append)
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


def test_tensorboard_gets_the_strip_and_the_scores(tmp_path):
    pytest.importorskip("tensorboard")
    watch(-3.0, half_masks(), tmp_path / "logs")
    (file,) = (tmp_path / "logs").iterdir()
    content = file.read_bytes()
    assert b"loss" in content
    assert b"truth, prediction, error" in content


def test_a_strip_has_a_row_an_image_and_three_columns():
    images = np.zeros((2, 8, 10, 1), "uint8")
    masks = np.zeros((2, 8, 10), "uint8")
    assert draw_strip(images, masks, masks).shape == (16, 30, 3)
