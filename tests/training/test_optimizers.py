import multiprocessing

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_unet.config import FitConfig
from keras_unet.training.optimizers import (
    AdamW,
    learning_rate,
    make_optimizer,
    make_schedule,
)

NO_WARM_UP = {"warmup": 0.0, "schedule": "constant"}


@pytest.fixture
def half_precision():
    keras.mixed_precision.set_global_policy("mixed_float16")
    yield
    keras.mixed_precision.set_global_policy("float32")


def line():
    """Returns a model y = kernel · x that starts with a kernel of 0."""
    dense = keras.layers.Dense(
        1, use_bias=False, kernel_initializer="zeros", dtype="float32"
    )
    return keras.Sequential([keras.Input((1,)), dense])


def kernel_after(steps, wanted, **fit):
    """Returns the kernel after steps with squared error; the first slope is −2 wanted.

    The learning rate is 1.
    """
    model = line()
    optimizer = make_optimizer(FitConfig(learning_rate=1.0, **fit), steps, model)
    model.compile(optimizer, "mse", jit_compile=False)
    data = tf.data.Dataset.from_tensors((np.ones((1, 1)), np.full((1, 1), wanted)))
    model.fit(data.repeat(steps), shuffle=False, verbose=0)
    return float(model.get_weights()[0][0, 0])


def rates(total_steps, steps, **fit):
    schedule = make_schedule(FitConfig(**fit), total_steps)
    return [float(schedule(step)) for step in range(steps)]


def test_the_rate_rises_in_a_line_and_falls_as_a_cosine():
    half = np.sqrt(0.5)
    wanted = [1.0, 1.5, 2.0, 1 + half, 1.0, 1 - half, 0.0, 0.0]
    found = rates(6, 8, learning_rate=2.0, warmup=2 / 6)
    assert found == pytest.approx(wanted, abs=1e-6)


def test_a_constant_rate_stays_after_the_rise():
    found = rates(6, 7, learning_rate=2.0, warmup=4 / 6, schedule="constant")
    assert found == pytest.approx([0.5, 0.875, 1.25, 1.625, 2, 2, 2])


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
@pytest.mark.parametrize("warmup", [0, 1 / 3, 1])
def test_the_rate_is_above_0_in_every_step_of_a_run(schedule, warmup):
    assert min(rates(3, 3, learning_rate=1.0, warmup=warmup, schedule=schedule)) > 0


def test_the_warm_up_is_a_share_of_all_steps():
    optimizer = make_optimizer(FitConfig(learning_rate=1.0, warmup=0.1), 50, line())
    assert learning_rate(optimizer) == pytest.approx(1 / 5)


@pytest.mark.parametrize("name", ["adamw", "rmsprop", "sgd"])
def test_the_rate_goes_on_where_the_step_counter_is(name):
    fit = FitConfig(optimizer=name, learning_rate=2.0, warmup=1 / 3)
    optimizer = make_optimizer(fit, 6, line())
    optimizer.iterations.assign(4)
    assert learning_rate(optimizer) == pytest.approx(1.0)


def test_the_rate_is_seen_through_a_loss_scale(half_precision):
    optimizer = make_optimizer(FitConfig(learning_rate=2.0, warmup=0.5), 4, line())
    assert hasattr(optimizer, "inner_optimizer")
    assert learning_rate(optimizer) == pytest.approx(1.0)


def test_a_rate_that_is_a_number_is_that_number():
    assert learning_rate(keras.optimizers.SGD(0.25)) == 0.25


def test_weight_decay_shrinks_kernels_and_leaves_biases_and_norms():
    layers = [keras.layers.Conv2D(2, 1), keras.layers.BatchNormalization()]
    model = keras.Sequential([keras.Input((2, 2, 1)), *layers])
    fit = FitConfig(learning_rate=0.5, weight_decay=0.1, **NO_WARM_UP)
    optimizer = make_optimizer(fit, 1, model)
    for weight in model.trainable_variables:
        weight.assign(tf.ones_like(weight))
    still = [tf.zeros_like(weight) for weight in model.trainable_variables]
    optimizer.apply_gradients(zip(still, model.trainable_variables, strict=True))
    kernel, *others = model.get_weights()[:4]
    assert kernel == pytest.approx(0.95)
    assert [weight.tolist() for weight in others] == [[1.0, 1.0]] * 3


