"""A run on disk: the names of its files, and writing them so that none is ever half."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from keras_unet import config_file
from keras_unet.config import Config
from keras_unet.errors import BadData, BadUsage

WRITTEN_BY_A_RUN = (
    "config.json",
    "model.weights.h5",
    "checkpoint",
    "history.csv",
    "metrics.json",
    "per_image.csv",
    "figures",
    "logs",
    "saved_model",
    "serving",
    "tflite",
    "export_report.json",
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
            return config_file.from_json(self.config_file.read_text("utf-8"))
        except (ValueError, TypeError) as error:
            raise BadData(
                f"{self.config_file} is not a run's config: {error}"
            ) from None

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

    def present(self) -> list[str]:
        """Returns the names of what a run has written here."""
        return [name for name in WRITTEN_BY_A_RUN if (self.path / name).exists()]

    def require_free(self, overwrite: bool) -> None:
        """Refuses a folder that holds a run already, unless it is to be overwritten.

        Raises:
            BadUsage: with both ways on, or because the path is a file.
        """
        if self.path.exists() and not self.path.is_dir():
            raise BadUsage(f"--output {self.path} is a file, expected a folder")
        # A config alone is what an interrupt before the first epoch leaves.
        if self.present() not in ([], ["config.json"]) and not overwrite:
            raise BadUsage(
                f"--output {self.path} holds a run already "
                f"({', '.join(self.present())}). Go on with it: --resume. "
                "Replace it: --overwrite. Or give another folder."
            )

    def clear(self) -> None:
        """Removes what a run has written here, and nothing else."""
        unfinished = [".writing-*", ".replaced-*", ".export-*"]
        left = [path for pattern in unfinished for path in self.path.glob(pattern)]
        for path in [*(self.path / name for name in self.present()), *left]:
            _remove(path)

    def save_config(self, config: Config) -> None:
        """Writes config.json."""
        self.path.mkdir(parents=True, exist_ok=True)
        with write_whole(self.config_file) as file:
            file.write_text(config_file.to_json(config), "utf-8")


@contextlib.contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Yields a name beside ``path`` to write to; renames it at the end.

    Whatever happens in between, the old one or the new one is there as a whole; of two
    folders, which no system exchanges at once, the old one may be left under the name
    ``.replaced-<name>``. The name written to keeps the suffixes, which Keras reads.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".writing-{os.getpid()}-{path.name}")
    _remove(aside)
    try:
        yield aside
        if path.is_dir():
            old = path.with_name(f".replaced-{path.name}")
            _remove(old)
            path.replace(old)
            aside.replace(path)
            _remove(old)
        else:
            aside.replace(path)
    finally:
        _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
