"""What happens beside ``model.fit``: states kept, images scored, trouble stopped."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_unet.config import Config
from keras_unet.data.resize import Strips
from keras_unet.errors import BadData, Terminated
from keras_unet.files import require_room, write_rows, write_whole
from keras_unet.model.head import to_probability
from keras_unet.model.losses import SegmentationLoss
from keras_unet.model.metrics import confusion_of, segmentation_metrics
from keras_unet.prediction.segmenter import MOST_PIXELS
from keras_unet.prediction.tiles import Tiler, tilings
from keras_unet.run_folder import RunFolder
from keras_unet.training import checkpoint
from keras_unet.training.checkpoint import TrainingProgress
from keras_unet.training.optimizers import WeightAverage, learning_rate
from keras_unet.types import Image, Probability, Tensor

Logs = dict[str, Any] | None

_CURES = (
    "Most likely the learning rate is too high: try a tenth of --learning-rate, "
    "--clip-norm 1, or --precision float32. The best weights so far and the last "
    "checkpoint are kept."
)


class Recorder(keras.callbacks.Callback):
    """Keeps history.csv, the best weights and the checkpoint of a run.

    After each epoch, in this order: best weights, history, checkpoint. Whatever cuts
    the process off, the checkpoint belongs to files that are on disk.

    Args:
        run: folder that is written to.
        progress: where the training stands; kept up to date.
        minutes: time between two checkpoints within an epoch.
        metric_state: running scores of an epoch half done, after a checkpoint within
            it: put back at its begin, or kept where only its validation is missing.
        average: what is kept as best instead of the weights, if --ema is on.
    """

    def __init__(
        self,
        run: RunFolder,
        progress: TrainingProgress,
        minutes: float,
        metric_state: Sequence[Any] = (),
        average: WeightAverage | None = None,
    ) -> None:
        """Keeps the arguments; makes the run folder."""
        super().__init__()
        self.run, self.progress, self.seconds = run, progress, 60 * minutes
        run.path.mkdir(parents=True, exist_ok=True)
        self.folder = run.path.stat()
        self.metric_state, self.average = list(metric_state), average
        self.saved = time.monotonic()
        self.epoch_began = time.monotonic()

    @property
    def file(self) -> Path:
        """The checkpoint's file."""
        return self.run.checkpoint / checkpoint.FILE

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Puts the scores of an epoch half done back, once."""
        self.epoch_began = time.monotonic()
        variables = checkpoint.metric_variables(self.model)
        for variable, value in zip(variables, self.metric_state, strict=False):
            variable.assign(value)
        self.metric_state = []

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Saves the state when it is time."""
        self.progress.step += 1
        if not self.is_within(batch):
            # Validation takes the variables.
            self.metric_state = checkpoint.metric_values(self.model)
        if time.monotonic() - self.saved > self.seconds and self.is_within(batch):
            self.save()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Writes what the epoch brought."""
        self._require_folder()
        progress = self.progress
        progress.epoch = epoch + 1
        row = self._row(epoch, logs or {})
        if not math.isfinite(row["val_loss"]):
            raise BadData(
                f"the validation loss became {row['val_loss']} in epoch {epoch + 1}. "
                + _CURES
            )
        dice = row["val_dice"]
        if dice > progress.best:
            progress.best, progress.best_epoch = dice, epoch + 1
            self._save_weights()
        self.metric_state = []
        progress.history.append(row)
        write_rows(self.run.history_file, progress.history)
        self.save()

    def is_within(self, batch: int) -> bool:
        """Returns whether an epoch goes on after ``batch``, so that it may be cut."""
        return batch + 1 < int(self.params["steps"])

    def save(self) -> None:
        """Writes the checkpoint; in validation, that of the training before it."""
        self._require_folder()
        if self.average and self.metric_state:
            self.average.on_test_end()
        average = self.average.state if self.average else ()
        scores = self.metric_state or checkpoint.metric_values(self.model)
        checkpoint.save(self.file, self.model, self.progress, average, scores)
        self.saved = time.monotonic()

    def _require_folder(self) -> None:
        """Stops a training whose folder was removed; to make it anew hides that."""
        if not os.path.samestat(self.folder, self.run.path.stat()):
            cause = "was removed in the meantime; what is there now is another one's"
            raise FileNotFoundError(errno.ENOENT, cause, str(self.run.path))

    def _save_weights(self) -> None:
        average = self.average.in_place() if self.average else contextlib.nullcontext()
        with average, write_whole(self.run.weights_file) as aside:
            # HDF5's own tables are as large as the weights of a tiny network.
            require_room(self.run.weights_file, 2 * 4 * self.model.count_params())
            self.model.save_weights(str(aside))

    def _row(self, epoch: int, logs: dict[str, Any]) -> dict[str, float]:
        scores = {name: float(value) for name, value in sorted(logs.items())}
        return {
            "epoch": epoch + 1,
            **scores,
            "learning_rate": learning_rate(self.model.optimizer),
            "seconds": round(time.monotonic() - self.epoch_began, 3),
        }


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
            + _CURES
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
