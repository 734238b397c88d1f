"""What a training says and draws, from before its first step to after its last."""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_unet.config import Config, FitConfig
from keras_unet.console import Say, is_installed
from keras_unet.data.pair_cache import cache_line
from keras_unet.data.pairs import Split, steps_per_epoch
from keras_unet.data.pieces import seen_sizes
from keras_unet.data.warp import has_xla
from keras_unet.errors import quoted
from keras_unet.figures.canvas import paint_errors, paint_mask
from keras_unet.files import read_json, write_json
from keras_unet.run_folder import RunFolder
from keras_unet.training.devices import Device
from keras_unet.types import Image, Mask

_STRIP, _PROJECT = "truth, prediction, error", "keras_unet"
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
    touching = config.data.mask_kind == "instances" and config.data.targets != "borders"
    if touching and not config.loss.weight_map:
        say(f"{'objects':>10}  that touch are learnt as one (see --weight-map)")
    if len({pair.group for pair in split.validation}) == 1:
        say("warning: validation has a single group; its scores may not carry over")


def summarise(folder: RunFolder, instances: bool, say: Say) -> None:
    """Says what was written where, and how to use it; with which numbers objects."""
    say("")
    for name, use in [
        ("metrics.json", "scores at the images' own size"),
        ("per_image.csv", "the same, image by image"),
        ("figures", "look at predictions.png first"),
        ("model.weights.h5", "the best weights"),
        ("saved_model", "base path for TensorFlow Serving"),
        ("serving", "how to start it, and a client"),
        ("tflite", "files for phones"),
        ("onnx", "for ONNX runtimes, and a client"),
        ("web", "a page that segments in the browser: python -m http.server in it"),
        ("export_report.json", "how far each export is from the Keras model"),
        ("README.md", "a model card: hf upload NAME FOLDER shows it on the Hub"),
    ]:
        if (folder.path / name).exists():
            say(f"{folder.path / name!s:<36}  {use}")
    say("")
    wanted = "IMAGE --output DIR" + instances * " --instances --overlay"
    say("segment images:    " + _command("predict", folder, wanted))
    say("other exports:     " + _command("export", folder, "--formats int8 web"))
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
    return f"python -m keras_unet.{name} {quoted(folder.path)} {rest}"


def draw_strip(
    images: Sequence[Image] | Image, masks: Mask, predictions: Mask
) -> Image:
    """Returns one image: a row an image, in it truth, prediction and error."""
    rows = [
        np.hstack(
            [
                paint_mask(image, mask),
                paint_mask(image, prediction),
                paint_errors(image, mask, prediction),
            ]
        )
        for image, mask, prediction in zip(images, masks, predictions, strict=True)
    ]
    return np.vstack(rows)


