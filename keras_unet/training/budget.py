"""A training in a given time: images of the size that fits, and a rate by the clock."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_unet.config import Config
from keras_unet.data.pairs import Split
from keras_unet.data.pieces import seen_sizes
from keras_unet.training.checkpoint import TrainingProgress
from keras_unet.training.devices import blank_batch
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
        validation: what the first validation will take, in training steps.
        began: ``time.monotonic()`` when the command was started.
    """

    def __init__(
        self,
        config: Config,
        progress: TrainingProgress,
        steps: int,
        validation: float,
        began: float,
    ) -> None:
        """Starts the clock."""
        super().__init__()
        self.fit, self.progress, self.steps = config.fit, progress, steps
        self.validation = validation
        self.began = began - progress.seconds
        self.total = 60 * config.fit.minutes
        self.step_began = self.step_seconds = 0.0
        self.validation_seconds: float | None = None
        self.is_compiled = False

    @property
    def reserve(self) -> float:
        """Seconds kept for the last validation."""
        if self.validation_seconds is None:
            return self.validation * self.step_seconds
        return self.validation_seconds

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Sets the rate of the step."""
        self.step_began = time.monotonic()
        done = (self.step_began + self.step_seconds - self.began) / self.total
        share = min(1.0, done / max(1.0 - self.reserve / self.total, 1e-9))
        # A loss scale optimizer has the one that has the rate.
        inner = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        inner.learning_rate = rate_after(share, self.fit)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Ends the training where another step would leave no time to validate."""
        now = time.monotonic()
        # The first step of all is the one that compiles.
        self.step_seconds = (now - self.step_began) * self.is_compiled
        self.is_compiled = True
        self.progress.seconds = now - self.began
        if self.progress.seconds + self.step_seconds + self.reserve > self.total:
            self.model.stop_training = True
            # The recorder adds the step that was just done.
            self.progress.step = (self.progress.epoch + 1) * self.steps - 1
            self.progress.seconds = self.total

    def on_test_begin(self, logs: Any = None) -> None:
        """Starts to time a validation."""
        self.test_began = time.monotonic()

    def on_test_end(self, logs: Any = None) -> None:
        """Keeps what a validation takes."""
        self.validation_seconds = time.monotonic() - self.test_began


def with_fitting_size(
    network: keras.Model, config: Config, split: Split, began: float
) -> Config:
    """Returns the config, its images of the size that --minutes allow.

    Where pieces are seen, nothing changes.

    Args:
        network: compiled; some of its steps are timed, at the size of the config.
        config: of a run with --minutes.
        split: its pairs.
        began: ``time.monotonic()`` from which the minutes count.
    """
    if config.data.tiles:
        return config
    batch = blank_batch(config.fit.batch_size, config)
    seconds = []
    for _ in range(5):
        start = time.monotonic()
        network.train_on_batch(*batch)
        seconds.append(time.monotonic() - start)
    own = seen_sizes(split.train, replace(config.data, resolution=1.0))
    left = began + 60 * config.fit.minutes - time.monotonic()
    size = fitting_size(config, split, min(seconds), left, np.median(own, 0))
    return replace(config, data=replace(config.data, image_size=size))


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
    epochs = config.fit.epochs * images / config.fit.batch_size * step
    wanted = (max(left - _STARTING, 1.0) / epochs) ** 0.25
    height, width = config.data.image_size
    largest = max(min(own[0] / height, own[1] / width), 1.0)
    scale = min(max(wanted, 0.5), largest)
    cell = 2 ** (config.model.depth + (config.model.stem_stride == 2))
    rounded = [max(1, round(side * scale / cell)) * cell for side in (height, width)]
    return rounded[0], rounded[1]
