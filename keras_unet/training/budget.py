"""A training in a given time: images of the size that fits, and a rate by the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_unet.config import Config
from keras_unet.console import Say, silent
from keras_unet.data.pairs import Split
from keras_unet.data.pieces import seen_sizes
from keras_unet.data.records import read_record
from keras_unet.errors import BadData
from keras_unet.training.checkpoint import TrainingProgress
from keras_unet.training.devices import Device, blank_batch
from keras_unet.training.optimizers import rate_after

_STARTING = 20.0
"""Seconds that a training takes before its first step is done."""
_VALIDATION = 1 / 3
"""What an image costs that is scored, beside one that is trained on."""


class Budget(keras.callbacks.Callback):
    """Sets the learning rate by the time that has gone, and ends the training with it.

    It stands before the recorder, which saves the seconds. An epoch that it cuts off
    counts as a whole one: it is validated, and nothing goes on after it.

    Args:
        config: of a run with --minutes.
        progress: where the training stands; its seconds are kept up to date.
        steps: training steps per epoch.
        images: that are trained on at a time, and scored in a validation.
        began: ``time.monotonic()`` when the command was started.
    """

    def __init__(
        self,
        config: Config,
        progress: TrainingProgress,
        steps: int,
        images: tuple[int, int],
        began: float,
    ) -> None:
        """Starts the clock."""
        super().__init__()
        self.fit, self.progress, self.steps = config.fit, progress, steps
        size, count = images
        # In training steps.
        self.validation = _VALIDATION * count / size
        self.began = began - progress.seconds
        self.total = 60 * config.fit.minutes
        self.step_began = self.test_began = 0.0
        # Not that of the first step of all, which compiles.
        self.step_seconds: float | None = None
        self.validation_seconds: float | None = None
        self.is_compiled = False

    @property
    def reserve(self) -> float:
        """Seconds kept for the last validation."""
        if self.validation_seconds is None:
            return self.validation * (self.step_seconds or 0.0)
        return self.validation_seconds

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Sets the rate of the step."""
        self.step_began = time.monotonic()
        done = self.step_began + (self.step_seconds or 0.0) - self.began
        share = min(1.0, done / max(self.total - self.reserve, 1e-9))
        # A loss scale optimizer has the one that has the rate.
        inner = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        inner.learning_rate = rate_after(share, self.fit)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Ends the training where another step would leave no time to validate."""
        now = time.monotonic()
        self.progress.seconds = now - self.began
        # An epoch that ends here is validated, and then there is another validation.
        ends = (self.progress.step + 1) % self.steps == 0
        needed = (self.step_seconds or 0.0) + self.reserve * (1 + ends)
        if self.progress.seconds + needed > self.total:
            self._stop()
            # The recorder adds the step that was just done.
            self.progress.step = (self.progress.epoch + 1) * self.steps - 1
        took = now - self.step_began
        if self.is_compiled:
            # The shortest: a step that waited for the disk says nothing of the next.
            self.step_seconds = min(self.step_seconds or took, took)
        self.is_compiled = True

    def on_test_begin(self, logs: Any = None) -> None:
        """Starts to time a validation."""
        self.test_began = time.monotonic()

    def on_test_end(self, logs: Any = None) -> None:
        """Keeps what a validation takes; ends a training that has no time for more."""
        now = time.monotonic()
        self.validation_seconds = now - self.test_began
        if self.progress.seconds < self.total:
            self.progress.seconds = now - self.began
            needed = (self.step_seconds or 0.0) + self.reserve
            if self.progress.seconds + needed > self.total:
                self._stop()

    def _stop(self) -> None:
        self.model.stop_training = True
        self.progress.seconds = self.total


def with_fitting_size(
    compiled: Callable[[Config, int, Device], keras.Model],
    config: Config,
    split: Split,
    device: Device,
    began: float,
    say: Say = silent,
) -> Config:
    """Returns the config, its images of the size that --minutes allow.

    Args:
        compiled: makes the network, some of whose steps are timed at the size that
            the config has.
        config: of a run with --minutes, of whole images.
        split: its pairs.
        device: what to compute with.
        began: ``time.monotonic()`` from which the minutes count.
        say: is told of records that are smaller; they are not enlarged.

    Raises:
        BadData: images of --image-size are too large for the device.
    """
    network, replicas = compiled(config, 1, device), device.replicas
    seconds = [_seconds_of_step(network, config, replicas) for _ in range(5)]
    left = began + 60 * config.fit.minutes - time.monotonic()
    size = _fitting_size(config, split, min(seconds), left, say)
    found = replace(config, data=replace(config.data, image_size=size))
    try:
        _seconds_of_step(network, found, replicas)
    except BadData:
        return config
    return found


def _fitting_size(
    config: Config, split: Split, step: float, left: float, say: Say
) -> tuple[int, int]:
    record = split.train[0].record
    if not record:
        own = seen_sizes(split.train, replace(config.data, resolution=1.0))
        return fitting_size(config, split, step, left, np.median(own, 0))
    written = np.array(read_record(record, 3)[0].shape[:2], np.float64)
    size = fitting_size(config, split, step, left, written)
    height, width = fitting_size(config, split, step, left, np.full(2, np.inf))
    if (height, width) != size:
        say(
            f"{record.file.parent}: --minutes have the time for images of "
            f"{height}×{width}, and the records hold fewer pixels: train on the images "
            f"themselves, or write records with --image-size {height} {width}"
        )
    return size


def _seconds_of_step(network: keras.Model, config: Config, replicas: int) -> float:
    batch = blank_batch(config.fit.batch_size // replicas, config)
    start = time.monotonic()
    try:
        network.train_on_batch(*batch)
    except tf.errors.ResourceExhaustedError as error:
        raise BadData(out_of_memory(config)) from error
    return time.monotonic() - start


def out_of_memory(config: Config) -> str:
    """Returns what to say where the device has too little memory for a step."""
    batch, (height, width) = config.fit.batch_size, config.data.network_size
    smaller = f"--batch-size {batch // 2}, or " if batch > 1 else ""
    flag = config.data.size_flag
    return (
        f"the device has too little memory for --batch-size {batch} at {flag} "
        f"{height} {width}. Try {smaller}{flag} {height // 2} {width // 2}."
    )


def fitting_size(
    config: Config, split: Split, step: float, left: float, own: npt.NDArray[np.float64]
) -> tuple[int, int]:
    """Returns the size, of --image-size's shape, on which to spend the time.

    What goes beyond --epochs epochs at --image-size buys pixels and epochs alike: in
    four times the time there are twice as many of each. (Pixels alone do not make a
    mask better: too few steps are left to learn them.) It is at least half of
    --image-size, and no larger than the images themselves.

    Args:
        config: of the run, with the size at which a step was timed.
        split: its pairs.
        step: seconds of a step; they grow with the number of pixels.
        left: seconds of the training.
        own: the images' height and width.
    """
    images = len(split.train) + _VALIDATION * len(split.validation)
    needed = config.fit.epochs * images / config.fit.batch_size * step
    wanted = (max(left - _STARTING, 1.0) / needed) ** 0.25
    height, width = config.data.image_size
    largest = max(min(own[0] / height, own[1] / width), 1.0)
    scale = min(max(wanted, 0.5), largest)
    cell = 2**config.model.halvings
    rounded = [max(1, round(side * scale / cell)) * cell for side in (height, width)]
    return rounded[0], rounded[1]