class Trackers:
    """The logs that --log names, as one; opened and closed by a ``with`` block.

    Whatever fails in one of them costs the training nothing but that log.

    Args:
        run: whose ``logs`` holds them, or by what they are known again.
        config: of the run; logged too.
        say: prints a line.
    """

    def __init__(self, run: RunFolder, config: Config, say: Say) -> None:
        """Keeps the arguments."""
        self._run, self._config, self._say = run, config, say
        self._open: dict[str, Any] = {}
        self._step = 0

    def __enter__(self) -> Trackers:
        """Opens them; those of a run that goes on are the same ones again."""
        default = ("tensorboard",) if is_installed("tensorboard") else ()
        wanted = self._config.fit.log
        for name in default if wanted is None else wanted:
            with self._told(name):
                self._open[name] = _TRACKERS[name](self._run, self._config)
                if wanted:
                    self._say(f"{name:>11}  {self._open[name].where}")
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        """Closes them."""
        self._each(lambda tracker: tracker.close(error is None))
        self._open = {}

    def log(self, step: int, scores: Mapping[str, Any], strip: Image) -> None:
        """Logs the scores of an epoch and the strip of validation images."""
        self._step = step
        self._each(lambda tracker: tracker.log(step, scores, strip))

    def log_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Logs the scores of metrics.json under the names part/score."""
        scores = {
            f"{part}/{name}": value
            for part, entry in metrics.items()
            for name, value in entry.items()
            if type(value) in (int, float)
        }
        self._each(lambda tracker: tracker.log(self._step, scores))

    def _each(self, tell: Callable[[Any], None]) -> None:
        for name, tracker in [*self._open.items()]:
            with self._told(name):
                tell(tracker)

    @contextlib.contextmanager
    def _told(self, name: str) -> Iterator[None]:
        try:
            yield
        # Of any kind: what servers and their clients raise has no common base.
        except Exception as error:
            self._open.pop(name, None)
            cause = str(error).strip().partition("\n")[0] or type(error).__name__
            self._say(f"warning: --log {name} failed and is left out now: {cause}")


class _TensorBoard:
    def __init__(self, run: RunFolder, config: Config) -> None:
        self.where = f"tensorboard --logdir {quoted(run.logs)}"
        self._config = json.dumps(_plain(config), indent=2).replace("\n", "\n    ")
        self._writer = tf.summary.create_file_writer(str(run.logs))

    def log(self, step: int, scores: Mapping[str, Any], strip: Any = None) -> None:
        with self._writer.as_default(step=step):
            for name, value in scores.items():
                tf.summary.scalar(name, value)
            if strip is not None:
                tf.summary.image(_STRIP, strip[np.newaxis])
                tf.summary.text("config", f"    {self._config}", step=0)
        self._writer.flush()

    def close(self, done: bool) -> None:
        self._writer.close()


class _MLflow:
    def __init__(self, run: RunFolder, config: Config) -> None:
        # The store of files, the only one without a database, has to be asked for.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        # Seven tries, the default, would hold a training up for minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        import mlflow

        store = None
        if not mlflow.tracking.is_tracking_uri_set():
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
            store = (run.logs / "mlruns").resolve().as_uri()
        self._client = mlflow.MlflowClient(store)
        self._metric, self._id = mlflow.entities.Metric, _ids(run).get("mlflow", "")
        if self._id:
            self._client.update_run(self._id, "RUNNING")
        else:
            self._id = self._begin(run, config)
        self.where = f"run {self._id} in {store or 'MLFLOW_TRACKING_URI'}"

    def _begin(self, run: RunFolder, config: Config) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT)
        found = self._client.get_experiment_by_name(name)
        number = found.experiment_id if found else self._client.create_experiment(name)
        new = self._client.create_run(number, run_name=run.path.resolve().name)
        _remember(run, "mlflow", new.info.run_id)
        self._client.log_dict(new.info.run_id, _plain(config), "config.json")
        for part, values in _plain(config).items():
            own = values.items() if isinstance(values, dict) else [("run", values)]
            for name, value in own:
                self._client.log_param(new.info.run_id, f"{part}.{name}", value)
        return str(new.info.run_id)

    def log(self, step: int, scores: Mapping[str, Any], strip: Any = None) -> None:
        now = int(1000 * time.time())
        metrics = [self._metric(k, float(v), now, step) for k, v in scores.items()]
        self._client.log_batch(self._id, metrics)
        if strip is not None:
            options = {"key": "validation", "step": step, "synchronous": True}
            self._client.log_image(self._id, strip, **options)

    def close(self, done: bool) -> None:
        self._client.set_terminated(self._id, "FINISHED" if done else "KILLED")


class _WandB:
    def __init__(self, run: RunFolder, config: Config) -> None:
        import wandb

        number = _ids(run).get("wandb") or uuid.uuid4().hex[:8]
        _remember(run, "wandb", number)
        online = "online" if "WANDB_API_KEY" in os.environ else "offline"
        self._image = wandb.Image
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=run.path.resolve().name,
            id=number,
            resume="allow",
            dir=run.logs,
            mode=os.environ.get("WANDB_MODE", online),
            config=_plain(config),
            settings=wandb.Settings(
                silent=True, console="off", init_timeout=30, finish_timeout=60
            ),
        )
        folder = quoted(Path(self._run.dir).parent)
        self.where = f"wandb sync {folder}" if self._run.offline else self._run.url

    def log(self, step: int, scores: Mapping[str, Any], strip: Any = None) -> None:
        if strip is None:
            self._run.summary.update(scores)
        else:
            self._run.log({**scores, _STRIP: self._image(strip)}, step=step)

    def close(self, done: bool) -> None:
        self._run.finish(0 if done else 1)


def _plain(config: Config) -> dict[str, Any]:
    """Returns the config as JSON has it."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(config), default=str))
    return plain


def _ids(run: RunFolder) -> dict[str, str]:
    """Returns by what the run is known again to each tracker that it went to."""
    file = run.logs / "trackers.json"
    return read_json(file, dict[str, str]) if file.is_file() else {}


def _remember(run: RunFolder, name: str, number: str) -> None:
    write_json(run.logs / "trackers.json", _ids(run) | {name: number})


_TRACKERS = {"tensorboard": _TensorBoard, "mlflow": _MLflow, "wandb": _WandB}
