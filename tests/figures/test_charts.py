"""The diagram of scores: what is written, and for which inputs."""

import math
from functools import partial

import numpy as np
import pytest
from PIL import Image
from saved_figures import figure_of

from keras_unet.figures import charts
from keras_unet.figures.charts import PartScores

SCORES = ["dice", "iou", "precision", "recall", "accuracy", "boundary_iou"]


def make_part(name="test", images=4, classes=2, group=1):
    return PartScores(
        name,
        names=[f"{index}_$x$_日.jpg" for index in range(images)],
        groups=[f"$car$ {index // group}" for index in range(images)],
        dice=list(np.linspace(0.8, 1, images)),
        totals=dict.fromkeys(SCORES, 0.9) | {"hausdorff_95": math.nan},
        intervals={"dice": (0.85, 0.95)},
        confusion=np.eye(classes, dtype=np.int64) * 90 + 3,
    )


def size_of(file):
    with Image.open(file) as image:
        image.load()
        return image.size


@pytest.mark.usefixtures("sharp")
@pytest.mark.parametrize("classes", [2, 3, 12])
@pytest.mark.parametrize(("images", "group"), [(1, 1), (300, 1), (300, 16)])
def test_the_evaluation_figure_is_a_readable_png(tmp_path, classes, images, group):
    parts = [make_part(name, images, classes, group) for name in ("validation", "test")]
    names = ["background", *(f"class_{index}" for index in range(1, classes))]
    charts.evaluation_figure(parts, names, tmp_path / "evaluation.png")
    assert min(size_of(tmp_path / "evaluation.png")) > 800


def panel(tmp_path, title, part, names):
    """Returns the axes of evaluation.png whose title begins like this."""
    figure = figure_of(
        lambda file: charts.evaluation_figure([part], names, file),
        tmp_path / "evaluation.png",
    )
    [found] = [a for a in figure.axes if a.get_title(loc="left").startswith(title)]
    return found


def test_the_worst_groups_are_named_with_their_mean(tmp_path):
    part = make_part(images=40, group=4)
    axes = panel(tmp_path, "The worst groups", part, ["a", "b"])
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == [f"$car$ {index}" for index in range(charts.WORST)]
    assert axes.texts[0].get_text() == "0.8077, 4 images"


def test_groups_of_one_image_have_no_panel(tmp_path):
    with pytest.raises(ValueError, match="not enough values"):
        panel(tmp_path, "The worst groups", make_part(), ["a", "b"])


def test_a_score_is_written_with_its_interval():
    totals, intervals = {"dice": 0.9, "iou": math.nan}, {"dice": (0.85, 0.95)}
    assert charts.with_interval("dice", totals, intervals) == "0.9000\n0.8500–0.9500"
    assert charts.with_interval("iou", totals, intervals) == "nowhere"


@pytest.fixture
def absent():
    """Scores of three classes, the last of which occurs nowhere."""
    part = make_part("日", classes=3)
    part.confusion[2] = part.confusion[:, 2] = 0
    return part


def test_a_class_that_occurs_nowhere_is_said_so(tmp_path, absent):
    axes = panel(tmp_path, "Dice of every class", absent, ["a", "b", "c"])
    assert [text.get_text() for text in axes.texts] == ["0.9688", "0.9688", "nowhere"]


def test_the_cells_of_a_class_that_occurs_nowhere_are_blank(tmp_path, absent):
    axes = panel(tmp_path, "% of each true class", absent, ["a", "b", "c"])
    cells = [text.get_text() for text in axes.texts]
    assert cells == ["96.9", "3.1", "0.0", "3.1", "96.9", "0.0", "", "", ""]


@pytest.mark.parametrize(
    ("classes", "length", "degrees"), [(3, 18, 0), (4, 18, 45), (12, 4, 0), (12, 5, 45)]
)
def test_names_that_do_not_fit_side_by_side_are_turned(
    tmp_path, classes, length, degrees
):
    names = [f"{index:0{length}}" for index in range(classes)]
    part = make_part(classes=classes)
    axes = panel(tmp_path, "% of each true class", part, names)
    labels = axes.get_xticklabels()
    assert [label.get_text() for label in labels] == names
    assert {label.get_rotation() for label in labels} == {degrees}


def test_dice_of_every_class_follows_from_the_confusion():
    confusion = np.array([[8, 2, 0], [0, 0, 0], [0, 0, 0]])
    dice = charts.class_dice(confusion)
    np.testing.assert_allclose(dice, [16 / 18, 0, np.nan])


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


@pytest.mark.usefixtures("sharp")
@pytest.mark.parametrize("epochs", [1, 5, 100])
def test_the_training_figure_is_a_readable_png(tmp_path, epochs):
    charts.training_figure(make_history(epochs), tmp_path / "training.png")
    assert min(size_of(tmp_path / "training.png")) > 800


def test_a_history_without_validation_is_drawn(tmp_path):
    history = [{"epoch": 1.0, "loss": 0.5}, {"epoch": 2.0, "loss": math.nan}]
    charts.training_figure(history, tmp_path / "training.png")
    assert (tmp_path / "training.png").is_file()


@pytest.mark.parametrize("dice", [0.004, 0.03, 0.25, 0.45, 0.65, 0.76, 0.93, 0.996])
def test_some_dice_is_beside_the_axis_wherever_the_curves_are(tmp_path, dice):
    history = [{"epoch": n, "dice": dice, "val_dice": dice} for n in (1.0, 2.0)]
    figure = figure_of(partial(charts.training_figure, history), tmp_path / "a.png")
    axes = figure.axes[1]
    low, high = axes.get_ylim()
    assert any(low < tick < high for tick in axes.get_yticks())


@pytest.mark.usefixtures("sharp")
@pytest.mark.parametrize(("loss", "dice"), [(0.0, 1.0), (0.7, 0.0)])
def test_the_ends_of_both_scales_are_drawn(tmp_path, loss, dice):
    history = [{"epoch": 1.0, "loss": loss, "dice": dice, "val_dice": dice}]
    charts.training_figure(history, tmp_path / "training.png")
    assert (tmp_path / "training.png").is_file()


def test_the_best_epoch_has_the_best_validation_dice():
    history = [{"val_dice": 0.5}, {"val_dice": 0.9}, {"val_dice": math.nan}]
    assert charts.best_epoch(history) == 1


def test_there_is_no_best_epoch_without_validation():
    assert charts.best_epoch([{"loss": 1.0}]) is None