def test_sgd_has_the_papers_momentum():
    fit = {"optimizer": "sgd", "momentum": 0.99, "clip_norm": 1.0}
    # A slope of 1 (clipped) twice: a step of 1, then one of 1 + 0.99.
    assert kernel_after(2, 100.0, **fit, **NO_WARM_UP) == pytest.approx(2.99)


def test_rmsprop_has_its_momentum():
    optimizer = make_optimizer(FitConfig(optimizer="rmsprop"), 1, line())
    assert optimizer.momentum == 0.9


@pytest.mark.parametrize(
    ("wanted", "clip_norm", "kernel"),
    [(4.0, 1.0, 1.0), (0.2, 1.0, 0.4), (4.0, 0.0, 8.0)],
)
def test_a_gradient_is_shortened_to_the_clip_norm(wanted, clip_norm, kernel):
    fit = {"optimizer": "sgd", "clip_norm": clip_norm}
    assert kernel_after(1, wanted, **fit, **NO_WARM_UP) == pytest.approx(kernel)


def test_a_gradient_is_clipped_after_the_loss_scale_is_taken_out(half_precision):
    # Scaled by 32,768 the slope of 0.4 would be clipped, and the kernel hardly move.
    kernel = kernel_after(1, 0.2, optimizer="sgd", **NO_WARM_UP)
    assert kernel == pytest.approx(0.4, rel=1e-3)


@pytest.mark.parametrize("name", ["adamw", "rmsprop", "sgd"])
def test_an_optimizer_is_made_again_from_its_config(name):
    optimizer = make_optimizer(FitConfig(optimizer=name), 10, line())
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is type(optimizer)
    assert learning_rate(again) == learning_rate(optimizer)


def train_on_two_devices(policy, images, parts=2):
    """Returns a line's kernel and bias after 3 steps with each optimizer."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    devices = [tf.config.LogicalDeviceConfiguration()] * parts
    tf.config.set_logical_device_configuration(cpu, devices)
    keras.mixed_precision.set_global_policy(policy)
    strategy = tf.distribute.MirroredStrategy(
        [f"CPU:{part}" for part in range(parts)],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )
    data = tf.data.Dataset.from_tensors((np.float32(images), np.zeros((4, 1))))
    found = []
    for name in ("adamw", "sgd"):
        with strategy.scope():
            model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
            model.set_weights([np.ones((1, 1)), np.zeros(1)])
            fit = FitConfig(optimizer=name, learning_rate=0.1, clip_norm=0.5)
            optimizer = make_optimizer(fit, 3, model)
            model.compile(optimizer, "mse", jit_compile=False)
        model.fit(data.repeat(3), shuffle=False, verbose=0)
        found += [float(weight.item()) for weight in model.get_weights()]
    return found


def in_a_process_of_its_own(*arguments):
    # The CPU is split into devices before TensorFlow starts, or never.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(train_on_two_devices, arguments)


@pytest.mark.slow
def test_two_devices_clip_as_one_does():
    # The gradient of the second device's half is far the longer.
    images = [[1], [-1], [9], [5]]
    two, one = (in_a_process_of_its_own("float32", images, parts) for parts in (2, 1))
    assert two == pytest.approx(one, rel=1e-5)


@pytest.mark.slow
def test_a_step_is_skipped_if_the_second_device_alone_overflows():
    # float16 ends at 65,504.
    found = in_a_process_of_its_own("mixed_float16", [[1], [1], [1e5], [1e5]])
    assert found == [1.0, 0.0, 1.0, 0.0]


def test_adamw_moves_weights_as_that_of_keras():
    rng = np.random.default_rng(0)
    start = [rng.normal(size=shape).astype("float32") for shape in [(3, 4), (4,)]]
    ends = []
    for kind in (AdamW, keras.optimizers.AdamW):
        optimizer = kind(learning_rate=0.1, weight_decay=0.01, global_clipnorm=1.0)
        layer = keras.layers.Dense(4)
        layer.build((None, 3))
        layer.set_weights(start)
        optimizer.build(layer.trainable_variables)
        grads = np.random.default_rng(1)
        for _ in range(5):
            step = [tf.constant(grads.normal(size=w.shape), tf.float32) for w in start]
            optimizer.apply_gradients(zip(step, layer.trainable_variables, strict=True))
        ends.append(layer.get_weights())
    for ours, theirs in zip(*ends, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
