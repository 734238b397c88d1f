"""Has a fresh interpreter open exported files beside the Keras network, and judges.

``python -m keras_unet.export.verify JOB RESULT`` is that interpreter's command.
"""

from __future__ import annotations

import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_unet.config import Config
from keras_unet.console import run_verb
from keras_unet.data.masks import read_pair
from keras_unet.data.pair import Pair
from keras_unet.data.resize import resampled, resize_image
from keras_unet.errors import BadData
from keras_unet.evaluation.scores import confusion
from keras_unet.export.onnx import OnnxNetwork
from keras_unet.export.serving import BATCHES, within_limit
from keras_unet.export.tflite import TFLiteNetwork
from keras_unet.model.metrics import segmentation_metrics
from keras_unet.model.unet import to_mask
from keras_unet.prediction.segmenter import Segmenter, with_flips
from keras_unet.prediction.tiles import Tiler, tilings
from keras_unet.run_folder import RunFolder
from keras_unet.types import Image, Mask, Probability, Tensor

LARGEST_DIFFERENCE = {
    "saved_model": 1e-4,
    "float32": 1e-4,
    "float16": 5e-3,
    "onnx": 1e-4,
}
"""Of probabilities from the Keras network's; quantised files are judged by Dice."""

LARGEST_LOSS = {
    **{"saved_model": 0.001, "float32": 0.001, "onnx": 0.001},
    **{"float16": 0.002, "dynamic": 0.01, "int8": 0.01},
}
"""Of Dice, on the validation images at their own size, against the Keras network's."""


def examine(
    run: RunFolder, config: Config, pairs: Sequence[Pair], artefacts: dict[str, Path]
) -> dict[str, dict[str, Any]]:
    """Returns what ``measure`` finds in an interpreter that made none of it.

    Args:
        run: folder with the weights.
        config: of the run; its data are those of ``pairs``.
        pairs: images and masks, one at least.
        artefacts: folder of the SavedModel and the files, by format.

    Raises:
        BadData: an artefact cannot be opened and run.
    """
    places = {name: path.resolve() for name, path in artefacts.items()}
    told = (RunFolder(run.path.resolve()), config, list(pairs), places)
    with tempfile.TemporaryDirectory() as folder:
        job, result = Path(folder) / "job", Path(folder) / "result.json"
        job.write_bytes(pickle.dumps(told))
        _run_fresh(str(job), str(result))
        measured: dict[str, dict[str, Any]] = json.loads(result.read_text("utf-8"))
    return measured


def judge(measured: dict[str, dict[str, Any]]) -> None:
    """Passes artefacts that agree with the Keras network.

    Args:
        measured: what ``examine`` returned.

    Raises:
        BadData: one differs too much, or scores too low; the message has the numbers.
    """
    wrong = [
        complaint
        for name, figures in measured.items()
        if name != "keras"
        for complaint in _complaints(name, figures, measured["keras"]["dice"])
    ]
    if wrong:
        raise BadData("; ".join(wrong) + ". The files of before were kept.")


def _complaints(name: str, figures: dict[str, Any], wanted_dice: float) -> list[str]:
    wrong = []
    difference, allowed = figures["max_difference"], LARGEST_DIFFERENCE.get(name)
    # The comparisons are written so that a NaN does not pass.
    if allowed is not None and not difference <= allowed:
        wrong.append(
            f"the exported {name} differs from the Keras network by {difference:.2g} "
            f"in probability, at most {allowed:.0e} is allowed"
        )
    if not figures["dice"] >= wanted_dice - LARGEST_LOSS[name]:
        wrong.append(
            f"the exported {name} has Dice {figures['dice']:.4f} on the validation "
            f"images, the Keras network {wanted_dice:.4f}; "
            f"at most {LARGEST_LOSS[name]} may be lost"
        )
    return wrong


