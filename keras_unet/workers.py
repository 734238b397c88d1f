"""What Keras 3 lacks for ``fit`` under ``MultiWorkerMirroredStrategy``.

Read in Keras 3.15.1; Keras 2.15 needs none of it. A release that reduces scalars over
workers and builds metrics from sharded batches by itself makes this file empty.
"""

from __future__ import annotations

import importlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf


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


def blank_batch(size: int, height: int, width: int, channels: int) -> Any:
    """Returns black images (b, h, w, channels) and their empty masks."""
    return (
        np.zeros((size, height, width, channels), "uint8"),
        np.zeros((size, height, width, 1), "uint8"),
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
