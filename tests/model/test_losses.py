import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_unet.config import LossConfig
from keras_unet.data_config import IGNORE
from keras_unet.errors import BadUsage
from keras_unet.model.losses import (
    SegmentationLoss,
    cross_entropy,
    dice_loss,
    focal_loss,
    lovasz_loss,
    outline_weights,
    tversky_loss,
)

LOG3 = math.log(3.0)  # sigmoid(log 3) = 3/4
LOSSES = [cross_entropy, dice_loss, focal_loss, tversky_loss, lovasz_loss]
EVERY_LOSS = LossConfig(focal=1.0, tversky=1.0, lovasz=1.0)


def row(values, dtype=np.float32):
    """Returns numbers as one image of one row, (1, 1, w, 1)."""
    return np.array(values, dtype).reshape(1, 1, -1, 1)


def two_classes(differences):
    """Returns logits (1, 1, w, 2) of which class 1 is ahead by the differences."""
    ahead = row(differences)
    return np.concatenate([np.zeros_like(ahead), ahead], -1)


def value(loss, mask, logits, valid=None, **options):
    valid = np.ones_like(row(mask)) if valid is None else row(valid)
    result = loss(row(mask, np.int32), tf.constant(logits), valid, **options)
    assert result.shape == (1,)
    return float(result[0])


def total(config, mask, logits, weight=None):
    loss = SegmentationLoss(config, logits.shape[-1])
    return float(loss(mask, tf.constant(logits), weight))


# Probabilities 3/4 and 1/4 of the foreground, both of which is foreground.
BINARY = [
    (cross_entropy, {}, (math.log(4 / 3) + math.log(4)) / 2),
    (dice_loss, {}, 1 - (2 * 1 + 1) / (1 + 2 + 1)),
    (focal_loss, {}, (math.log(4 / 3) / 16 + math.log(4) * 9 / 16) / 2),
    (focal_loss, {"gamma": 0.0}, (math.log(4 / 3) + math.log(4)) / 2),
    (tversky_loss, {"alpha": 0.3, "beta": 0.7}, 1 - 3 / (2 * (1 + 0.7) + 1)),
    # Errors 1 + log 3 and 1 − log 3, which is below 0; sorted so, each adds half.
    (lovasz_loss, {}, (1 + LOG3) / 2),
]


@pytest.mark.parametrize(("loss", "options", "wanted"), BINARY)
def test_a_binary_loss_has_its_value_by_hand(loss, options, wanted):
    logits = row([LOG3, -LOG3])
    assert value(loss, [1, 1], logits, **options) == pytest.approx(wanted, abs=1e-6)


# Probabilities of class 1 are 3/4 and 1/4; the mask has class 1, then class 0.
TWO = [
    (cross_entropy, {}, math.log(4 / 3)),
    (dice_loss, {}, 1 - 2.5 / 3),
    (focal_loss, {}, math.log(4 / 3) / 16),
    (tversky_loss, {"alpha": 0.5, "beta": 0.5}, 1 - 2.5 / 3),
    # Errors 1/4 and 1/4 in each class; whatever their order they add up to 1/4.
    (lovasz_loss, {}, 0.25),
]


@pytest.mark.parametrize(("loss", "options", "wanted"), TWO)
def test_a_loss_of_classes_has_its_value_by_hand(loss, options, wanted):
    logits = two_classes([LOG3, -LOG3])
    assert value(loss, [1, 0], logits, **options) == pytest.approx(wanted, abs=1e-6)


def test_lovasz_softmax_weighs_errors_by_the_jaccard_loss_they_bring():
    # Class 1: errors 3/4 (a false alarm), 1/4 (a hit); Jaccard loss 1/2, then 1.
    # Class 0: errors 3/4 (a miss) and 1/4 (no class 0); Jaccard loss 1, then 1.
    logits = two_classes([LOG3, LOG3])
    wanted = ((0.75 / 2 + 0.25 / 2) + 0.75) / 2
    assert value(lovasz_loss, [0, 1], logits) == pytest.approx(wanted, abs=1e-6)


def test_a_class_that_the_mask_lacks_has_no_part_in_dice():
    three = np.concatenate([two_classes([0.0, 0.0]), row([0.0, 0.0])], -1)
    assert value(dice_loss, [0, 0], three) == pytest.approx(
        1 - (4 / 3 + 1) / (8 / 3 + 1)
    )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("sigmoid", [True, False])
def test_a_perfect_prediction_has_the_loss_0(loss, sigmoid):
    logits = row([-50, 50, 50]) if sigmoid else two_classes([-50, 50, 50])
    assert value(loss, [0, 1, 1], logits) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("sigmoid", [True, False])
