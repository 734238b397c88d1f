"""A run's ONNX file in onnxruntime, and what lies beside it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tiny_run
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
)
from PIL import Image

from keras_unet import __version__
from keras_unet.config import UNetConfig
from keras_unet.export.onnx import write_onnx, write_triton_config
from keras_unet.export.tflite import write_client
from keras_unet.model.unet import build_network
from keras_unet.prediction.segmenter import Segmenter, probability_of
from keras_unet.prediction.weights_file import load_network

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("tf2onnx", reason="needs the extra onnx")


def opened(file):
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


def noise(*shape):
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    run, folder = tiny_run.trained(), tmp_path_factory.mktemp("onnx")
    write_onnx(load_network(run), run.load_config(), folder / "model.onnx")
    return opened(folder / "model.onnx")


def test_onnxruntime_gives_the_keras_networks_probability(session):
    image = tiny_run.make_image(100, tiny_run.SIZE)[0]
    wanted = Segmenter(tiny_run.trained()).probability(image)
    (came,) = session.run(None, {"image": image[np.newaxis].astype(np.float32)})
    np.testing.assert_allclose(came[0], wanted, atol=1e-5)


def test_names_and_axes_say_what_goes_in_and_comes_out(session):
    (start,), (end,) = session.get_inputs(), session.get_outputs()
    assert (start.name, start.type) == ("image", "tensor(float)")
    assert start.shape == ["batch", "height", "width", 3]
    assert (end.name, end.type) == ("probability", "tensor(float)")
    assert end.shape == ["batch", "mask_height", "mask_width", 2]


def test_the_file_says_what_its_channels_mean_and_who_wrote_it(session):
    told = session.get_modelmeta().custom_metadata_map
    assert {name: json.loads(text) for name, text in told.items()} == {
        "labels": ["background", "foreground"],
        "class_values": [0, 255],
        "image_size": [48, 64],
        "threshold": 0.5,
        "keras_unet_version": __version__,
    }


@pytest.mark.parametrize(
    "model",
    [
        {"classes": 3},
        {"channels": 1, "padding": "valid"},
        {"normalization": "batch", "upsampling": "bilinear", "stem_stride": 2},
        {"normalization": "batch", "stem_stride": 2},
        {"normalization": "group"},
    ],
    ids=["classes", "grey-valid", "mobile", "carvana", "group"],
)
def test_every_architecture_takes_batches_of_every_size(model, tmp_path):
    network = build_network(UNetConfig(filters=4, depth=2, **model))
    config = tiny_run.trained().load_config()
    write_onnx(network, config, tmp_path / "model.onnx")
    session = opened(tmp_path / "model.onnx")
    for shape in [(1, 48, 64, 3), (3, 50, 71, 3), (2, 5, 1, 3)]:
        (came,) = session.run(None, {"image": noise(*shape)})
        wanted = probability_of(network, tf.constant(noise(*shape)))
        np.testing.assert_allclose(came, wanted, atol=1e-5)


def test_the_program_of_the_page_runs(tmp_path):
    page = Path(__file__).parents[2] / "docs" / "onnx.md"
    if not page.is_file():
        pytest.skip("needs the checkout")
    code = page.read_text("utf-8").partition("```python\n")[2].partition("```")[0]
    run = tiny_run.trained()
    write_onnx(load_network(run), run.load_config(), tmp_path / "model.onnx")
    write_client(tmp_path, run.load_config(), ["model.onnx"])
    Image.fromarray(tiny_run.make_image(0)[0]).save(tmp_path / "car.jpg")
    code += "assert probability.shape == (*image.shape[:2], 2)"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


TENSOR = """
    field { name: "name" number: 1 type: TYPE_STRING }
    field { name: "data_type" number: 2 type: TYPE_ENUM type_name: "DataType" }
    field { name: "dims" number: 4 type: TYPE_INT64 label: LABEL_REPEATED }
"""
TRITON = f"""
name: "model_config.proto" package: "inference" syntax: "proto3"
enum_type {{
    name: "DataType"
    value {{ name: "TYPE_INVALID" number: 0 }}
    value {{ name: "TYPE_FP32" number: 11 }}
}}
message_type {{ name: "ModelTensor" {TENSOR} }}
message_type {{
    name: "ModelDynamicBatching"
    field {{ name: "max_queue_delay_microseconds" number: 2 type: TYPE_UINT64 }}
}}
message_type {{
    name: "ModelConfig"
    field {{ name: "name" number: 1 type: TYPE_STRING }}
    field {{ name: "backend" number: 17 type: TYPE_STRING }}
    field {{ name: "max_batch_size" number: 4 type: TYPE_INT32 }}
    field {{
        name: "input" number: 5 type: TYPE_MESSAGE type_name: "ModelTensor"
        label: LABEL_REPEATED
    }}
    field {{
        name: "output" number: 6 type: TYPE_MESSAGE type_name: "ModelTensor"
        label: LABEL_REPEATED
    }}
    field {{
        name: "dynamic_batching" number: 11
        type: TYPE_MESSAGE type_name: "ModelDynamicBatching"
    }}
}}
"""
"""Of Triton's model_config.proto, the names and types that the run's config uses."""


def triton_config(text):
    file = text_format.Parse(TRITON, descriptor_pb2.FileDescriptorProto())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    kind = pool.FindMessageTypeByName("inference.ModelConfig")
    return text_format.Parse(text, message_factory.GetMessageClass(kind)())


def test_triton_finds_the_files_names_types_and_axes_in_its_config(tmp_path, session):
    write_triton_config(tmp_path, tiny_run.trained().load_config())
    config = triton_config((tmp_path / "config.pbtxt").read_text())
    assert (config.name, config.backend) == ("unet", "onnxruntime")
    assert config.max_batch_size == 16
    for tensors, told in [
        (session.get_inputs(), config.input),
        (session.get_outputs(), config.output),
    ]:
        (tensor,), (one,) = tensors, told
        assert one.name == tensor.name
        assert one.data_type == 11  # TYPE_FP32
        known = [size if isinstance(size, int) else -1 for size in tensor.shape]
        assert list(one.dims) == known[1:]
