"""The diagram of scores: what is written, and for which inputs."""

import numpy as np
import pytest
from PIL import Image

from keras_unet import charts
from keras_unet.charts import Part


def make_part(name="test", images=4, classes=2):
    totals = dict.fromkeys(["dice", "iou", "precision", "recall", "accuracy"], 0.9)
    confusion = np.eye(classes, dtype=np.int64) * 90 + 3
    names = [f"{index}_$x$_日.jpg" for index in range(images)]
    return Part(name, names, list(np.linspace(0.8, 1, images)), totals, confusion)


def size_of(file):
    with Image.open(file) as picture:
        picture.load()
        return picture.size


@pytest.mark.parametrize("classes", [2, 3, 12])
@pytest.mark.parametrize("images", [1, 300])
def test_the_evaluation_figure_is_a_readable_png(tmp_path, classes, images):
    parts = [make_part(name, images, classes) for name in ("validation", "test")]
    names = ["background", *(f"class_{index}" for index in range(1, classes))]
    charts.evaluation_figure(parts, names, tmp_path / "evaluation.png")
    assert min(size_of(tmp_path / "evaluation.png")) > 800


def test_a_class_that_occurs_nowhere_is_drawn(tmp_path):
    part = make_part("日", classes=3)
    part.confusion[2] = part.confusion[:, 2] = 0
    charts.evaluation_figure([part], ["a", "b", "c"], tmp_path / "evaluation.png")
    assert (tmp_path / "evaluation.png").is_file()


def test_dice_of_every_class_follows_from_the_confusion():
    confusion = np.array([[8, 2, 0], [0, 0, 0], [0, 0, 0]])
    dice = charts.class_dice(confusion)
    np.testing.assert_allclose(dice, [16 / 18, 0, np.nan])
