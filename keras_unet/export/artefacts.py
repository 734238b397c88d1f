"""One call from a run to every file that production takes: written, opened, judged."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from rich.table import Table

from keras_unet.config import Config, PredictConfig
from keras_unet.data import records
from keras_unet.data.images import read_image
from keras_unet.data.pair import Pair
from keras_unet.data.pairs import Split, split_of_run
from keras_unet.data.resize import read_resized
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData
from keras_unet.evaluation.card import write_card
from keras_unet.evaluation.drawings import spread
from keras_unet.export import onnx, saved_model, serving, tflite, verify, web
from keras_unet.export.serving import BATCHES
from keras_unet.files import (
    disk_error,
    put_in_place,
    read_json,
    unfinished_name,
    write_json,
    write_whole,
)
from keras_unet.prediction.segmenter import class_names
from keras_unet.prediction.tiles import pixels_of_row, tile_network, tilings
from keras_unet.prediction.weights_file import load_network
from keras_unet.run_folder import RunFolder

REPRESENTATIVE_IMAGES = 100
"""Training images whose activations set int8's ranges; more change nothing."""


def export_run(
    run: RunFolder,
    formats: Sequence[str],
    split: Split | None = None,
    predict: PredictConfig | None = None,
    web_runtime: Path | None = None,
) -> dict[str, Any]:
    """Writes the run's network in each of the formats, and export_report.json.

    The files are written aside, opened and measured by a fresh interpreter on the
    run's validation images, and put in place only if all of them agree with the Keras
    network. Until then, and if they do not, those of the last export stay.

    Args:
        run: folder of a finished training.
        formats: of ``ExportConfig.formats``.
        split: the run's pairs, if they are known; else its split.csv tells them.
        predict: how probabilities become masks; by default as the run's config says.
        web_runtime: folder of what the page for the browser runs on; without it, the
            page loads that from a CDN.

    Returns:
        What was measured of each format and of "keras", as in the report.

    Raises:
        BadUsage: ``web_runtime`` is not that.
        BadData: the run or its data cannot be read, or a file differs too much.
        OSError: the disk is full; the files of before were kept.
    """
    web.require_runtime(web_runtime, formats)
    config = run.load_config()
    config = replace(config, predict=predict or config.predict)
    network = load_network(run)
    kind = web.model_kind(formats, run.tflite)
    if "web" in formats and kind not in formats:
        formats = (*formats, kind)
    split = split or split_of_run(run)[0]
    report = _Report(run, len(split.validation))
    with _folder_aside(run) as aside:
        made = _write(network, config, split, formats, aside)
        measured = verify.examine(run, config, split.validation, made)
        verify.judge(measured)
        if "web" in formats:
            made["web"] = aside / "web"
            title = run.path.resolve().name
            web.write_web(made["web"], config, made[kind], title, web_runtime)
            measured["web"] = _of_page(made["web"], kind, measured[kind])
        decided = asdict(config.predict)
        # Of --instances, which no file makes.
        del decided["boundary_threshold"]
        for figures in measured.values():
            figures["predict"] = decided
        report.begin(made)
        for name, path in made.items():
            measured[name]["path"] = _put_in_place(run, name, path)
        _write_beside(run, config, made)
    report.end(measured)
    write_card(run)
    return measured


def _write_beside(run: RunFolder, config: Config, made: Mapping[str, Path]) -> None:
    """Writes what tells servers and clients how to use what was made."""
    if "saved_model" in made:
        with write_whole(run.serving) as folder:
            serving.write_serving(folder, config)
    if files := [made[kind].name for kind in tflite.KINDS if kind in made]:
        tflite.write_client(run.tflite, config, files)
    if "onnx" in made:
        tflite.write_client(run.onnx, config, [made["onnx"].name])
        onnx.write_triton_config(run.onnx, config)


@contextlib.contextmanager
def _folder_aside(run: RunFolder) -> Iterator[Path]:
    """Yields a folder in the run's, which goes again; a full disk is told as such."""
    prefix = unfinished_name("export")
    with tempfile.TemporaryDirectory(prefix=prefix, dir=run.path) as aside:
        try:
            yield Path(aside)
        except tf.errors.OpError as error:
            raise disk_error(str(error), run.path) or error from None


def _of_page(folder: Path, kind: str, figures: dict[str, Any]) -> dict[str, Any]:
    """Returns what is known of a page by its TFLite file, but for a browser's speed."""
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    known = {
        k: v for k, v in figures.items() if k not in ("seconds_per_image", "threads")
    }
    return known | {"bytes": size, "model": kind}


