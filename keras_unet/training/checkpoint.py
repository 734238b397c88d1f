"""The full state of a training, in one file that is replaced as a whole.

By hand, because ``tf.train.Checkpoint`` and Keras' ``BackupAndRestore`` lose the stream
of the dropout and the running scores of an epoch half done.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import math
import os
import struct
import time
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_unet.errors import BadData
from keras_unet.files import as_type, require_room, write_rows, write_whole
from keras_unet.model.layers import StatelessDropout
from keras_unet.run_folder import RunFolder
from keras_unet.training.optimizers import WeightAverage, learning_rate

FILE = "state.npz"
_COLUMNS = {"epoch", "loss", "dice", "val_loss", "val_dice", "seconds"}
_BROKEN = (
    *(OSError, ValueError, TypeError, LookupError, AttributeError, EOFError),
    *(zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError),
    *(OverflowError, RecursionError),
)

Logs = dict[str, Any] | None

CURES = (
    "Most likely the learning rate is too high: try a tenth of --learning-rate, "
    "--clip-norm 0.1, or --precision float32. The best weights so far and the last "
    "checkpoint are kept."
)


@dataclass
class TrainingProgress:
    """How far a training is.

    Attributes:
        step: training steps done, over all epochs.
        epoch: epochs done.
        best: best validation Dice so far.
        best_epoch: the epoch that reached it, counted from 1.
        history: one row per epoch done, as in history.csv.
        seconds: spent so far, of a training of --minutes.
    """

    step: int = 0
    epoch: int = 0
    best: float = -1.0
    best_epoch: int = 0
    history: list[dict[str, int | float]] = field(default_factory=list)
    seconds: float = 0.0


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
        return self.run.checkpoint / FILE

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Puts the scores of an epoch half done back, once."""
        self.epoch_began = time.monotonic()
        variables = metric_variables(self.model)
        for variable, value in zip(variables, self.metric_state, strict=False):
            variable.assign(value)
        self.metric_state = []

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Saves the state when it is time."""
        self.progress.step += 1
        if not self.is_within(batch):
            # Validation takes the variables.
            self.metric_state = metric_values(self.model)
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
                + CURES
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
        return batch + 1 < int(self.params["steps"]) and not self.model.stop_training

    def save(self) -> None:
        """Writes the checkpoint; in validation, that of the training before it."""
        self._require_folder()
        if self.average and self.metric_state:
            self.average.on_test_end()
        average = self.average.state if self.average else ()
        save(self.file, self.model, self.progress, average, self.metric_state)
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


def save(
    file: Path,
    network: keras.Model,
    progress: TrainingProgress,
    average: Sequence[Any] = (),
    scores: Sequence[Any] = (),
) -> None:
    """Writes weights, optimizer, loss scale, metrics, dropout's count and progress.

    Args:
        file: to be replaced.
        network: compiled and trained.
        progress: where the training stands.
        average: variables of a moving average, if there is one.
        scores: ``metric_values`` to save; by default those of now.
    """
    state = _state(network, average)
    if scores:
        state["metrics"] = list(scores)
    arrays: dict[str, Any] = {
        f"{group}/{index}": _array(variable)
        for group, variables in state.items()
        for index, variable in enumerate(variables)
    }
    arrays["progress"] = np.array(json.dumps(dataclasses.asdict(progress)))
    with write_whole(file) as aside:
        require_room(file, sum(array.nbytes for array in arrays.values()))
        np.savez(aside, **arrays)


def restore(
    file: Path, network: keras.Model, average: Sequence[Any] = ()
) -> TrainingProgress:
    """Puts the state that ``save`` wrote back and returns the progress.

    Raises:
        BadData: the file is broken or belongs to another network, or fills the memory.
        OSError: it cannot be read.
    """
    try:
        with file.open("rb") as stream, np.load(stream) as arrays:
            for group, variables in _state(network, average).items():
                _assign(variables, group, arrays)
            progress = as_type(json.loads(str(arrays["progress"])), TrainingProgress)
        _require_sound(progress)
        return progress
    except MemoryError as error:
        raise BadData(
            f"{file}: too little memory to read it, or it is damaged: {error}"
        ) from None
    except _BROKEN as error:
        # What a broken file points to may lie before its begin: an invalid argument.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise OSError(error.errno, error.strerror, str(file)) from None
        raise BadData(
            f"{file} is no checkpoint of this run: {error}. "
            "Start again with --overwrite."
        ) from None


def metric_variables(network: keras.Model) -> list[Any]:
    """Returns the variables of the running scores of the epoch under way."""
    return [variable for metric in network.metrics for variable in metric.variables]


def metric_values(network: keras.Model) -> list[npt.NDArray[Any]]:
    """Returns what ``metric_variables`` hold."""
    return [_array(variable) for variable in metric_variables(network)]


def _array(variable: Any) -> npt.NDArray[Any]:
    return np.array(tf.convert_to_tensor(variable))


def _require_sound(progress: TrainingProgress) -> None:
    rows = progress.history
    if min(progress.step, progress.epoch) < 0 or progress.epoch != len(rows):
        raise ValueError(
            f"step {progress.step} and epoch {progress.epoch} do not go with "
            f"{len(rows)} rows of history"
        )
    if any(row.keys() != rows[0].keys() or not row.keys() >= _COLUMNS for row in rows):
        raise ValueError("the rows of history are not those of a training")


def _state(network: keras.Model, average: Sequence[Any]) -> dict[str, list[Any]]:
    return {
        "weights": list(network.weights),
        "optimizer": list(network.optimizer.variables),
        "metrics": metric_variables(network),
        "average": list(average),
        "dropout": [
            layer.calls
            for layer in network.layers
            if isinstance(layer, StatelessDropout)
        ],
    }


def _assign(variables: list[Any], group: str, arrays: Any) -> None:
    stored = sum(name.startswith(f"{group}/") for name in arrays.files)
    if stored != len(variables):
        raise ValueError(f"{group}: expected {len(variables)} arrays, found {stored}")
    for index, variable in enumerate(variables):
        array = arrays[f"{group}/{index}"]
        if array.shape != tuple(variable.shape):
            wanted = f"{group} {index}: expected the shape {tuple(variable.shape)}"
            raise ValueError(f"{wanted}, found {array.shape}")
        variable.assign(array)
