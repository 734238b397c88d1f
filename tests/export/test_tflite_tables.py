import io
import zipfile

import numpy as np
import pytest
import tiny_run
from tensorflow.lite.python import schema_py_generated as schema

from keras_unet.config import UNetConfig
from keras_unet.export.tflite import frozen, write_tflite
from keras_unet.export.tflite_tables import (
    operators,
    unpack,
    with_float16_weights,
    with_metadata,
)
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


@pytest.fixture(scope="module")
def model():
    return tiny_run.tflite_files()["float32"].read_bytes()


def buffer_named(model, name):
    tables = schema.Model.GetRootAs(model, 0)
    for place in range(tables.MetadataLength()):
        entry = tables.Metadata(place)
        if entry.Name().decode() == name:
            return tables.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
    raise AssertionError(f"no metadata {name}")


@pytest.fixture(scope="module")
def tables(model):
    """The metadata as MediaPipe's own reader of the schema sees it."""
    read = pytest.importorskip(
        "mediapipe.tasks.metadata.metadata_schema_py_generated",
        reason="mediapipe is installed beside the default stack only",
    )
    return read.ModelMetadataT.InitFromObj(
        read.ModelMetadata.GetRootAs(buffer_named(model, "TFLITE_METADATA"), 0)
    )


def test_pixels_go_in_as_they_are(tables):
    (image,) = tables.subgraphMetadata[0].inputTensorMetadata
    options = image.processUnits[0].options
    assert (list(options.mean), list(options.std)) == ([0.0], [1.0])


def test_the_image_is_rgb_from_0_to_255(tables):
    (image,) = tables.subgraphMetadata[0].inputTensorMetadata
    assert image.content.contentProperties.colorSpace == 1
    assert (list(image.stats.min), list(image.stats.max)) == ([0.0], [255.0])


def test_the_labels_belong_to_the_output(tables):
    (probability,) = tables.subgraphMetadata[0].outputTensorMetadata
    (labels,) = probability.associatedFiles
    assert (labels.name, labels.type) == (b"labels.txt", 2)


def test_the_segmenter_applies_no_activation(tables):
    read = pytest.importorskip(
        "mediapipe.tasks.metadata.image_segmenter_metadata_schema_py_generated"
    )
    (custom,) = tables.subgraphMetadata[0].customMetadata
    assert custom.name == b"SEGMENTER_METADATA"
    data = np.asarray(custom.data, np.uint8).tobytes()
    assert data[4:8] == b"V001"
    assert read.ImageSegmenterOptions.GetRootAs(data, 0).Activation() == 0


def test_the_labels_file_is_at_the_end_as_a_zip_archive(model):
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        assert archive.read("labels.txt") == b"class 0\nclass 1\n"


def test_every_buffer_starts_at_a_multiple_of_16_bytes(model):
    tables = schema.Model.GetRootAs(model, 0)
    start = np.frombuffer(model, np.uint8).__array_interface__["data"][0]
    offsets = []
    for place in range(tables.BuffersLength()):
        data = tables.Buffers(place).DataAsNumpy()
        if isinstance(data, np.ndarray):
            offsets.append((data.__array_interface__["data"][0] - start) % 16)
    assert offsets
    assert not any(offsets)


def test_the_same_network_gives_the_same_bytes(model):
    assert with_metadata(model, ["a", "b"]) == with_metadata(model, ["a", "b"])
