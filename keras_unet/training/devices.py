"""What to compute with: number format, XLA, and how the batch is spread.

The second half is what Keras 3 lacks for ``fit`` under
``MultiWorkerMirroredStrategy`` (read in 3.15.1; Keras 2.15 needs none of it).
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_unet.config import Config, FitConfig
from keras_unet.data.pieces import cut_of
from keras_unet.training import cluster

_XLA_WHY = "on NVIDIA's and AMD's GPUs only: it slows a U-Net on CPUs"


@dataclass(frozen=True)
class Device:
    """What a run computes with, and why.

    Attributes:
        name: the hardware in words.
        precision: the Keras policy.
        precision_reason: why that one.
        xla: whether the training step is compiled.
        xla_reason: why.
        strategy: how the batch is spread over replicas.
    """

    name: str
    precision: str
    precision_reason: str
    xla: bool
    xla_reason: str
    strategy: tf.distribute.Strategy

    @property
    def replicas(self) -> int:
        """Number of devices that share a batch, over all machines."""
        return int(self.strategy.num_replicas_in_sync)


def use_device(fit: FitConfig) -> Device:
    """Sets Keras's precision policy and returns the device that training takes."""
    # A strategy over several workers must be made before any device is touched.
    strategy = _strategy()
    gpus = tf.config.list_logical_devices("GPU")
    precision, why = choose_precision(fit.precision, gpus)
    if fit.deterministic and fit.precision == "auto" and not gpus:
        # Measured with TensorFlow 2.21: bfloat16 gives other bits on every run.
        precision, why = "float32", "--deterministic, which bfloat16 on CPUs is not"
    keras.mixed_precision.set_global_policy(precision)
    if fit.deterministic:
        tf.config.experimental.enable_op_determinism()
    build = tf.sysconfig.get_build_info()
    xla, xla_why = fit.xla == "on", "--xla"
    if fit.xla == "auto":
        xla, xla_why = bool(gpus) and compiles_for_gpus(build), _XLA_WHY
    return Device(_name(gpus), precision, why, xla, xla_why, strategy)


def choose_precision(wanted: str, gpus: list[Any]) -> tuple[str, str]:
    """Returns the Keras policy that the device is fast in, and the reason."""
    if wanted != "auto":
        return wanted, "--precision"
    if gpus:
        if min(map(_compute_capability, gpus)) >= (7, 0):
            return "mixed_float16", "the GPU has tensor cores"
        return "float32", "the GPU has no tensor cores"
    fast = sorted({"avx512_bf16", "amx_bf16"} & _cpu_flags())
    if fast:
        return "mixed_bfloat16", f"the CPU has {', '.join(fast)}"
    return "float32", "the CPU has no bfloat16 arithmetic"


def _strategy() -> tf.distribute.Strategy:
    if cluster.workers() > 1:
        return tf.distribute.MultiWorkerMirroredStrategy()
    gpus = tf.config.list_logical_devices("GPU")
    if len(gpus) > 1:
        return tf.distribute.MirroredStrategy()
    cpus = tf.config.list_logical_devices("CPU")
    if not gpus and len(cpus) > 1:
        # Logical CPU devices: the default reduction crashes synchronised
        # normalisation there (TensorFlow 2.15 and 2.21).
        return tf.distribute.MirroredStrategy(
            [cpu.name for cpu in cpus],
            cross_device_ops=tf.distribute.ReductionToOneDevice(),
        )
    return tf.distribute.get_strategy()


def _compute_capability(gpu: Any) -> tuple[int, int]:
    index = int(gpu.name.rsplit(":", 1)[1])
    physical = tf.config.list_physical_devices("GPU")[index]
    details = tf.config.experimental.get_device_details(physical)
    return tuple(details.get("compute_capability", (0, 0)))


def _cpu_flags() -> set[str]:
    """Returns the CPU's flags where the system lists them (Linux), else none."""
    listing = Path("/proc/cpuinfo")
    if not listing.is_file():
        return set()
    lines = listing.read_text("utf-8", "replace").splitlines()
    return {flag for line in lines if line.startswith("flags") for flag in line.split()}


def compiles_for_gpus(build: Mapping[str, Any]) -> bool:
    """Returns whether XLA knows the kind of GPU that TensorFlow was built for.

    Args:
        build: ``tf.sysconfig.get_build_info()``. That of Apple's GPUs names none.
    """
    return bool(build.get("is_cuda_build") or build.get("is_rocm_build"))


def _name(gpus: list[Any]) -> str:
    if not gpus:
        cores = _cores()
        return f"CPU, {cores} {'core' if cores == 1 else 'cores'}"
    physical = tf.config.list_physical_devices("GPU")
    names = [
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
        for gpu in physical
    ]
    return ", ".join(f"{names.count(name)} × {name}" for name in sorted(set(names)))


def _cores() -> int:
    """Returns how many cores this process may use; where nothing says it, all."""
    # taskset, Slurm and containers may leave it some of the machine's.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def prepare(network: keras.Model, strategy: tf.distribute.Strategy, batch: Any) -> None:
    """Makes ``network.fit`` work under a strategy over several workers.

    Args:
        network: compiled under the strategy.
        strategy: any; only one over several workers is acted on.
        batch: (images, masks) of one replica's size, for the metrics' variables.
    """
    several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    if not several or not hasattr(network, "_symbolic_build"):
        return
    trainer: Any = importlib.import_module("keras.src.backend.tensorflow.trainer")
    # Keras reduces with axis=0, which scalars do not have.
    trainer.reduce_per_replica = _local_mean
    with strategy.scope():
        network._symbolic_build(data_batch=batch)
    # Keras would build from a batch that it first averages over all workers.
    network._maybe_symbolic_build = _built_already


def blank_batch(size: int, config: Config) -> Any:
    """Returns black images (b, h, w, channels) as training sees them, and masks."""
    seen = masks = config.data.network_size
    if config.data.tiles:
        cut = cut_of(config)
        seen, masks = cut.seen, cut.tile
    return (
        np.zeros((size, *seen, config.model.channels), "uint8"),
        np.zeros((size, *masks, 1), "uint8"),
    )


def _local_mean(values: Any, strategy: Any, reduction: str) -> Any:
    """Returns the mean of this worker's replicas of each value."""
    del reduction

    def mean(value: Any) -> Any:
        parts = strategy.experimental_local_results(value)
        return tf.add_n(parts) / len(parts) if len(parts) > 1 else parts[0]

    return tf.nest.map_structure(mean, values)


def _built_already(**_: Any) -> None:
    """Stands for ``_maybe_symbolic_build``."""