def _run_fresh(*arguments: str) -> None:
    package = str(Path(__file__).parents[2])
    paths = [package, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        # A GPU rounds differently, and may be full of the network just trained.
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    done = subprocess.run(
        [sys.executable, "-m", __name__, *arguments],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        # The interpreter's own message follows TensorFlow's start-up chatter.
        cause = done.stderr.rpartition("error: ")[2].strip()[-2000:]
        raise BadData(
            "the exported files could not be measured in a fresh interpreter "
            f"(status {done.returncode}): {cause}"
        )


_SECONDS = 0.5
"""How long one latency is measured, after a first call that does not count."""


def measure(
    run: RunFolder, config: Config, pairs: Sequence[Pair], artefacts: dict[str, Path]
) -> dict[str, dict[str, Any]]:
    """Returns what was measured of each artefact, and of "keras".

    That is bytes, operators, the largest and the mean difference of its probability
    from the Keras network's, Dice, and seconds per image: of a whole request of the
    SavedModel, else of the network alone. Probabilities and masks are those at the
    images' own size.
    """
    opened: dict[str, Any] = {"keras": OpenedRun(run, config)}
    for name, path in artefacts.items():
        opened[name] = _opened(name, path, config)
    tallies = {name: _Tally(config) for name in opened}
    for pair in pairs:
        image, mask = read_pair(pair, 3, config.data)
        wanted = opened["keras"].probability(image)
        for name, artefact in opened.items():
            came = wanted if name == "keras" else artefact.probability(image)
            tallies[name].add(mask, came, wanted)
    return {
        name: tallies[name].figures() | artefact.figures(image)
        for name, artefact in opened.items()
    }


class OpenedRun:
    """The Keras network that every artefact is compared with."""

    def __init__(self, run: RunFolder, config: Config) -> None:
        """Loads the run's best weights, in float32."""
        self._segmenter = Segmenter(run, config.predict)

    def probability(self, image: Image) -> Probability:
        """Returns (h, w, classes) of one image (h, w, 3)."""
        (strips,) = self._segmenter.strips([image])
        return np.concatenate([strip for _, strip in strips])

    def figures(self, image: Image) -> dict[str, Any]:
        """Returns what is known of the network without the validation images."""
        size = self._segmenter.config.data.network_size
        small = resize_image(image, size)[np.newaxis]
        return {
            "parameters": self._segmenter.network.count_params(),
            "seconds_per_image": _seconds(lambda: self._segmenter.forward(small)),
        }


class OpenedSavedModel:
    """A SavedModel as TensorFlow Serving sees it: through its signatures."""

    def __init__(self, folder: Path, config: Config) -> None:
        """Loads the folder of one version."""
        self.folder, self._config = folder, config
        self._loaded = tf.saved_model.load(str(folder))
        self._masks = self._loaded.signatures["serving_default"]
        self._tensor = self._loaded.signatures["tensor"]

    def probability(self, image: Image) -> Probability:
        """Returns (h, w, classes) of one image (h, w, 3)."""
        found = self._tensor(image=tf.constant(image[np.newaxis]))
        return np.asarray(found["probability"][0])

    def figures(self, image: Image) -> dict[str, Any]:
        """Returns size, operators and the latency of requests with JPEG images."""
        jpeg = tf.io.encode_jpeg(within_limit(image, self._config)).numpy()
        latency = [self._latency(jpeg, batch) for batch in BATCHES]
        return {
            "bytes": sum(
                f.stat().st_size for f in self.folder.rglob("*") if f.is_file()
            ),
            "operators": self._operators(),
            "seconds_per_image": latency[0]["seconds"],
            "latency": latency,
        }

    def _latency(self, jpeg: bytes, batch: int) -> dict[str, float]:
        request = tf.constant([jpeg] * batch)
        seconds = _seconds(lambda: self._masks(image_bytes=request))
        return {
            "batch": batch,
            "seconds": seconds,
            "images_per_second": batch / seconds,
        }

    def _operators(self) -> list[str]:
        graph = self._masks.graph.as_graph_def()
        functions = [f.node_def for f in graph.library.function]
        return sorted({node.op for nodes in [graph.node, *functions] for node in nodes})


class OpenedFile:
    """A file of one image or tile, whose runtime is laid over images of any size."""

    def __init__(self, network: TFLiteNetwork | OnnxNetwork, config: Config) -> None:
        """Takes the opened file."""
        self._network, self._data = network, config.data
        predict, classes = with_flips(self._predict, config), config.model.classes
        self._tiler = Tiler(predict, classes, *tilings(config))
        self._made = (self._tiler.rows.predicted, self._tiler.columns.predicted)
        self._classes = max(classes, 2)

    def probability(self, image: Image) -> Probability:
        """Returns (h, w, classes) of one image (h, w, 3)."""
        height, width = image.shape[:2]
        seen = self._data.seen_size((height, width))
        found = self._tiler.strips(image, seen)
        every = resampled(found, seen[0], (height, width))
        return np.concatenate([strip for _, strip in every])

    def _predict(self, tiles: Tensor) -> Tensor:
        """Returns the probability of tiles, one after the other."""
        found = tf.numpy_function(self._found, [tiles], tf.float32)
        return tf.ensure_shape(found, (None, *self._made, self._classes))

    def _found(self, tiles: npt.NDArray[np.float32]) -> Probability:
        return np.concatenate([self._run(tile) for tile in tiles])

    def _run(self, tile: npt.NDArray[np.float32]) -> Probability:
        self._network.take(tile)
        self._network.run()
        return self._network.probability()

    def figures(self, image: Image) -> dict[str, Any]:
        """Returns size, operators and the latency of the network alone."""
        size = (self._tiler.rows.tile, self._tiler.columns.tile)
        self._network.take(np.asarray(resize_image(image, size)))
        return {
            "bytes": self._network.file.stat().st_size,
            "operators": self._network.operators,
            "seconds_per_image": _seconds(self._network.run),
            "threads": 1,
        }


def _opened(name: str, path: Path, config: Config) -> OpenedSavedModel | OpenedFile:
    if name == "saved_model":
        return OpenedSavedModel(path, config)
    network = OnnxNetwork(path) if name == "onnx" else TFLiteNetwork(path)
    return OpenedFile(network, config)


class _Tally:
    """Differences and Dice, image after image."""

    def __init__(self, config: Config) -> None:
        self.classes = config.model.classes
        self.threshold = config.predict.threshold
        self.largest: list[float] = []
        self.mean: list[float] = []
        self.dice = segmentation_metrics(self.classes)[0]

    def add(self, mask: Mask, came: Probability, wanted: Probability) -> None:
        difference = np.abs(came - wanted)
        self.largest.append(float(difference.max()))
        self.mean.append(float(difference.mean()))
        found = np.asarray(to_mask(came, self.threshold))
        self.dice.add(confusion(mask, found, self.classes)[np.newaxis])

    def figures(self) -> dict[str, Any]:
        return {
            "dice": float(self.dice.result()),
            "max_difference": float(np.max(self.largest)),
            "mean_difference": statistics.fmean(self.mean),
        }


def _seconds(call: Callable[[], Any]) -> float:
    """Returns the median time of one call."""
    call()
    times: list[float] = []
    while not times or sum(times) < _SECONDS:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main(job: Path, result: Path) -> None:
    """Measures what the job, a pickle of ``measure``'s arguments, asks for."""
    result.write_text(json.dumps(measure(*pickle.loads(job.read_bytes()))), "utf-8")


if __name__ == "__main__":
    sys.exit(run_verb(lambda: main(*map(Path, sys.argv[1:]))))
