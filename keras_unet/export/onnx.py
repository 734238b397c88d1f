"""An ONNX file of a network, for onnxruntime, OpenVINO and Triton.

``tf2onnx.convert.from_function`` makes it on both stacks; the ``export`` of Keras 3
does the same, on one of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_unet import __version__
from keras_unet.config import Config
from keras_unet.console import held_back_stderr
from keras_unet.export.client import MODEL
from keras_unet.export.serving import BATCHES
from keras_unet.files import write_whole
from keras_unet.prediction.segmenter import class_names, class_values, probability_of
from keras_unet.prediction.tiles import tilings
from keras_unet.types import Image, Probability

OPSET = 17
"""Of 2022: what is in use reads it."""

_TRITON = """\
# Triton reads it from MODELS/{model}/config.pbtxt beside MODELS/{model}/1/model.onnx.
name: "{model}"
backend: "onnxruntime"
# Requests of one size that wait at most 5 ms for each other become one batch.
max_batch_size: {largest}
dynamic_batching {{ max_queue_delay_microseconds: 5000 }}
input [
  {{
    name: "image"
    data_type: TYPE_FP32
    dims: [ -1, -1, 3 ]
  }}
]
output [
  {{
    name: "probability"
    data_type: TYPE_FP32
    dims: [ -1, -1, {classes} ]
  }}
]
"""


def write_onnx(network: keras.Model, config: Config, file: Path) -> None:
    """Writes ``network`` as an ONNX file for any batch and any size.

    * in: ``image``, float32 (b, h, w, 3), RGB in 0..255
    * out: ``probability``, float32 (b, h, w, classes), at least two channels that sum
      to one; of tiles without padding it is smaller.

    What goes with it is in the file's properties, each of them as JSON: labels,
    class_values (as ``predict`` writes them), image_size (height and width of an image,
    or of a tile), threshold, keras_unet_version.

    Args:
        network: of images, or of the run's tiles.
        config: of the run.
        file: what is written.
    """
    import onnx
    import tf2onnx

    function = tf.function(
        lambda image: {"probability": probability_of(network, image)}, autograph=False
    )
    spec = tf.TensorSpec((None, None, None, 3), tf.float32, name="image")
    # tf2onnx logs each of its passes.
    with held_back_stderr():
        model, _ = tf2onnx.convert.from_function(function, [spec], opset=OPSET)
    _name_axes(model.graph.input[0], "height", "width")
    _name_axes(model.graph.output[0], "mask_height", "mask_width")
    onnx.helper.set_model_props(model, _properties(config))
    onnx.checker.check_model(model, full_check=True)
    file.write_bytes(model.SerializeToString())


def _name_axes(value: Any, height: str, width: str) -> None:
    axes = value.type.tensor_type.shape.dim
    for axis, name in zip(axes, ("batch", height, width), strict=False):
        axis.dim_param = name


def _properties(config: Config) -> dict[str, str]:
    rows, columns = tilings(config)
    told = {
        "labels": class_names(config),
        "class_values": class_values(config).tolist(),
        "image_size": (rows.tile, columns.tile),
        "threshold": config.predict.threshold,
        "keras_unet_version": __version__,
    }
    return {name: json.dumps(value) for name, value in told.items()}


def write_triton_config(folder: Path, config: Config) -> None:
    """Writes config.pbtxt, which Triton Inference Server reads beside the file."""
    classes = len(class_names(config))
    text = _TRITON.format(model=MODEL, largest=BATCHES[-1], classes=classes)
    with write_whole(folder / "config.pbtxt") as file:
        file.write_text(text, "utf-8", newline="\n")


class OnnxNetwork:
    """An ONNX file in onnxruntime, on one thread, as a function of one image or tile.

    Attributes:
        file: that it came from.
        operators: names of those in it, each once, sorted.
    """

    def __init__(self, file: Path) -> None:
        """Opens the file."""
        import onnx
        import onnxruntime

        self.file = file
        graph = onnx.load(str(file)).graph
        self.operators = sorted({node.op_type for node in graph.node})
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )

    def take(self, image: Image | npt.NDArray[np.float32]) -> None:
        """Takes what ``run`` shall look at, (h, w, 3) in 0..255."""
        self._given = np.asarray(image, np.float32)[np.newaxis]

    def run(self) -> None:
        """Has the network look at it."""
        (self._found,) = self._session.run(None, {"image": self._given})

    def probability(self) -> Probability:
        """Returns what the network found, (1, h, w, classes)."""
        found: Probability = self._found
        return found
