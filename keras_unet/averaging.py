"""The moving average of the weights: what is scored and kept when --ema is on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf


class WeightAverage(keras.callbacks.Callback):
    """Follows the trainable weights and stands in for them while they are scored.

    Keras's optimizers can average too, but put the average into the network for good
    when ``fit`` ends, so that a training in two stretches would differ from one.

    Args:
        network: whose weights are followed.
        momentum: share of the average that each step keeps; less in the first steps,
            which start from noise.

    Attributes:
        state: the averages and the count of steps; belong into a checkpoint.
    """

    def __init__(self, network: keras.Model, momentum: float) -> None:
        """Starts the average at the weights as they are."""
        super().__init__()
        self.momentum = momentum
        self.weights = network.trainable_variables
        self.averages = [tf.Variable(w, trainable=False) for w in self.weights]
        self.steps = tf.Variable(0.0, trainable=False)
        self.state = [*self.averages, self.steps]
        self.kept: list[Any] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Moves the average towards the weights."""
        self._follow()

    def on_test_begin(self, logs: Any = None) -> None:
        """Puts the average in place of the weights."""
        self.kept = [np.array(tf.convert_to_tensor(w)) for w in self.weights]
        _assign(self.weights, self.averages)

    def on_test_end(self, logs: Any = None) -> None:
        """Puts the weights back."""
        _assign(self.weights, self.kept)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Has the network hold the average within the block."""
        self.on_test_begin()
        try:
            yield
        finally:
            self.on_test_end()

    @tf.function
    def _follow(self) -> None:
        early = (1.0 + self.steps) / (10.0 + self.steps)
        kept = tf.minimum(self.momentum, early)
        for average, weight in zip(self.averages, self.weights, strict=True):
            average.assign(kept * average + (1.0 - kept) * weight)
        self.steps.assign_add(1.0)


def _assign(targets: list[Any], values: list[Any]) -> None:
    for target, value in zip(targets, values, strict=True):
        target.assign(value)