def test_a_pixel_that_is_not_valid_changes_nothing(loss, sigmoid):
    differences = [LOG3, -1.0, 0.5, 9.0]
    logits = row(differences) if sigmoid else two_classes(differences)
    with_it = value(loss, [1, 0, 1, IGNORE], logits, [1, 1, 1, 0])
    without = value(loss, [1, 0, 1], logits[:, :, :3])
    assert with_it == pytest.approx(without, abs=1e-6)


@pytest.mark.parametrize("fill", [0, 1, IGNORE])
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_gradients_of_masks_of_one_value_are_finite(fill, channels, scale):
    logits = tf.random.stateless_normal((2, 4, 5, channels), (1, 2)) * scale
    mask = np.full((2, 4, 5, 1), fill, np.uint8)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = SegmentationLoss(EVERY_LOSS, channels)(mask, logits)
    assert np.isfinite(tape.gradient(loss, logits)).all()
    assert math.isfinite(loss)


def test_an_image_of_ignored_pixels_alone_has_the_loss_0():
    mask = np.full((1, 2, 2, 1), IGNORE, np.uint8)
    assert total(EVERY_LOSS, mask, np.ones((1, 2, 2, 1), np.float32)) == 0.0


def test_focal_has_a_finite_gradient_where_a_pixel_is_learnt_for_every_gamma():
    logits = tf.constant(row([60.0, 0.0]))
    for gamma in (0.0, 0.5, 1.0, 2.0):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            ones = tf.ones_like(logits)
            loss = focal_loss(row([1, 1], np.int32), logits, ones, gamma)
        assert np.isfinite(tape.gradient(loss, logits)).all()


def test_the_loss_is_the_sum_by_weight():
    logits, mask = row([LOG3, -LOG3]), row([1, 1], np.uint8)
    config = LossConfig(cross_entropy=0.5, dice=2.0)
    wanted = 0.5 * value(cross_entropy, [1, 1], logits) + 2 * 0.25
    assert total(config, mask, logits) == pytest.approx(wanted, abs=1e-6)


def test_the_loss_of_a_batch_is_the_mean_of_its_images_losses():
    logits = tf.random.stateless_normal((4, 3, 3, 1), (3, 4)).numpy()
    mask = (np.arange(36).reshape(4, 3, 3, 1) % 5 == 0).astype(np.uint8)
    each = [total(EVERY_LOSS, mask[[i]], logits[[i]]) for i in range(4)]
    assert total(EVERY_LOSS, mask, logits) == pytest.approx(np.mean(each), abs=1e-6)


def test_class_weights_scale_the_cross_entropy_of_their_pixels():
    config = LossConfig(dice=0.0, class_weights=(1.0, 5.0))
    logits, mask = row([0.0, 0.0]), row([0, 1], np.uint8)
    assert total(config, mask, logits) == pytest.approx(math.log(2) * (1 + 5) / 2)


def test_class_weights_leave_out_what_is_ignored():
    config = LossConfig(dice=0.0, class_weights=(1.0, 5.0))
    logits, mask = row([0.0, 0.0]), row([1, IGNORE], np.uint8)
    assert total(config, mask, logits) == pytest.approx(math.log(2) * 5)


def test_class_weights_of_another_number_are_refused():
    with pytest.raises(BadUsage, match=r"--class-weights needs 2 numbers.*not 3"):
        SegmentationLoss(LossConfig(class_weights=(1.0, 2.0, 3.0)), 1)


def test_a_weight_map_scales_the_cross_entropy_of_each_pixel():
    logits, mask = row([0.0, 0.0]), row([0, 1], np.uint8)
    config = LossConfig(dice=0.0)
    wanted = math.log(2) * (1 + 10) / 2
    assert total(config, mask, logits, row([1, 10])) == pytest.approx(wanted)


@pytest.mark.parametrize("shape", [(2, 3, 4, 1), (2, 3, 4), (2,)])
def test_a_weight_map_of_twos_doubles_the_cross_entropy(shape):
    logits = tf.random.stateless_normal((2, 3, 4, 1), (3, 4)).numpy()
    mask = (logits > 0.3).astype(np.uint8)
    config = LossConfig(dice=0.0)
    twice = total(config, mask, logits, np.full(shape, 2.0, np.float32))
    assert twice == pytest.approx(2 * total(config, mask, logits))


def test_a_pixel_of_weight_0_is_as_one_that_is_ignored():
    logits = row([LOG3, -LOG3, 2.0])
    weighted = total(EVERY_LOSS, row([1, 1, 0], np.uint8), logits, row([1, 1, 0]))
    ignored = total(EVERY_LOSS, row([1, 1, IGNORE], np.uint8), logits)
    assert weighted == pytest.approx(ignored, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(1, 4))
