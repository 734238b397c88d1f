import keras
import numpy as np
import pytest

from keras_unet.config import UNetConfig
from keras_unet.model import unet
from keras_unet.model.unet import (
    build_network,
    build_unet,
    class_logits,
    most_probable,
    to_mask,
    to_probability,
)


def layers_of(build, channels=3, size=8):
    image = keras.Input((size, size, channels))
    return keras.Model(image, build(image))


@pytest.mark.parametrize(("padding", "side"), [("same", 8), ("valid", 4)])
def test_two_convolutions_take_four_pixels_without_padding(padding, side):
    config = UNetConfig(padding=padding)
    model = layers_of(lambda x: unet.convolve_twice(x, 5, "down0", config))
    assert model.output_shape == (None, side, side, 5)
    assert {"down0_conv1", "down0_conv2"} <= {layer.name for layer in model.layers}


@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
def test_going_up_doubles_the_size_and_puts_the_skip_beside(upsampling):
    config = UNetConfig(upsampling=upsampling)

    def there_and_back(x):
        return unet.go_up(unet.go_down(x, "down0"), x, 4, "up0", config)

    assert layers_of(there_and_back).output_shape == (None, 8, 8, 3 + 4)


@pytest.mark.parametrize(
    ("normalization", "biased"), [("none", True), ("batch", False)]
)
def test_a_bias_that_batch_normalisation_would_take_away_is_left_out(
    normalization, biased
):
    config = UNetConfig(normalization=normalization)
    model = layers_of(lambda x: unet.convolve(x, 4, "c", config))
    assert model.get_layer("c").use_bias is biased


def test_without_a_rate_nothing_is_dropped():
    names = [
        {layer.name for layer in build_unet(UNetConfig(filters=1, dropout=rate)).layers}
        for rate in (0.0, 0.5)
    ]
    assert names[1] - names[0] == {"bottom_dropout"}


PAPER = UNetConfig(channels=1, classes=2, padding="valid")


def test_the_papers_network_has_its_number_of_parameters():
    assert build_unet(PAPER).count_params() == 31_030_658


def test_the_papers_network_turns_572_pixels_into_388():
    tiny = UNetConfig(channels=1, classes=2, padding="valid", filters=1)
    logits = build_unet(tiny)(np.zeros((1, 572, 572, 1), "float32"))
    assert logits.shape == (1, 388, 388, 2)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("size", [(16, 16), (17, 31), (1, 1), (45, 3)])
def test_a_network_keeps_every_size(padding, size):
    network = build_network(UNetConfig(filters=2, depth=2, padding=padding))
    logits = network(np.zeros((1, *size, 3), "float32"))
    assert logits.shape == (1, *size, 1)


@pytest.mark.parametrize("normalization", ["none", "batch", "group"])
@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
@pytest.mark.parametrize("stem_stride", [1, 2])
def test_every_variant_is_built(normalization, upsampling, stem_stride):
    config = UNetConfig(
        classes=4,
        filters=4,
        depth=2,
        normalization=normalization,
        upsampling=upsampling,
        stem_stride=stem_stride,
    )
    assert build_network(config)(np.zeros((2, 16, 24, 3))).shape == (2, 16, 24, 4)


def test_after_a_stem_up_convolution_gives_each_pixel_logits_of_its_own():
    config = UNetConfig(filters=2, depth=1, stem_stride=2)
    network = build_network(config)
    # Whatever weights are drawn: features that are not zero.
    last = network.get_layer("up0_conv2")
    last.set_weights([np.zeros_like(last.kernel), np.ones_like(last.bias)])
    kernel, bias = network.get_layer("logits").get_weights()
    network.get_layer("logits").set_weights([np.zeros_like(kernel), bias + 1])
    np.testing.assert_array_equal(network(np.zeros((1, 8, 8, 3), "float32")), 1.0)
    kernel = np.arange(kernel.size, dtype="float32").reshape(kernel.shape)
    network.get_layer("logits").set_weights([kernel, bias])
    logits = network(np.full((1, 8, 8, 3), 200, "float32"))[0, 2:4, 2:4, 0]
    assert len(np.unique(logits)) == 4


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float32"])
def test_logits_are_float32_under_every_policy(policy):
    keras.mixed_precision.set_global_policy(policy)
    try:
        network = build_network(UNetConfig(filters=2, depth=1))
        logits = network(np.zeros((1, 9, 9, 3), "float32"))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert logits.dtype == "float32"


def test_padding_valid_sees_the_border_mirrored():
    config = UNetConfig(filters=2, depth=1, padding="valid")
    network, bare = build_network(config), build_unet(config)
    bare.set_weights(network.get_weights())
    image = np.random.default_rng(0).uniform(0, 255, (1, 20, 20, 3)).astype("float32")
    mirrored = np.pad(image, [(0, 0), (8, 8), (8, 8), (0, 0)], mode="reflect")
    np.testing.assert_allclose(network(image), bare(mirrored), atol=1e-5)


def test_static_and_dynamic_sizes_give_the_same_logits():
    import tensorflow as tf

    network = build_network(UNetConfig(filters=2, depth=2))
    image = np.random.default_rng(0).uniform(0, 255, (1, 21, 34, 3)).astype("float32")
    dynamic = tf.function(
        network, input_signature=[tf.TensorSpec((None, None, None, 3))]
    )
    np.testing.assert_allclose(network(image), dynamic(image), atol=1e-5)


LOGITS = np.float32([[[[-1.0], [0.0], [2.0]]]])


def test_one_logit_becomes_two_channels_that_sum_to_one():
    probability = np.asarray(to_probability(LOGITS))
    sigmoid = 1 / (1 + np.exp(-LOGITS[..., 0]))
    np.testing.assert_allclose(probability[..., 1], sigmoid, atol=1e-6)
    np.testing.assert_allclose(probability.sum(-1), 1, atol=1e-6)


def test_several_logits_become_their_softmax():
    logits = np.float32([[[[0.0, 1.0, -1.0]]]])
    probability = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(to_probability(logits), probability, atol=1e-6)


@pytest.mark.parametrize("scores", [class_logits(LOGITS), to_probability(LOGITS)])
def test_foreground_is_what_is_more_probable_than_background(scores):
    assert np.asarray(most_probable(scores)).ravel().tolist() == [0, 0, 1]


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.7])
def test_of_two_classes_the_foregrounds_probability_is_enough(threshold):
    probability = to_probability(LOGITS)
    alone, both = (to_mask(p, threshold) for p in (probability[..., 1:], probability))
    np.testing.assert_array_equal(alone, both)
    np.testing.assert_array_equal(both, np.asarray(probability)[..., 1] > threshold)


def test_of_several_classes_the_highest_is_taken():
    scores = np.float32([[[[0.0, 1.0, -1.0], [0.2, 0.1, 0.7]]]])
    found = np.asarray(most_probable(scores))
    assert found.dtype == np.uint8
    assert found.ravel().tolist() == [1, 2]
