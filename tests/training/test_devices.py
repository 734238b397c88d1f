import csv
import json
import os
import socket
import time

import forked
import numpy as np
import pytest
import tensorflow as tf
from tiny_run import write_pairs

from keras_unet.config import Config, FitConfig, UNetConfig
from keras_unet.training import devices
from keras_unet.training.fit import compile_network

needs_gpu = pytest.mark.skipif(
    not tf.config.list_physical_devices("GPU"), reason="this machine has no GPU"
)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_a_precision_that_is_asked_for_is_taken(precision):
    assert devices.use_device(FitConfig(precision=precision)).precision == precision


def test_without_a_gpu_no_float16_and_no_xla():
    if tf.config.list_logical_devices("GPU"):
        pytest.skip("this machine has a GPU")
    device = devices.use_device(FitConfig())
    assert device.precision in ("float32", "mixed_bfloat16")
    assert not device.xla


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="cores cannot be set here"
)
def test_the_cores_are_those_that_the_process_may_use():
    if tf.config.list_logical_devices("GPU"):
        pytest.skip("this machine has a GPU")
    given = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(given)})
        assert devices.use_device(FitConfig()).name == "CPU, 1 core"
    finally:
        os.sched_setaffinity(0, given)


def test_a_deterministic_run_on_a_cpu_is_one_of_float32():
    if tf.config.list_logical_devices("GPU"):
        pytest.skip("this machine has a GPU")
    assert devices.use_device(FitConfig(deterministic=True)).precision == "float32"


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
    assert devices.use_device(FitConfig(xla="on")).xla


def test_one_process_has_one_replica():
    assert devices.use_device(FitConfig()).replicas == 1


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_the_loss_of_a_mixed_precision_step_is_that_of_float32(precision):
    images = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype("float32")
    masks = (images[..., :1] > 128).astype("uint8")
    losses = []
    for policy in ("float32", precision):
        config = Config(
            model=UNetConfig(filters=4, depth=1, dropout=0.0),
            fit=FitConfig(precision=policy, epochs=1),
        )
        network = compile_network(config, 1, devices.use_device(config.fit))
        losses.append(network.evaluate(images, masks, verbose=0, return_dict=True))
    assert losses[1]["loss"] == pytest.approx(losses[0]["loss"], abs=0.02)


@pytest.mark.gpu
@needs_gpu
def test_on_a_gpu_float16_and_xla_learn():
    config = Config(
        model=UNetConfig(filters=16, depth=2, dropout=0.0, normalization="batch"),
        fit=FitConfig(epochs=1),
    )
    device = devices.use_device(config.fit)
    assert (device.precision, device.xla) == ("mixed_float16", True)
    network = compile_network(config, 60, device)
    images = np.random.default_rng(0).uniform(0, 255, (4, 64, 64, 3)).astype("float32")
    masks = (images[..., :1] > 128).astype("uint8")
    first, *_, last = [network.train_on_batch(images, masks)[0] for _ in range(60)]
    assert last < 0.7 * first


TRAIN = """
import sys
import time
from pathlib import Path
import tensorflow as tf
cpus = int(sys.argv.pop(1))
if cpus > 1:
    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = [tf.config.LogicalDeviceConfiguration()] * cpus
    tf.config.set_logical_device_configuration(cpu, logical)
from keras_unet.train import main
sys.exit(main())
"""


def command(data, output, cpus=1, *more):
    flags = (
        "--image-size 16 24 --filters 2 --depth 1 --normalization batch --dropout 0 "
        "--epochs 2 --batch-size 4 --precision float32 --optimizer sgd "
        "--learning-rate 0.05 --checkpoint-minutes 99 --formats"
    )
    words = ["--data", str(data), "--output", str(output), *flags.split(), *more]
    return ["-c", TRAIN, str(cpus), *words]


def losses(run):
    with (run / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = ("loss", "val_loss", "dice", "val_dice")
    return [float(row[name]) for row in rows for name in names]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start_workers(data, output, *more):
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    for index in range(2):
        task = {"type": "worker", "index": index}
        cluster = {"cluster": {"worker": addresses}, "task": task}
        environment = {**os.environ, "TF_CONFIG": json.dumps(cluster)}
        yield forked.Popen(command(data, output, 1, *more), environment)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs") / "data"
    write_pairs(folder, 20)
    return folder


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory):
    """Losses and scores of a training on one device."""
    run = tmp_path_factory.mktemp("alone") / "run"
    status, said = forked.run(command(data, run))
    assert status == 0, said
    return losses(run)


@pytest.mark.slow
def test_two_devices_train_as_one(data, alone, tmp_path):
    run = tmp_path / "run"
    status, said = forked.run(command(data, run, 2))
    assert status == 0, said
    assert losses(run) == pytest.approx(alone, abs=1e-4)


@pytest.mark.slow
def test_two_workers_train_as_one(data, alone, tmp_path):
    run = tmp_path / "run"
    workers = list(start_workers(data, run))
    said = [worker.communicate(timeout=300)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    assert losses(run) == pytest.approx(alone, abs=1e-4)


@pytest.mark.slow
def test_when_a_worker_dies_the_other_stops_and_the_run_resumes(data, tmp_path):
    run = tmp_path / "run"
    chief, other = start_workers(data, run, "--epochs", "4000")
    until = time.monotonic() + 200
    while not (run / "history.csv").exists() and time.monotonic() < until:
        time.sleep(0.1)
    other.kill()
    other.communicate()
    said = chief.communicate(timeout=120)[0]
    assert chief.returncode == 1, said
    assert "another worker stopped answering" in said
    done = len(losses(run)) // 4
    assert "--resume" in said
    workers = list(start_workers(data, run, "--resume", "--epochs", "4001"))
    until = time.monotonic() + 200
    while len(losses(run)) // 4 <= done and time.monotonic() < until:
        time.sleep(0.1)
    for worker in workers:
        worker.kill()
        worker.communicate()
    assert len(losses(run)) // 4 > done