def test_no_loss_depends_on_the_order_of_the_pixels(seed, channels):
    random = np.random.default_rng(seed)
    mask = random.choice([0, min(1, channels), max(channels - 1, 1), IGNORE], 30)
    mask, logits = row(mask, np.uint8), random.normal(size=(1, 1, 30, channels))
    if channels > 1:
        mask[mask == channels] = 0
    order = random.permutation(30)
    shuffled = total(EVERY_LOSS, mask[:, :, order], np.float32(logits[:, :, order]))
    assert shuffled == pytest.approx(
        total(EVERY_LOSS, mask, np.float32(logits)), rel=1e-5
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_half_precision_logits_are_counted_in_float32(channels):
    # 70,000 pixels: float16 ends at 65,504.
    logits = tf.random.stateless_normal(
        (1, 250, 280, channels), (1, 2), dtype="float16"
    )
    mask = (np.arange(70_000) % 2).reshape(1, 250, 280, 1).astype(np.uint8)
    half = SegmentationLoss(EVERY_LOSS, channels)(mask, logits)
    assert half.dtype == "float32"
    full = SegmentationLoss(EVERY_LOSS, channels)(mask, tf.cast(logits, "float32"))
    assert float(half) == pytest.approx(float(full), rel=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_xla_computes_the_same_loss(channels):
    logits = tf.random.stateless_normal((2, 6, 5, channels), (1, 2))
    mask = np.tile([[0], [1], [IGNORE]], (20, 1)).reshape(2, 6, 5, 1).astype(np.uint8)
    config = LossConfig(
        focal=1.0, tversky=1.0, lovasz=1.0, class_weights=(1.0,) * max(channels, 2)
    )
    loss = SegmentationLoss(config, channels)
    compiled = tf.function(loss.__call__, jit_compile=True)
    assert float(compiled(mask, logits)) == pytest.approx(
        float(loss(mask, logits)), rel=1e-5
    )


def test_a_config_makes_the_same_loss_again():
    loss = SegmentationLoss(LossConfig(class_weights=(1.0, 2.0), lovasz=0.5), 1)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert (again.config, again.classes) == (loss.config, loss.classes)


def test_fit_takes_a_weight_map_from_tf_data():
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(1, 1)])
    model.compile("sgd", SegmentationLoss(EVERY_LOSS, 1), jit_compile=False)
    images = np.random.default_rng(0).random((4, 4, 4, 3), np.float32)
    mask, weight = (images[..., :1] > 0.5).astype(np.uint8), images[..., 1:2]
    wanted = SegmentationLoss(EVERY_LOSS, 1)(mask, model(images), weight)
    data = tf.data.Dataset.from_tensors((images, mask, weight))
    history = model.fit(data, shuffle=False, verbose=0).history
    assert history["loss"][0] == pytest.approx(float(wanted), rel=1e-5)


def test_pixels_near_an_outline_weigh_more_and_all_one_in_the_mean():
    mask = row([0, 0, 0, 0, 1, 1, 1, 1], np.int32)
    config = LossConfig(outline_weight=3.0, outline_pixels=1)
    weights = outline_weights(mask, tf.ones(mask.shape), config).numpy().ravel()
    assert weights.mean() == pytest.approx(1.0)
    np.testing.assert_allclose(weights / weights[0], [1, 1, 1, 4, 4, 1, 1, 1])


def test_what_is_ignored_has_no_outline():
    mask = row([1, 1, 1, IGNORE, 1, 1, 1], np.int32)
    valid = tf.cast(mask != IGNORE, tf.float32)
    config = LossConfig(outline_weight=3.0, outline_pixels=1)
    weights = outline_weights(mask, valid, config).numpy().ravel()
    np.testing.assert_allclose(weights, 1.0)
    nothing = outline_weights(mask, tf.zeros(mask.shape), config).numpy()
    assert np.isfinite(nothing).all()


def test_outlines_weigh_in_the_cross_entropy():
    mask, logits = row([0, 0, 0, 1, 1, 1], np.uint8), row([-5.0, -5, 1, 1, 5, 5])
    plain = LossConfig(dice=0.0)
    near = LossConfig(dice=0.0, outline_weight=8.0, outline_pixels=1)
    assert total(near, mask, logits) > 1.5 * total(plain, mask, logits)
    with pytest.raises(BadUsage, match="--outline-weight weighs the pixels"):
        LossConfig(cross_entropy=0.0, outline_weight=8.0)
