"""Images of data and predictions: what is written, and for which inputs."""

import numpy as np
import pytest
from PIL import Image
from saved_figures import figure_of

from keras_unet.figures import canvas
from keras_unet.figures.samples import (
    Prediction,
    Sample,
    augmentation_figure,
    closer_look,
    data_figure,
    predictions_figure,
    weights_figure,
)


def make_sample(name="car.jpg", size=(40, 60), channels=3, classes=2):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*size, channels), np.uint8)
    mask = np.zeros(size, np.uint8)
    mask[size[0] // 4 : size[0] // 2, 5:-5] = classes - 1
    return Sample(name, image, mask)


def make_prediction(**options):
    sample = make_sample(**options)
    return Prediction(
        sample.name, sample.image, sample.mask, np.roll(sample.mask, 2, 0), 0.9
    )


def size_of(file):
    with Image.open(file) as image:
        image.load()
        return image.size


@pytest.mark.usefixtures("sharp")
def test_the_data_figure_is_a_readable_png(tmp_path):
    data_figure([make_sample()] * 5, tmp_path / "data.png")
    assert min(size_of(tmp_path / "data.png")) > 400


@pytest.mark.usefixtures("sharp")
def test_the_augmentation_figure_is_a_readable_png(tmp_path):
    augmentation_figure([make_sample()] * 3, tmp_path / "augmentation.png")
    assert min(size_of(tmp_path / "augmentation.png")) > 300


@pytest.mark.usefixtures("sharp")
@pytest.mark.parametrize("classes", [2, 3])
def test_the_predictions_figure_is_a_readable_png(tmp_path, classes):
    names = ["background", "wheel", "body"][:classes]
    sample = make_prediction(classes=classes)
    predictions_figure([sample] * 2, tmp_path / "p.png", "test", names)
    assert min(size_of(tmp_path / "p.png")) > 400


def legend_of_predictions(tmp_path, ignored, names):
    """Returns the texts under predictions.png, of masks with or without 255."""
    sample = make_prediction(classes=len(names))
    if ignored:
        sample.mask[:3] = 255
    figure = figure_of(
        lambda file: predictions_figure([sample], file, "test", names),
        tmp_path / "p.png",
    )
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize(("ignored", "last"), [(False, []), (True, ["ignored"])])
def test_the_legend_of_predictions_names_ignored_pixels_where_some_are(
    tmp_path, ignored, last
):
    texts = legend_of_predictions(tmp_path, ignored, ["background", "car"])
    assert texts == ["found", "missed", "false alarm", *last]


def test_the_legend_of_several_classes_names_them_and_what_was_another_class(tmp_path):
    texts = legend_of_predictions(tmp_path, True, ["background", "wheel", "body"])
    errors = ["found", "missed or another class", "false alarm"]
    assert texts == [*errors, "wheel", "body", "ignored"]


@pytest.mark.parametrize(
    "name", ["$x^$.png", "日本🚗.png", "a" * 200 + ".png", "é_b c"]
)
def test_any_file_name_can_be_a_title(tmp_path, name):
    data_figure([make_sample(name)], tmp_path / "data.png")
    assert (tmp_path / "data.png").is_file()


@pytest.mark.parametrize("size", [(300, 20), (20, 300), (1, 1)])
def test_images_of_any_shape_are_drawn(tmp_path, size):
    sample = Prediction(
        "x", np.zeros((*size, 1), np.uint8), *[np.zeros(size, np.uint8)] * 2, 1.0
    )
    predictions_figure([sample], tmp_path / "p.png")
    assert (tmp_path / "p.png").is_file()


def test_the_same_arrays_give_the_same_file(tmp_path):
    for name in ("a.png", "b.png"):
        data_figure([make_sample()], tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_nothing_is_left_beside_the_file(tmp_path):
    data_figure([make_sample()], tmp_path / "data.png")
    assert [file.name for file in tmp_path.iterdir()] == ["data.png"]


def test_the_data_figure_tells_the_share_of_foreground_among_what_counts(tmp_path):
    sample = Sample("x", np.zeros((1, 4, 1), np.uint8), np.uint8([[1, 0, 255, 255]]))
    figure = figure_of(lambda file: data_figure([sample], file), tmp_path / "data.png")
    assert figure.axes[0].get_xlabel() == "4×1, 50.0 % foreground"


def test_the_closer_look_is_where_the_errors_are():
    mask, prediction = np.zeros((60, 120), np.uint8), np.zeros((60, 120), np.uint8)
    prediction[50:55, 100:105] = 1
    rows, columns = closer_look(mask, prediction)
    assert prediction[rows, columns].sum() == 25


def test_the_closer_look_stays_inside_the_image():
    mask, prediction = np.zeros((60, 120), np.uint8), np.zeros((60, 120), np.uint8)
    prediction[-1, -1] = 1
    rows, columns = closer_look(mask, prediction)
    assert (rows.stop, columns.stop) == (60, 120)


def test_long_names_keep_both_ends():
    short = canvas.letters("abcdef_a_very_long_name_0123.jpg", 12)
    assert len(short) <= 12
    assert short.startswith("abc")
    assert short.endswith(".jpg")


@pytest.mark.parametrize("channels", [1, 3])
def test_the_weights_figure_has_four_panels_and_a_bar_with_numbers(tmp_path, channels):
    sample = make_sample(channels=channels)
    weights = np.linspace(0.5, 10, sample.mask.size, dtype=np.float32)
    weights = weights.reshape(sample.mask.shape)
    figure = figure_of(
        lambda file: weights_figure(sample, sample.mask * 7, weights, file),
        tmp_path / "weights.png",
    )
    *panels, bar = figure.axes
    titles = [panel.get_title(loc="left") for panel in panels]
    assert titles[1:3] == ["Instances, 1", "Mask"]
    assert bar.get_ylim() == pytest.approx((0.5, 10))
