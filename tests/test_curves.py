"""The diagram of a history: what is written, and for which inputs."""

import math

import pytest
from PIL import Image

from keras_unet import curves


def make_history(epochs=5):
    return [
        {
            "epoch": float(epoch),
            "loss": 1 / epoch,
            "val_loss": 1.1 / epoch,
            "dice": 1 - 0.5 / epoch,
            "val_dice": 1 - 0.6 / epoch,
            "learning_rate": 1e-3 / epoch,
        }
        for epoch in range(1, epochs + 1)
    ]


def size_of(file):
    with Image.open(file) as picture:
        picture.load()
        return picture.size


@pytest.mark.parametrize("epochs", [1, 5, 100])
def test_the_training_figure_is_a_readable_png(tmp_path, epochs):
    curves.training_figure(make_history(epochs), tmp_path / "training.png")
    assert min(size_of(tmp_path / "training.png")) > 800


def test_a_history_without_validation_is_drawn(tmp_path):
    history = [{"epoch": 1.0, "loss": 0.5}, {"epoch": 2.0, "loss": math.nan}]
    curves.training_figure(history, tmp_path / "training.png")
    assert (tmp_path / "training.png").is_file()


def test_the_best_epoch_has_the_best_validation_dice():
    history = [{"val_dice": 0.5}, {"val_dice": 0.9}, {"val_dice": math.nan}]
    assert curves.best_epoch(history) == 1


def test_there_is_no_best_epoch_without_validation():
    assert curves.best_epoch([{"loss": 1.0}]) is None
