"""TFLite files of a network, for LiteRT and MediaPipe on phones.

They are converted in the process that asks for them. TensorFlow's converter (2.21)
keeps 1 MB a conversion (30 of a file of 8 MB, 0.7 s each); a process of its own would
import TensorFlow first, which takes 3 s and more.

Tried with TensorFlow 2.21 and not taken. ai-edge-quantizer 0.10 makes 8 bits of the
float32 file in a third of the time, with the size and the Dice of ours, but a larger
difference (0.12 for 0.08) and int8 going in, not pixels; 4 bits lose Dice (0.987 for
0.999), 16-bit activations do not open. litert-converter 0.5 takes no SavedModel; XLA's
StableHLO it converts in a tenth of the time, but of bilinear doubling it makes a
GATHER_ND that is wrong by 0.95 (XLA itself is right), and it needs a typing-extensions
(below 4.13) that tyro refuses.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_unet.config import Config
from keras_unet.console import held_back_stderr
from keras_unet.errors import BadData
from keras_unet.export import tflite_client
from keras_unet.export.tflite_tables import (
    operators,
    with_float16_weights,
    with_metadata,
)
from keras_unet.files import read_json, write_json, write_whole
from keras_unet.prediction.segmenter import (
    class_values,
    probability_of,
    test_time_flips,
)
from keras_unet.prediction.tiles import tilings
from keras_unet.types import Probability

KINDS = ("float32", "float16", "dynamic", "int8")

MOBILE_GPU_OPERATORS = frozenset(
    [
        *("ADD", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEQUANTIZE", "DIV"),
        *("LOGISTIC", "MAX_POOL_2D", "MEAN", "MIRROR_PAD", "MUL", "NEG", "PAD"),
        *("QUANTIZE", "RESHAPE", "RESIZE_BILINEAR", "RSQRT", "SOFTMAX", "SQUARE"),
        *("SQUARED_DIFFERENCE", "STRIDED_SLICE", "SUB", "SUM", "TRANSPOSE_CONV"),
    ]
)
"""Built-ins that LiteRT's GPU delegate takes; SHAPE, PACK and GATHER are not."""


@contextlib.contextmanager
def frozen(network: keras.Model, size: tuple[int, int]) -> Iterator[Path]:
    """Yields a SavedModel of one image of ``size``, from which all files are made.

    Converters lose the weights of a ``tf.function`` around a Keras 3 network without a
    word, and an open batch or size adds SHAPE and PACK, which mobile GPUs refuse.
    """
    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        "serving_default",
        lambda image: {"probability": probability_of(network, image)},
        [tf.TensorSpec((1, *size, 3), tf.float32, name="image")],
    )
    with tempfile.TemporaryDirectory() as folder:
        # Keras prints its endpoints, and only Keras 3 can be asked not to.
        with contextlib.redirect_stdout(io.StringIO()):
            archive.write_out(folder)
        yield Path(folder)


