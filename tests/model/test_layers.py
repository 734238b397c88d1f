import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_unet.model.layers import (
    DoubleSize,
    FusedBatchNormalization,
    MirrorBorder,
    PlainGroupNormalization,
    StatelessDropout,
    padded_size,
)


@pytest.mark.parametrize("size", [2, 3, 20, 92, 93])
def test_a_border_larger_than_the_image_is_mirrored_again(size):
    image = np.random.default_rng(0).uniform(size=(1, size, size, 1))
    image = image.astype("float32")
    layer = MirrorBorder(4, "valid")
    dynamic = tf.function(layer, input_signature=[tf.TensorSpec((1, None, None, 1))])
    np.testing.assert_array_equal(layer(image), dynamic(image))


@pytest.mark.parametrize(
    ("size", "padding", "padded"),
    [(388, "valid", 572), (389, "valid", 588), (512, "same", 512), (513, "same", 528)],
)
def test_the_padded_size_is_the_least_that_the_u_takes(size, padding, padded):
    assert padded_size(size, 4, padding) == padded


@pytest.mark.parametrize("known", [True, False])
def test_doubling_equals_that_of_keras_for_images_of_unknown_size_too(known, x):
    size = x.shape[1:3] if known else (None, None)
    spec = tf.TensorSpec((None, *size, 8), tf.float32)
    graph = tf.function(DoubleSize(), input_signature=[spec])
    theirs = keras.layers.UpSampling2D(2, interpolation="bilinear")
    np.testing.assert_array_equal(graph(x), theirs(x))


def test_doubling_keeps_the_type_of_mixed_precision(x):
    assert DoubleSize(dtype="mixed_bfloat16")(x).dtype == tf.bfloat16


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(3.0, 2.0, (4, 6, 5, 8)).astype("float32")


@pytest.mark.parametrize("training", [True, False])
def test_fused_batch_normalisation_equals_that_of_keras(x, training):
    ours = FusedBatchNormalization(momentum=0.8)
    # Alone, Keras 2.15 moves its averages by the variance of a sample.
    theirs = keras.layers.BatchNormalization(momentum=0.8, synchronized=True)
    for _ in range(3):
        ours(x, training=True), theirs(x, training=True)
    np.testing.assert_allclose(
        ours(x, training=training), theirs(x, training=training), atol=1e-5
    )
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_group_normalisation_equals_that_of_keras(x):
    ours, theirs = PlainGroupNormalization(4), keras.layers.GroupNormalization(4)
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-5)


def test_dropout_drops_a_share_and_keeps_the_mean():
    ones = np.ones((8, 32, 32, 4), "float32")
    dropped = np.asarray(StatelessDropout(0.25, seed=1)(ones, training=True))
    assert np.mean(dropped == 0) == pytest.approx(0.25, abs=0.02)
    assert dropped.mean() == pytest.approx(1.0, abs=0.02)


def test_dropout_differs_from_step_to_step_and_repeats_from_a_count(x):
    layer = StatelessDropout(0.5, seed=1)
    first, second = (np.asarray(layer(x, training=True)) for _ in range(2))
    assert (first != second).any()
    layer.calls.assign(0)
    np.testing.assert_array_equal(layer(x, training=True), first)


def test_dropout_is_no_parameter_and_rests_outside_of_training(x):
    layer = StatelessDropout(0.5)
    np.testing.assert_array_equal(layer(x), x)
    assert layer.weights == []