def _write(
    network: keras.Model,
    config: Config,
    split: Split,
    formats: Sequence[str],
    folder: Path,
) -> dict[str, Path]:
    made = {}
    if "saved_model" in formats:
        made["saved_model"] = folder / "saved_model"
        saved_model.write_saved_model(network, config, made["saved_model"])
        sent = [_image(p, config.data) for p in split.validation[: BATCHES[-1]]]
        sent = [serving.within_limit(image, config) for image in sent]
        serving.write_warm_up(made["saved_model"], sent)
    part = tile_network(network) if config.data.tiles else network
    if "onnx" in formats:
        made["onnx"] = folder / "model.onnx"
        onnx.write_onnx(part, config, made["onnx"])
    kinds = [name for name in formats if name in tflite.KINDS]
    if not kinds:
        return made
    images = _representative(split.train, config) if "int8" in kinds else []
    labels = class_names(config)
    rows, columns = tilings(config)
    with tflite.frozen(part, (rows.tile, columns.tile)) as source:
        for kind in kinds:
            made[kind] = folder / f"model_{kind}.tflite"
            tflite.write_tflite(source, kind, made[kind], labels, images)
    return made


def _representative(pairs: Sequence[Pair], config: Config) -> list[np.ndarray]:
    chosen = spread(pairs, REPRESENTATIVE_IMAGES)
    if config.data.tiles:
        return [_middle_tile(_image(pair, config.data), config) for pair in chosen]
    return [_image(pair, config.data, config.data.image_size) for pair in chosen]


def _middle_tile(image: np.ndarray, config: Config) -> np.ndarray:
    size = config.data.seen_size(image.shape[:2])
    rows, columns = tilings(config)
    strip = pixels_of_row(rows, image, size, rows.starts(size[0])[-1] // 2)
    place = columns.pixels(size[1], columns.starts(size[1])[-1] // 2)
    return np.asarray(tf.gather(strip, place, axis=1))


def _image(
    pair: Pair, data: DataConfig, size: tuple[int, int] | None = None
) -> np.ndarray:
    """Returns the RGB image, at its own size if none is given."""
    if pair.record:
        return records.read_record(pair.record, 3, size)[0]
    if size:
        return read_resized(pair.image, 3, data)
    return read_image(pair.image, 3, data)


def _put_in_place(run: RunFolder, name: str, made: Path) -> str:
    """Renames what was made to where it belongs; returns that, from the run folder."""
    if name == "saved_model":
        taken = [int(p.name) for p in run.saved_model.glob("*") if p.name.isdecimal()]
        place = run.saved_model / str(max(taken, default=0) + 1)
    elif name == "web":
        place = run.web
    else:
        place = (run.onnx if name == "onnx" else run.tflite) / made.name
    place.parent.mkdir(exist_ok=True)
    put_in_place(made, place)
    return place.relative_to(run.path).as_posix()


@dataclass(frozen=True)
class _Written:
    """What export_report.json holds."""

    validation_images: int
    artefacts: dict[str, dict[str, Any]]
    unfinished: tuple[str, ...] = ()


class _Report:
    """export_report.json, which at no time speaks of files that are not those there.

    While files are exchanged it names them as unfinished and has no figures of them.
    What earlier exports measured of other files stays in it.
    """

    def __init__(self, run: RunFolder, images: int) -> None:
        self.file, self.images = run.export_report, images
        self.artefacts: dict[str, dict[str, Any]] = {}
        if self.file.is_file():
            try:
                self.artefacts = read_json(self.file, _Written).artefacts
            except ValueError as error:
                raise BadData(f"{error}; remove the file") from None

    def begin(self, made: Iterable[str]) -> None:
        for name in made:
            self.artefacts.pop(name, None)
        self._write(unfinished=sorted(made))

    def end(self, measured: dict[str, Any]) -> None:
        self.artefacts |= measured
        self._write()

    def _write(self, **more: Any) -> None:
        report = {"validation_images": self.images, "artefacts": self.artefacts}
        write_json(self.file, report | more)


def artefact_table(measured: dict[str, dict[str, Any]]) -> Table:
    """Returns a row for the Keras network and one for each artefact.

    Args:
        measured: what ``export_run`` returned.
    """
    table = Table("artefact", caption="latency of one image, on this machine's CPU")
    for title in ("size", "operators", "difference", "Dice", "latency"):
        table.add_column(title, justify="right")
    for figures in measured.values():
        table.add_row(
            figures.get("path", "Keras network").removeprefix("tflite/"),
            f"{figures['bytes'] / 1e6:.2f} MB" if "bytes" in figures else "",
            str(len(figures["operators"])) if "operators" in figures else "",
            f"{figures['max_difference']:.1e}" if "path" in figures else "",
            f"{figures['dice']:.4f}",
            f"{1e3 * figures['seconds_per_image']:.1f} ms"
            if "seconds_per_image" in figures
            else "",
        )
    return table