def write_tflite(
    source: Path,
    kind: str,
    file: Path,
    labels: Sequence[str],
    images: Iterable[np.ndarray] = (),
) -> None:
    """Writes the SavedModel ``source``, made by ``frozen``, as a TFLite file.

    Images of 0..255 go into every kind as they are, and the probability of at least
    two channels comes out; int8 takes and gives them as uint8.

    Args:
        source: folder of the SavedModel.
        kind: of ``KINDS``: float16 and dynamic (int8) are so in weights, int8 in all.
        file: what is written.
        labels: names of the channels that come out.
        images: int8: those (h, w, 3) whose activations set the ranges.

    Raises:
        BadData: the network needs an operator that phones' GPUs do not take.
    """
    model = _convert(source, kind, images)
    if kind == "float16":
        model = with_float16_weights(model)
    refused = set(operators(model)) - MOBILE_GPU_OPERATORS
    if refused:
        raise BadData(
            f"{file.name} needs {', '.join(sorted(refused))}, which the GPU runtime of "
            f"phones does not take; it takes {', '.join(sorted(MOBILE_GPU_OPERATORS))}"
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(with_metadata(model, labels))


def _convert(source: Path, kind: str, images: Iterable[np.ndarray]) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(str(source))
    if kind in ("dynamic", "int8"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.uint8
        converter.representative_dataset = lambda: _spanning(images)
    with warnings.catch_warnings(), held_back_stderr():
        warnings.filterwarnings(
            "ignore", "Statistics for quantized inputs", UserWarning
        )
        model: bytes = converter.convert()
    return model


def _spanning(images: Iterable[np.ndarray]) -> Iterator[list[Any]]:
    for image in images:
        spanning = np.array(image, np.float32)
        # With both ends of the range present, the uint8 input is the pixel itself.
        spanning[0, 0], spanning[-1, -1] = 0.0, 255.0
        yield [spanning[np.newaxis]]


class TFLiteNetwork:
    """A TFLite file in LiteRT, on one thread, as a function of one image or tile.

    Attributes:
        file: that it came from.
        operators: names of those in it, each once, sorted.
    """

    def __init__(self, file: Path) -> None:
        """Opens the file."""
        self.file, self.operators = file, operators(file.read_bytes())
        self._interpreter = _interpreter(file)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]

    def take(self, image: npt.NDArray[np.float32]) -> None:
        """Takes what ``run`` shall look at, (h, w, 3) in 0..255."""
        if self._input["dtype"] == np.uint8:
            image = (image + 0.5).astype(np.uint8)
        self._interpreter.set_tensor(self._input["index"], image[np.newaxis])

    def run(self) -> None:
        """Has the network look at it."""
        self._interpreter.invoke()

    def probability(self) -> Probability:
        """Returns what the network found, (1, h, w, classes)."""
        came: Probability = self._interpreter.get_tensor(self._output["index"])
        scale, zero = self._output["quantization"]
        return (came.astype(np.float32) - zero) * scale if scale else came


def _interpreter(file: Path) -> Any:
    """Returns LiteRT's; where it is not installed, its predecessor in TensorFlow."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated")
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            return tf.lite.Interpreter(str(file), num_threads=1)
        return Interpreter(str(file), num_threads=1)


def client_settings(config: Config) -> dict[str, Any]:
    """Returns what it takes to segment an image of any size with a TFLite file."""
    rows, columns = tilings(config)
    values = class_values(config)
    return {
        "image_size": config.data.image_size,
        "resolution": config.data.resolution,
        "rows": asdict(rows),
        "columns": asdict(columns),
        "flips": test_time_flips(config),
        "threshold": config.predict.threshold,
        "classes": len(values),
        "values": values.tolist(),
        "white": config.data.white,
        "bands": config.data.bands_of_rgb,
        "notes": notes_on_bands(config.data.bands),
    }


def notes_on_bands(bands: tuple[int, ...]) -> list[str]:
    """Returns what to say where the bands are none of RGB, and nobody picks them."""
    if max(bands, default=0) <= 3:
        return []
    numbers = ", ".join(map(str, bands))
    return [
        f"The network was trained on bands {numbers}: give images that hold just "
        "these, in this order."
    ]


def write_client(folder: Path, config: Config, files: Sequence[str]) -> None:
    """Writes client.py, which needs no package of ours, and what it must know.

    Args:
        folder: of the files.
        config: of the run.
        files: which were made now; others there keep their threshold and flips.
    """
    told, place = client_settings(config), folder / "client.json"
    own = {name: told[name] for name in ("threshold", "flips")}
    before: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        old = read_json(place, dict[str, Any])
        # Up to 0.1.0 one threshold was for all, and flips were numbers.
        same = {**own, "threshold": old.get("threshold", own["threshold"])}
        there = dict.fromkeys((file.name for file in folder.glob("model*.*")), same)
        before = old.get("files", there)
    write_json(place, told | {"files": before | dict.fromkeys(files, own)})
    with write_whole(folder / "client.py") as file:
        shutil.copyfile(tflite_client.__file__, file)
