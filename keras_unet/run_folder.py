"""A run on disk: the names of its files, and its config as JSON and back."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from keras_unet import __version__
from keras_unet.config import Config, PredictConfig
from keras_unet.errors import BadData, BadUsage, make_output, quoted
from keras_unet.files import (
    as_type,
    no_empty_folders,
    read_json,
    read_rows,
    remove,
    remove_leftovers,
    restore_replaced,
    write_json,
)

WRITTEN_BY_A_RUN = (
    *("config.json", "split.csv", "model.weights.h5", "checkpoint", "history.csv"),
    *("metrics.json", "per_image.csv", "figures", "logs"),
    *("saved_model", "serving", "tflite", "onnx", "web", "export_report.json"),
)


class RunFolder:
    """The folder of one run; every command that needs a network takes it.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path | str) -> None:
        """Names the folder; nothing is read or written yet."""
        self.path = Path(path)
        self.config_file = self.path / "config.json"
        self.split_file = self.path / "split.csv"
        self.weights_file = self.path / "model.weights.h5"
        self.checkpoint = self.path / "checkpoint"
        self.history_file = self.path / "history.csv"
        self.metrics_file = self.path / "metrics.json"
        self.per_image_file = self.path / "per_image.csv"
        self.figures = self.path / "figures"
        self.logs = self.path / "logs"
        self.saved_model = self.path / "saved_model"
        self.serving = self.path / "serving"
        self.tflite = self.path / "tflite"
        self.onnx = self.path / "onnx"
        self.web = self.path / "web"
        self.card_file = self.path / "README.md"
        self.export_report = self.path / "export_report.json"

    def load_config(self) -> Config:
        """Returns the config of the run.

        Raises:
            BadData: there is no run here, or its config.json cannot be read.
        """
        if not self.config_file.is_file():
            raise BadData(
                f"{self.path} is not a run folder: it has no config.json. "
                "Give the folder that keras_unet.train wrote (its --output)."
            )
        try:
            values = read_json(self.config_file, dict[str, Any])
        except ValueError as error:
            raise BadData(str(error)) from None
        try:
            return _from_json(values)
        except ValueError as error:
            raise BadData(f"{self.config_file}: {error}") from None

    def require_weights(self) -> Path:
        """Returns the file of the best weights.

        Raises:
            BadData: the run has none yet.
        """
        if not self.weights_file.is_file():
            raise BadData(
                f"{self.path} has no {self.weights_file.name}, the best weights: no "
                "epoch was finished, or the file was removed. Go on with the training "
                "(--resume --epochs, more than it had), or train anew (--overwrite)."
            )
        return self.weights_file

    def has_checkpoint(self) -> bool:
        """Returns whether there is a state to go on from.

        Raises:
            BadData: there is none of a training that came far: starting over would
                replace what it learnt.
        """
        if any(self.checkpoint.glob("*.npz")):
            return True
        if len(self.load_history()) > 1 or self.metrics_file.exists():
            raise BadData(
                f"{self.checkpoint} holds no state, from which alone a training goes "
                f"on, and starting over would replace {self.weights_file.name}. Put it "
                "back, train anew (--overwrite), or give another --output."
            )
        return False

    def load_history(self) -> list[dict[str, float]]:
        """Returns the rows of history.csv, a number in each column; none without it.

        Raises:
            BadData: it is damaged.
        """
        try:
            rows = read_rows(self.history_file)
        except ValueError as error:
            raise BadData(f"{self.history_file} is damaged: {error}") from None
        return [_numbers(self.history_file, row) for row in rows]

    def best_threshold(self) -> float:
        """Returns the threshold of the best Dice on validation.

        Raises:
            BadData: ``keras_unet.evaluate`` has not found one yet.
        """
        try:
            metrics = read_json(self.metrics_file, dict[str, Any])
            return float(metrics["validation"]["best_threshold"])
        except (OSError, ValueError, KeyError, TypeError):
            raise BadData(
                f"{self.metrics_file} has no best_threshold: run python -m "
                f"keras_unet.evaluate {quoted(self.path)}, or give a number"
            ) from None

    def predict_config(
        self,
        threshold: float | str | None = None,
        test_time_flips: bool = False,
        boundary_threshold: float | None = None,
    ) -> PredictConfig:
        """Returns how a command makes masks: as its flags say, else as the run does.

        Args:
            threshold: a number, "best" on the validation images, or the run's own.
            test_time_flips: take them, whether or not the run does.
            boundary_threshold: of instances, by default the run's own.

        Raises:
            BadUsage: what is no threshold, or of no use to the run's network.
            BadData: as by ``load_config`` and ``best_threshold``.
        """
        config = self.load_config()
        if threshold is None:
            threshold = config.predict.threshold
        elif threshold == "best":
            threshold = self.best_threshold()
        if test_time_flips and config.augment.flip == "none":
            raise BadUsage("--test-time-flips needs --flip of the run, which is none")
        flips = test_time_flips or config.predict.test_time_flips
        boundary = config.predict.boundary_threshold
        boundary = boundary if boundary_threshold is None else boundary_threshold
        predict = PredictConfig(float(threshold), flips, boundary)
        return dataclasses.replace(config, predict=predict).predict

    def present(self) -> list[str]:
        """Returns the names of what a run has written here."""
        return [name for name in WRITTEN_BY_A_RUN if (self.path / name).exists()]

    def require_free(self, overwrite: bool) -> None:
        """Refuses a folder that holds a run already, unless it is to be overwritten.

        Raises:
            BadUsage: a run (with both ways on), no run's files, or no folder are there.
        """
        if self.path.exists() and not self.path.is_dir():
            raise BadUsage(f"--output {self.path} is a file, expected a folder")
        if not (present := self.present()):
            return
        holds = f"--output {self.path} holds"
        if not {"model.weights.h5", "checkpoint"}.intersection(present):
            try:
                self.load_config()
            except BadData as error:
                why = error if self.config_file.is_file() else "it has no config.json"
                names = ", ".join(present)
                raise BadUsage(
                    f"{holds} {names}, which are no run's ({why}): give another folder"
                ) from None
            # An interrupt before the first epoch leaves these alone.
            if {"config.json", "split.csv", "logs"}.issuperset(present):
                return
        if not overwrite:
            raise BadUsage(
                f"{holds} a run already ({', '.join(present)}). Go on with it: "
                "--resume. Replace it: --overwrite. Or give another folder."
            )

    @contextlib.contextmanager
    def hold(self, say: Callable[[str], None] = print) -> Iterator[None]:
        """Makes the folder and keeps other commands from writing to it in the block.

        The lock ends with the process, however that ends. On a disk that machines
        share it holds between them as far as the file system passes locks on (NFS does
        from version 4 on, and before with its lock service; see ``local_lock``).
        Folders that were made and are empty in the end go again; what killed processes
        left unfinished goes at the beginning.

        Args:
            say: is told where there are no locks.

        Raises:
            BadUsage: another process holds it; the message names that. Or the folder
                cannot be made.
        """
        with no_empty_folders(self.path):
            make_output(self.path)
            with _locked(self.path / ".lock", say):
                for folder in [self.path, *filter(Path.is_dir, self.path.iterdir())]:
                    remove_leftovers(folder)
                    restore_replaced(folder)
                yield

    def clear(self) -> None:
        """Removes what a run has written here, and nothing else."""
        # config.json last: without it, what a kill leaves would be nobody's.
        for name in (".writing-*", ".replaced-*", ".export-*", *WRITTEN_BY_A_RUN[::-1]):
            for path in self.path.glob(name):
                remove(path)

    def save_config(self, config: Config) -> None:
        """Writes config.json."""
        origin = {"format": FORMAT, "version": __version__}
        write_json(self.config_file, origin | dataclasses.asdict(config))


