import numpy as np
import pytest
from tensorflow.lite.python import schema_py_generated as schema

from keras_unet.config import UNetConfig
from keras_unet.export.flatbuffer import operators, unpack, with_float16_weights
from keras_unet.export.tflite import frozen, write_tflite
from keras_unet.model.unet import build_network


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    file = tmp_path_factory.mktemp("flatbuffer") / "model.tflite"
    with frozen(build_network(UNetConfig(filters=16, depth=2)), (32, 32)) as source:
        write_tflite(source, "float32", file, ["background", "foreground"])
    return file.read_bytes()


@pytest.fixture(scope="module")
def half(full):
    return with_float16_weights(full)


def weights(model, kind):
    tables = unpack(model)
    return [
        len(tables.buffers[tensor.buffer].data) // np.dtype(kind).itemsize
        for tensor in tables.subgraphs[0].tensors
        if tensor.type == getattr(schema.TensorType, kind.upper())
        and tables.buffers[tensor.buffer].data is not None
    ]


def test_float16_weights_take_about_half_the_bytes(full, half):
    assert len(half) < 0.55 * len(full)


def test_no_weight_is_lost(full, half):
    kept = weights(half, "float32") + weights(half, "float16")
    assert sorted(kept) == sorted(weights(full, "float32"))


def test_only_the_smallest_hundredth_of_the_weights_stays_float32(full, half):
    assert 0 < sum(weights(half, "float32")) <= 0.01 * sum(weights(full, "float32"))


def test_one_operator_is_new(full, half):
    assert sorted({*operators(full), "DEQUANTIZE"}) == operators(half)
