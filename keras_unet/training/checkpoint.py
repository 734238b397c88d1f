"""The full state of a training, in one file that is replaced as a whole.

By hand, because ``tf.train.Checkpoint`` and Keras' ``BackupAndRestore`` lose the stream
of the dropout and the running scores of an epoch half done.
"""

from __future__ import annotations

import dataclasses
import json
import struct
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
from keras_unet.files import as_type, require_room, write_whole
from keras_unet.model.layers import StatelessDropout

FILE = "state.npz"
_COLUMNS = {"epoch", "loss", "dice", "val_loss", "val_dice", "seconds"}
_BROKEN = (
    *(OSError, ValueError, TypeError, LookupError, AttributeError, EOFError),
    *(zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError),
    *(MemoryError, OverflowError, RecursionError),
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


def save(
    file: Path,
    network: keras.Model,
    progress: TrainingProgress,
    average: Sequence[Any] = (),
    scores: Sequence[Any] | None = None,
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
    if scores is not None:
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
        BadData: the file is broken or belongs to another network.
    """
    try:
        with file.open("rb") as stream, np.load(stream) as arrays:
            for group, variables in _state(network, average).items():
                _assign(variables, group, arrays)
            progress = as_type(json.loads(str(arrays["progress"])), TrainingProgress)
        _require_sound(progress)
        return progress
    except _BROKEN as error:
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
        variable.assign(arrays[f"{group}/{index}"])
