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