@contextlib.contextmanager
def _locked(file: Path, say: Callable[[str], None]) -> Iterator[None]:
    descriptor = _open_locked(file, say)
    try:
        with contextlib.suppress(OSError):  # Of a full disk: the lock does without.
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {platform.node()}".encode())
        yield
    finally:
        # Before the lock goes, so that it is not another one's file.
        with contextlib.suppress(OSError):
            file.unlink()
        os.close(descriptor)


def _open_locked(file: Path, say: Callable[[str], None]) -> int:
    """Returns the descriptor of the file that has that name and is locked by us."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor)
        except BlockingIOError:
            holder = os.read(descriptor, 200).decode("utf-8", "replace")
            os.close(descriptor)
            raise BadUsage(
                f"{file.parent} is being written to by another command "
                f"({holder or 'which has just begun'}): wait for it or stop it, or "
                "give another folder"
            ) from None
        except OSError as error:
            say(
                f"warning: {file.parent} cannot be locked ({error.strerror}): see to "
                "it that no second command writes to it"
            )
            return descriptor
        # The one that held it may have removed it since it was opened.
        with contextlib.suppress(OSError):
            if os.path.samestat(file.stat(), os.fstat(descriptor)):
                return descriptor
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    if find_spec("fcntl") is None:
        raise OSError(errno.ENOSYS, "this system has no locks of that kind")
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


FORMAT = 1
"""Of config.json; one more whenever an older version would misread it."""


def _from_json(values: dict[str, Any]) -> Config:
    """Returns the config that this or an older version wrote.

    Raises:
        ValueError: it is none, or a newer version's.
    """
    number, version = values.pop("format", 0), values.pop("version", "")
    as_type({"format": number, "version": version}, dict[str, int | str])
    if isinstance(number, str) or number > FORMAT:
        raise ValueError(
            f"format: expected up to {FORMAT}, which keras_unet {__version__} knows, "
            f"found {number}, of keras_unet {version or 'without a version'}: update it"
        )
    _bring_up_to_date(values, number)
    config = as_type(values, Config)
    if "preset" not in values:
        raise ValueError("preset: is missing")
    return config


def _numbers(file: Path, row: Mapping[str, Any]) -> dict[str, float]:
    """Returns a row of history.csv; what is no number is named."""
    for name in dict.fromkeys(["epoch", "val_dice", *row]):
        try:
            float(row[name])
        except (LookupError, ValueError, TypeError):
            found = repr(row[name])[:80] if name in row else "no such column"
            raise BadData(
                f"{file} is damaged: {name}: expected a number, found {found}"
            ) from None
    return {name: float(value) for name, value in row.items()}


def _bring_up_to_date(values: dict[str, Any], number: int) -> None:
    """Changes what has another name or form since a format; the place for all such."""
    data = values.get("data")
    if number < 1 and isinstance(data, dict) and "ignore_value" in data:
        ignored = data.pop("ignore_value")
        data["ignore_values"] = [] if ignored is None else [ignored]


def differences(old: Any, new: Any) -> list[tuple[str, Any, Any]]:
    """Returns (name, old value, new value) of each field that differs, all levels."""
    found = []
    for field_ in dataclasses.fields(old):
        was, now = getattr(old, field_.name), getattr(new, field_.name)
        if dataclasses.is_dataclass(was):
            found += differences(was, now)
        elif was != now:
            found.append((field_.name, was, now))
    return found
