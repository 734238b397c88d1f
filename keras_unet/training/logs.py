"""What a training says and draws, from before its first step to after its last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_unet.config import Config, FitConfig
from keras_unet.console import Say
from keras_unet.data.pair_cache import cache_line
from keras_unet.data.pairs import Split, steps_per_epoch
from keras_unet.data.pieces import middle, seen_sizes
from keras_unet.data.warp import has_xla
from keras_unet.figures.paint import as_colour, paint_errors, paint_mask
from keras_unet.model.head import class_logits, most_probable
from keras_unet.run_folder import RunFolder
from keras_unet.training.callbacks import Logs
from keras_unet.training.checkpoint import TrainingProgress
from keras_unet.training.devices import Device
from keras_unet.types import Image, Mask

_PARTS = ("train", "validation", "test")


def describe(
    folder: RunFolder,
    config: Config,
    split: Split,
    device: Device,
    network: keras.Model,
    say: Say,
) -> None:
    """Says what is about to happen: device, network, data, steps and where it goes."""
    height, width = config.data.network_size
    steps = steps_per_epoch(split.train, config)
    sizes = seen_sizes(split.train, config.data)
    shown = "pieces" if config.data.tiles else "images"
    for title, text in [
        ("device", device.name),
        ("precision", f"{device.precision} ({device.precision_reason})"),
        ("XLA", f"{'on' if device.xla else 'off'} ({device.xla_reason})"),
        ("network", f"{network.count_params():,} parameters"),
        ("images", ", ".join(_count(split, part) for part in _PARTS)),
        (
            "training",
            f"{_length(config.fit)} of {steps} steps of "
            f"{config.fit.batch_size} {shown}, {height}×{width}",
        ),
        ("cache", cache_line(sizes, config)),
        ("run folder", str(folder.path)),
    ]:
        say(f"{title:>10}  {text}")
    if not has_xla():
        say(f"{'images':>10}  change slowly: this TensorFlow has no XLA for the CPU")
    if device.replicas > 1:
        say(f"{'replicas':>10}  {device.replicas}, which share each batch")
    if len({pair.group for pair in split.validation}) == 1:
        say("warning: validation has a single group; its scores may not carry over")


def summarise(folder: RunFolder, say: Say) -> None:
    """Says what was written where, and how to use it."""
    say("")
    for name, use in [
        ("metrics.json", "scores at the images' own size"),
        ("per_image.csv", "the same, image by image"),
        ("figures", "look at predictions.png first"),
        ("model.weights.h5", "the best weights"),
        ("saved_model", "base path for TensorFlow Serving"),
        ("serving", "how to start it, and a client"),
        ("tflite", "files for phones"),
        ("web", "a page that segments in the browser: python -m http.server in it"),
        ("export_report.json", "how far each export is from the Keras model"),
    ]:
        if (folder.path / name).exists():
            say(f"{folder.path / name!s:<36}  {use}")
    say("")
    say("segment images:    " + _command("predict", folder, "IMAGE --output DIR"))
    say("all exports:       " + _command("export", folder, ""))
    say("score other data:  " + _command("evaluate", folder, "--data DIR"))


def _length(fit: FitConfig) -> str:
    if fit.minutes:
        return f"{fit.minutes:g} minutes, in epochs"
    return f"{fit.epochs} epochs"


def _count(split: Split, part: str) -> str:
    pairs = getattr(split, part)
    groups = len({pair.group for pair in pairs})
    return f"{len(pairs)} {part} ({groups} groups)"


def _command(name: str, folder: RunFolder, rest: str) -> str:
    return f"python -m keras_unet.{name} {folder.path} {rest}".rstrip()


class EpochLines(keras.callbacks.Callback):
    """Says one line per epoch: scores, what is best so far, time left.

    Args:
        fit: how long the whole run is.
        progress: where the training stands.
        say: prints a line.
    """

    def __init__(self, fit: FitConfig, progress: TrainingProgress, say: Say) -> None:
        """Keeps the arguments."""
        super().__init__()
        self.fit, self.progress, self.say = fit, progress, say
        self.first_loss = math.inf

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Says the epoch's line, and a second one when something looks wrong."""
        row = self.progress.history[-1]
        number, left = f"{epoch + 1}", 60 * self.fit.minutes - self.progress.seconds
        if not self.fit.minutes:
            number = f"{epoch + 1}/{self.fit.epochs}"
            left = row["seconds"] * (self.fit.epochs - epoch - 1)
        best = ", best so far" if self.progress.best_epoch == epoch + 1 else ""
        self.say(
            f"epoch {number}: loss {row['loss']:.4f}, "
            f"dice {row['dice']:.4f}; validation loss {row['val_loss']:.4f}, "
            f"dice {row['val_dice']:.4f}{best}; "
            f"{row['seconds']:.0f} s, about {duration(left)} left"
        )
        first = min(self.first_loss, row["loss"])
        if row["loss"] > 2 * first:
            self.say(
                f"warning: the loss has grown from {first:.3g} to {row['loss']:.3g}; "
                "the learning rate may be too high (--learning-rate)"
            )
        self.first_loss = first


