import numpy as np
import pytest

from keras_unet.figures import canvas


def legend_of(names: list[str], width: float = 6.0):
    figure = canvas.new_figure(width, 8.0)
    figure.add_subplot()
    canvas.legend_of(figure, {name: (200, 30, 30) for name in names})
    figure.draw_without_rendering()
    return figure, figure.legends[0]


@pytest.mark.parametrize("count", [1, 2, 7, 19])
@pytest.mark.parametrize("length", [1, 12, 40])
def test_a_legend_is_no_wider_than_its_figure(count, length):
    figure, legend = legend_of(
        [f"{number:03}".rjust(length, "w") for number in range(count)]
    )
    assert legend.get_window_extent().width <= figure.bbox.width


def test_a_short_legend_is_one_row():
    _, legend = legend_of(["missed", "wrongly found", "ignored"])
    assert len({round(text.get_window_extent().y0) for text in legend.texts}) == 1


@pytest.mark.parametrize("name", ["$10$ and more", r"$\foo$", "cost_$a_$"])
def test_dollars_in_a_name_are_no_mathematics(name):
    _, legend = legend_of([name])
    assert legend.texts[0].get_text() == name
    assert not legend.texts[0].get_parse_math()


@pytest.fixture
def grey():
    return np.full((20, 30, 3), 100, np.uint8)


@pytest.fixture
def square():
    mask = np.zeros((20, 30), np.uint8)
    mask[5:15, 5:15] = 1
    return mask


def test_background_keeps_its_pixels_under_a_painted_mask(grey, square):
    painted = canvas.paint_mask(grey, square)
    assert (painted[:, 20:] == 100).all()


def test_foreground_is_tinted_with_its_class_colour(grey, square):
    painted = canvas.paint_mask(grey, square, opacity=0.5)
    wanted = (100 + np.array(canvas.class_colour(1))) / 2
    np.testing.assert_allclose(painted[10, 10], wanted, atol=1)


def test_an_empty_mask_changes_nothing(grey):
    painted = canvas.paint_mask(grey, np.zeros((20, 30), np.uint8))
    np.testing.assert_array_equal(painted, grey)


def test_a_grey_image_is_painted_in_colour(square):
    painted = canvas.paint_mask(np.full((20, 30, 1), 100, np.uint8), square)
    assert painted.shape == (20, 30, 3)


def test_a_binary_mask_is_shown_black_and_white(square):
    assert set(np.unique(canvas.paint_classes(square))) == {0, 255}


def test_classes_are_shown_in_colours_of_their_own():
    image = canvas.paint_classes(np.array([[0, 1, 2, 255]], np.uint8))
    assert len({tuple(pixel) for pixel in image[0]}) == 4


def test_misses_false_alarms_and_hits_have_the_legend_s_colours(grey, square):
    prediction = np.roll(square, 3, axis=1)
    painted = canvas.paint_errors(grey, square, prediction)
    assert tuple(painted[10, 6]) == canvas.MISS
    assert tuple(painted[10, 16]) == canvas.FALSE_ALARM
    assert painted[10, 10, 2] > painted[10, 10, 0]


def test_ignored_pixels_are_no_errors(grey, square):
    ignored = np.where(square == 1, 255, 0).astype(np.uint8)
    painted = canvas.paint_errors(grey, ignored, square)
    assert tuple(painted[10, 10]) == canvas.GREY


def test_a_grid_is_painted_in_two_tones(grey):
    painted = canvas.paint_grid(grey, lines=3)
    assert {0, 255} <= set(np.unique(painted))


def test_colours_come_again_beyond_the_palette():
    assert canvas.class_colour(1) == canvas.class_colour(8)


def test_instances_have_colours_and_outlines_and_background_stays(grey):
    numbers = np.arange(600).reshape(20, 30) // 100 * 1000
    painted = canvas.paint_instances(grey, numbers)
    colours = {tuple(pixel) for pixel in painted.reshape(-1, 3)}
    assert canvas.WHITE in colours
    assert len(colours - {canvas.WHITE}) == 6
    np.testing.assert_array_equal(painted[numbers == 0], grey[numbers == 0])
