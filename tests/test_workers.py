import csv
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_run import write_pairs

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
        "--image-size 16 24 --filters 2 --depth 2 --normalization batch --dropout 0 "
        "--epochs 2 --batch-size 4 --precision float32 --optimizer sgd "
        "--learning-rate 0.05 --checkpoint-minutes 99 --formats"
    )
    words = ["--data", str(data), "--output", str(output), *flags.split(), *more]
    return [sys.executable, "-c", TRAIN, str(cpus), *words]


def environment(**more):
    return {**os.environ, "PYTHONPATH": str(Path.cwd()), **more}


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
        yield subprocess.Popen(
            command(data, output, 1, *more),
            env=environment(TF_CONFIG=json.dumps(cluster)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs") / "data"
    write_pairs(folder, 20)
    return folder


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory):
    """Losses and scores of a training on one device."""
    run = tmp_path_factory.mktemp("alone") / "run"
    subprocess.run(command(data, run), env=environment(), check=True)
    return losses(run)


@pytest.mark.slow
def test_two_devices_train_as_one(data, alone, tmp_path):
    run = tmp_path / "run"
    subprocess.run(command(data, run, 2), env=environment(), check=True)
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
