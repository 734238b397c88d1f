"""Diagrams of numbers: what is written, and for which inputs."""

import math

import numpy as np
import pytest
from PIL import Image

from keras_unet import charts
from keras_unet.charts import Part


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


def make_part(name="test", images=4, classes=2):
    totals = dict.fromkeys(["dice", "iou", "precision", "recall", "accuracy"], 0.9)
    confusion = np.eye(classes, dtype=np.int64) * 90 + 3
    names = [f"{index}_$x$_日.jpg" for index in range(images)]
    return Part(name, names, list(np.linspace(0.8, 1, images)), totals, confusion)


def size_of(file):
    with Image.open(file) as picture:
        picture.load()
        return picture.size


@pytest.mark.parametrize("epochs", [1, 5, 100])
def test_the_training_figure_is_a_readable_png(tmp_path, epochs):
    charts.training_figure(make_history(epochs), tmp_path / "training.png")
    assert min(size_of(tmp_path / "training.png")) > 800


def test_a_history_without_validation_is_drawn(tmp_path):
    history = [{"epoch": 1.0, "loss": 0.5}, {"epoch": 2.0, "loss": math.nan}]
    charts.training_figure(history, tmp_path / "training.png")
    assert (tmp_path / "training.png").is_file()


def test_the_best_epoch_has_the_best_validation_dice():
    history = [{"val_dice": 0.5}, {"val_dice": 0.9}, {"val_dice": math.nan}]
    assert charts.best_epoch(history) == 1


def test_there_is_no_best_epoch_without_validation():
    assert charts.best_epoch([{"loss": 1.0}]) is None


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("images", [1, 300])
def test_the_evaluation_figure_is_a_readable_png(tmp_path, classes, images):
    parts = [make_part(name, images, classes) for name in ("validation", "test")]
    names = ["background", "wheel", "body"][:classes]
    charts.evaluation_figure(parts, names, tmp_path / "evaluation.png")
    assert min(size_of(tmp_path / "evaluation.png")) > 800


def test_dice_of_every_class_follows_from_the_confusion():
    confusion = np.array([[8, 2, 0], [0, 0, 0], [0, 0, 0]])
    dice = charts.class_dice(confusion)
    np.testing.assert_allclose(dice, [16 / 18, 0, np.nan])