def duration(seconds: float) -> str:
    """Returns a time as people say it: 40 s, 3 min, 2 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


class ValidationStrip(keras.callbacks.Callback):
    """Says when only one class is predicted, and draws the strip for TensorBoard.

    It shows what validation scores: behind ``WeightAverage`` in the list of callbacks,
    the averaged weights.

    Args:
        images: uint8 (b, h, w, c).
        masks: class ids (b, h, w), of the images' middle if they are smaller.
        progress: where the training stands; its last row is drawn as scalars.
        logs: TensorBoard's folder, or None where the extra is not installed.
        say: prints a line.
    """

    def __init__(
        self,
        images: Image,
        masks: Mask,
        progress: TrainingProgress,
        logs: Path | None,
        say: Say,
    ) -> None:
        """Keeps the arguments."""
        super().__init__()
        self.images, self.masks = images, masks
        self.progress, self.say = progress, say
        self.predictions = np.zeros_like(masks)
        # Makes the folder only with the first thing written.
        self.writer = tf.summary.create_file_writer(str(logs)) if logs else None

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Predicts the strip with the weights that are about to be scored."""
        # Not ``predict``, which would spread the strip over the workers.
        logits = self.model(self.images, training=False)
        self.predictions = np.asarray(most_probable(class_logits(logits)))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Tells what the strip looks like."""
        predictions = self.predictions
        if len(np.unique(predictions)) == 1 < len(np.unique(self.masks)):
            self.say(
                f"warning: every pixel of {len(self.images)} validation images is "
                f"predicted as class {predictions.flat[0]}; normal in a first epoch, "
                "later a sign of masks that do not fit (keras_unet.data check) or of "
                "too high a --learning-rate"
            )
        if self.writer:
            self._write(self.writer, epoch + 1, predictions)

    def _write(self, writer: Any, epoch: int, predictions: Mask) -> None:
        with writer.as_default(step=epoch):
            for name, value in self.progress.history[-1].items():
                tf.summary.scalar(name, value)
            images = middle(self.images, self.masks.shape[1:])
            strip = draw_strip(images, self.masks, predictions)
            tf.summary.image("truth, prediction, error", strip[np.newaxis])
        writer.flush()


def draw_strip(
    images: Sequence[Image] | Image, masks: Mask, predictions: Mask
) -> Image:
    """Returns one image: a row an image, in it truth, prediction and error."""
    rows = [
        np.hstack(
            [
                as_colour(paint_mask(image, mask)),
                as_colour(paint_mask(image, prediction)),
                paint_errors(image, mask, prediction),
            ]
        )
        for image, mask, prediction in zip(images, masks, predictions, strict=True)
    ]
    return np.vstack(rows)
