import numpy as np
import pytest
import tensorflow as tf

from keras_unet import devices
from keras_unet.config import Config, FitConfig, UNetConfig
from keras_unet.fit import compile_network

needs_gpu = pytest.mark.skipif(
    not tf.config.list_physical_devices("GPU"), reason="this machine has no GPU"
)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_a_precision_that_is_asked_for_is_taken(precision):
    assert devices.use(FitConfig(precision=precision)).precision == precision


def test_without_a_gpu_no_float16_and_no_xla():
    if tf.config.list_logical_devices("GPU"):
        pytest.skip("this machine has a GPU")
    device = devices.use(FitConfig())
    assert device.precision in ("float32", "mixed_bfloat16")
    assert not device.xla


def test_a_deterministic_run_on_a_cpu_is_one_of_float32():
    if tf.config.list_logical_devices("GPU"):
        pytest.skip("this machine has a GPU")
    assert devices.use(FitConfig(deterministic=True)).precision == "float32"


@pytest.mark.parametrize(
    ("build", "compiles"),
    [
        ({"is_cuda_build": True, "is_rocm_build": False}, True),
        ({"is_cuda_build": False, "is_rocm_build": True}, True),
        ({"is_cuda_build": False, "is_rocm_build": False}, False),
        ({}, False),
    ],
)
def test_xla_is_for_gpus_of_cuda_and_rocm(build, compiles):
    assert devices.compiles_for_gpus(build) is compiles


def test_xla_can_be_asked_for():
    assert devices.use(FitConfig(xla="on")).xla


def test_one_process_has_one_replica():
    assert devices.use(FitConfig()).replicas == 1


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_the_loss_of_a_mixed_precision_step_is_that_of_float32(precision):
    images = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype("float32")
    masks = (images[..., :1] > 128).astype("uint8")
    losses = []
    for policy in ("float32", precision):
        config = Config(
            model=UNetConfig(filters=4, depth=2, dropout=0.0),
            fit=FitConfig(precision=policy, epochs=1),
        )
        network = compile_network(config, 1, devices.use(config.fit))
        losses.append(network.evaluate(images, masks, verbose=0, return_dict=True))
    assert losses[1]["loss"] == pytest.approx(losses[0]["loss"], abs=0.02)


@pytest.mark.gpu
@needs_gpu
def test_on_a_gpu_float16_and_xla_learn():
    config = Config(
        model=UNetConfig(filters=16, depth=2, dropout=0.0, normalization="batch"),
        fit=FitConfig(epochs=1),
    )
    device = devices.use(config.fit)
    assert (device.precision, device.xla) == ("mixed_float16", True)
    network = compile_network(config, 60, device)
    images = np.random.default_rng(0).uniform(0, 255, (4, 64, 64, 3)).astype("float32")
    masks = (images[..., :1] > 128).astype("uint8")
    first, *_, last = [network.train_on_batch(images, masks)[0] for _ in range(60)]
    assert last < 0.7 * first
