"""What happens beside ``model.fit``: epochs told, images scored, trouble stopped."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_unet.config import Config, FitConfig
from keras_unet.console import Say
from keras_unet.data.pieces import middle
from keras_unet.data.resize import Strips
from keras_unet.errors import BadData, Terminated
from keras_unet.model.losses import SegmentationLoss
from keras_unet.model.metrics import confusion_of, segmentation_metrics
from keras_unet.model.unet import class_logits, most_probable, to_probability
from keras_unet.prediction.segmenter import MOST_PIXELS
from keras_unet.prediction.tiles import Tiler, tilings
from keras_unet.training.checkpoint import CURES, Logs, Recorder, TrainingProgress
from keras_unet.training.logs import Trackers, draw_strip
from keras_unet.types import Image, Mask, Probability, Tensor


class StopOnNonFinite(keras.callbacks.Callback):
    """Ends the training at the step whose loss is no number.

    It stands before the recorder, which must not save such a state.

    Args:
        progress: where the training stands.
        files_of_step: names the image files of a step.
    """

    def __init__(
        self, progress: TrainingProgress, files_of_step: Callable[[int], list[Path]]
    ) -> None:
        """Keeps the arguments."""
        super().__init__()
        self.progress, self.files_of_step = progress, files_of_step

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Raises BadData when the running loss is NaN or infinite."""
        loss = float((logs or {})["loss"])
        if math.isfinite(loss):
            return
        step = self.progress.step
        files = ", ".join(map(str, self.files_of_step(step)))
        raise BadData(
            f"the loss became {loss} at step {step + 1}, with the images {files}. "
            + CURES
        )


class StopOnInterrupt(keras.callbacks.Callback):
    """Takes Ctrl-C and SIGTERM over within a ``with`` block.

    A second Ctrl-C does not wait. A second SIGTERM does: some senders send two.

    Args:
        recorder: that saves the state.
        saves: whether a state within an epoch can be saved; several workers could do
            so only together.
        message: what to tell the user, such as the command that resumes.
    """

    def __init__(self, recorder: Recorder, saves: bool, message: str) -> None:
        """Keeps the arguments."""
        super().__init__()
        self.recorder, self.saves, self.message = recorder, saves, message
        self.asked: type[KeyboardInterrupt] | None = None
        self.before: dict[int, Any] = {}

    def __enter__(self) -> StopOnInterrupt:
        """Takes over the signals, where that is allowed: in the main thread."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        """Gives the signals back, whatever ended the block."""
        for number in [*self.before]:
            self._give_back(number)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Saves and stops when asked to; after an epoch's last step, in validation."""
        if self.recorder.is_within(batch):
            self._stop_if_asked()

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Saves and stops when asked to; the validation begins anew afterwards."""
        self._stop_if_asked()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Stops when asked to; the recorder has saved the epoch."""
        if self.asked:
            raise self.asked(self.message)

    def _stop_if_asked(self) -> None:
        if self.asked and self.saves:
            self.recorder.save()
        if self.asked:
            raise self.asked(self.message)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = Terminated if number == signal.SIGTERM else KeyboardInterrupt
        if number == signal.SIGINT:
            self._give_back(number)

    def _give_back(self, number: int) -> None:
        signal.signal(number, self.before.pop(number) or signal.SIG_DFL)


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
    """Says when only one class is predicted, and draws the strip for the trackers.

    It shows what validation scores: behind ``WeightAverage`` in the list of callbacks,
    the averaged weights.

    Args:
        images: uint8 (b, h, w, c).
        masks: class ids (b, h, w), of the images' middle if they are smaller.
        progress: where the training stands; its last row is logged.
        trackers: what --log names, or None.
        say: prints a line.
    """

    def __init__(
        self,
        images: Image,
        masks: Mask,
        progress: TrainingProgress,
        trackers: Trackers | None,
        say: Say,
    ) -> None:
        """Keeps the arguments."""
        super().__init__()
        self.images, self.masks = images, masks
        self.progress, self.trackers, self.say = progress, trackers, say
        self.predictions = np.zeros_like(masks)

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
        if self.trackers:
            images = middle(self.images, self.masks.shape[1:])
            strip = draw_strip(images, self.masks, predictions)
            self.trackers.log(epoch + 1, self.progress.history[-1], strip)


class WholeImages(keras.callbacks.Callback):
    """Scores whole images, put together from tiles, at the end of each epoch.

    It stands before all others, and does for them what ``model.evaluate`` would.

    Args:
        batches: of one whole image and mask each.
        config: of a run that sees pieces.
        beside: the callbacks behind this one.
    """

    def __init__(
        self,
        batches: tf.data.Dataset,
        config: Config,
        beside: Sequence[keras.callbacks.Callback],
    ) -> None:
        """Keeps the arguments."""
        super().__init__()
        self.batches, self.beside = batches, beside
        classes = config.model.classes
        self.loss = SegmentationLoss(config.loss, classes)
        self.metrics = segmentation_metrics(classes, config.data.class_names)
        self.tiler = Tiler(self._predict, classes, *tilings(config))

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Adds the scores of validation to those of the epoch."""
        for callback in self.beside:
            callback.on_test_begin()
        for metric in self.metrics:
            metric.reset_state()
        losses = []
        for number, (image, mask) in enumerate(self.batches):
            losses.append(self._score(image[0].numpy(), mask[0].numpy()))
            for callback in self.beside:
                callback.on_test_batch_end(number)
        for callback in self.beside:
            callback.on_test_end()
        scores = {metric.name: float(metric.result()) for metric in self.metrics}
        scores["loss"] = float(np.mean(losses))
        if logs is not None:
            logs |= {f"val_{name}": value for name, value in scores.items()}

    def _score(self, image: Image, mask: Image) -> float:
        """Returns the loss of an image; of a large one the mean over its bands."""
        counts, losses = 0, 0.0
        for rows, probability in _bands(self.tiler.strips(image)):
            logits = tf.constant(_logits(probability, self.loss.classes)[None])
            truth = tf.constant(mask[None, rows])
            counts += confusion_of(truth, logits)
            losses += float(self.loss(truth, logits)) * len(probability)
        for metric in self.metrics:
            metric.add(counts)
        return losses / len(mask)

    def _predict(self, tiles: Tensor) -> Tensor:
        return to_probability(self.model(tiles, training=False))


def _bands(strips: Strips) -> Strips:
    """Yields the strips of an image joined up to a number of pixels: mostly to one."""
    top, parts, pixels = 0, list[Probability](), 0
    for rows, probability in strips:
        parts.append(probability)
        pixels += probability.shape[0] * probability.shape[1]
        if pixels > MOST_PIXELS:
            yield slice(top, rows.stop), np.concatenate(parts)
            top, parts, pixels = rows.stop, [], 0
    if parts:
        yield slice(top, None), np.concatenate(parts)


def _logits(probability: Probability, classes: int) -> Probability:
    """Returns logits (h, w, classes) whose probability it is."""
    logs = np.log(np.maximum(probability, 1e-7))
    return logs if classes > 1 else logs[..., 1:] - logs[..., :1]
