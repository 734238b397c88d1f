"""What happens beside ``model.fit``: scores kept, states saved, trouble said."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras

from keras_unet import checkpoint
from keras_unet.averaging import WeightAverage
from keras_unet.checkpoint import Progress
from keras_unet.errors import BadData
from keras_unet.files import write_whole
from keras_unet.optimizers import learning_rate
from keras_unet.run_folder import RunFolder

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
        metric_state: running scores to put back at the first epoch's begin, after a
            checkpoint within an epoch.
        average: what is kept as best instead of the weights, if --ema is on.
    """

    def __init__(
        self,
        run: RunFolder,
        progress: Progress,
        minutes: float,
        metric_state: Sequence[Any] = (),
        average: WeightAverage | None = None,
    ) -> None:
        """Keeps the arguments; nothing is written yet."""
        super().__init__()
        self.run, self.progress, self.seconds = run, progress, 60 * minutes
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
        if time.monotonic() - self.saved > self.seconds and self.is_within(batch):
            self.save()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Writes what the epoch brought."""
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
            average = self.average.in_place() if self.average else nullcontext()
            with average, write_whole(self.run.weights_file) as aside:
                self.model.save_weights(str(aside))
        progress.history.append(row)
        write_history(self.run.history_file, progress.history)
        self.save()

    def is_within(self, batch: int) -> bool:
        """Returns whether an epoch goes on after ``batch``, so that it may be cut."""
        return batch + 1 < int(self.params["steps"])

    def save(self) -> None:
        """Writes the checkpoint."""
        average = self.average.state if self.average else ()
        checkpoint.save(self.file, self.model, self.progress, average)
        self.saved = time.monotonic()

    def _row(self, epoch: int, logs: dict[str, Any]) -> dict[str, float]:
        scores = {name: float(value) for name, value in sorted(logs.items())}
        return {
            "epoch": epoch + 1,
            **scores,
            "learning_rate": learning_rate(self.model.optimizer),
            "seconds": round(time.monotonic() - self.epoch_began, 3),
        }


def write_history(file: Path, history: Sequence[dict[str, float]]) -> None:
    """Writes one line per epoch, its columns named in the first line."""
    with (
        write_whole(file) as aside,
        aside.open("w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.DictWriter(stream, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)


class StopOnNonFinite(keras.callbacks.Callback):
    """Ends the training at the step whose loss is no number.

    It stands before the recorder, which must not save such a state.

    Args:
        progress: where the training stands.
        files_of_step: names the image files of a step.
    """

    def __init__(
        self, progress: Progress, files_of_step: Callable[[int], list[Path]]
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
            f"the loss became {loss} at step {step + 1}, with the pictures {files}. "
            + _CURES
        )


class EpochLines(keras.callbacks.Callback):
    """Says one line per epoch: scores, what is best so far, time left.

    Args:
        epochs: of the whole run.
        progress: where the training stands.
        say: prints a line.
    """

    def __init__(
        self, epochs: int, progress: Progress, say: Callable[[str], None]
    ) -> None:
        """Keeps the arguments."""
        super().__init__()
        self.epochs, self.progress, self.say = epochs, progress, say
        self.first_loss = math.inf

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Says the epoch's line, and a second one when something looks wrong."""
        row = self.progress.history[-1]
        left = row["seconds"] * (self.epochs - epoch - 1)
        best = ", best so far" if self.progress.best_epoch == epoch + 1 else ""
        self.say(
            f"epoch {epoch + 1}/{self.epochs}: loss {row['loss']:.4f}, "
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
