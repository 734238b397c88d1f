import keras
import pytest

from keras_unet.config import UNetConfig
from keras_unet.model import blocks


def layers_of(build, channels=3, size=8):
    image = keras.Input((size, size, channels))
    return keras.Model(image, build(image))


@pytest.mark.parametrize(("padding", "side"), [("same", 8), ("valid", 4)])
def test_two_convolutions_take_four_pixels_without_padding(padding, side):
    config = UNetConfig(padding=padding)
    model = layers_of(lambda x: blocks.convolve_twice(x, 5, "down0", config))
    assert model.output_shape == (None, side, side, 5)
    assert {"down0_conv1", "down0_conv2"} <= {layer.name for layer in model.layers}


@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
def test_going_up_doubles_the_size_and_puts_the_skip_beside(upsampling):
    config = UNetConfig(upsampling=upsampling)

    def there_and_back(x):
        return blocks.go_up(blocks.go_down(x, "down0"), x, 4, "up0", config)

    assert layers_of(there_and_back).output_shape == (None, 8, 8, 3 + 4)


@pytest.mark.parametrize(
    ("normalization", "biased"), [("none", True), ("batch", False)]
)
def test_a_bias_that_batch_normalisation_would_take_away_is_left_out(
    normalization, biased
):
    config = UNetConfig(normalization=normalization)
    model = layers_of(lambda x: blocks.convolve(x, 4, "c", config))
    assert model.get_layer("c").use_bias is biased


def test_without_a_rate_nothing_is_dropped():
    x = object()
    assert blocks.drop(x, 0.0, "d") is x
