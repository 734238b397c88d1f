"""TFLite files as tables: operators, weights in half the bytes, MediaPipe's metadata.

MediaPipe's own writer does not import from its wheel (1.2.2). The tables and their
field numbers are those of ``metadata_schema.fbs`` and
``image_segmenter_metadata_schema.fbs`` in that wheel.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

SHARE_IN_FLOAT32 = 0.01
"""Of the weights, the smallest tensors first: biases, and kernels at full resolution.

Rounding those is what moves the probability most, and their bytes are few.
"""

# The interpreter knows half precision from this version of the operator on.
_DEQUANTIZE_VERSION = 3


def unpack(model: bytes) -> Any:
    """Returns the model's tables, to be changed and packed again."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))


def pack(tables: Any) -> bytes:
    """Returns the model of the tables."""
    tables.buffers = [_Aligned(buffer) for buffer in tables.buffers]
    builder = flatbuffers.Builder(1024)
    builder.Finish(tables.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def operators(model: bytes) -> list[str]:
    """Returns the names of the operators in a TFLite model, each once, sorted."""
    tables = schema.Model.GetRootAs(model, 0)
    names = {
        number: name
        for name, number in vars(schema.BuiltinOperator).items()
        if isinstance(number, int)
    }
    codes = [tables.OperatorCodes(i) for i in range(tables.OperatorCodesLength())]
    # Old readers know the numbers below 127 only, in a field of their own.
    return sorted(
        {names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())] for code in codes}
    )


def output_quantization(model: bytes) -> dict[str, float] | None:
    """Returns by which scale and zero point integers of the output are probabilities.

    Of a model whose output is float32 there are none.
    """
    graph = schema.Model.GetRootAs(model, 0).Subgraphs(0)
    found = graph.Tensors(graph.Outputs(0)).Quantization()
    if not found or not found.ScaleLength():
        return None
    return {"scale": float(found.Scale(0)), "zero": int(found.ZeroPoint(0))}


def with_float16_weights(model: bytes) -> bytes:
    """Returns a float32 model with weights stored as float16, save the smallest.

    Each of them is followed by the operator that makes float32 of it again, as in the
    converter's own float16 files; those round every bias and every small kernel too.
    """
    tables = unpack(model)
    graph = tables.subgraphs[0]
    tables.operatorCodes.append(_dequantize_code())
    code = len(tables.operatorCodes) - 1
    halves: dict[int, int] = {}
    for number in _large_weights(tables):
        full = graph.tensors[number]
        if full.buffer not in halves:
            stored = tables.buffers[full.buffer]
            half = stored.data.view(np.float32).astype(np.float16)
            stored.data = half.view(np.uint8)
            halves[full.buffer] = len(graph.tensors)
            graph.tensors.append(_half_tensor(full))
        graph.operators.insert(0, _dequantize(code, halves[full.buffer], number))
        # Buffer 0 is the empty one of all tensors that are computed.
        full.buffer = 0
    return pack(tables)


def _large_weights(tables: Any) -> list[int]:
    """Returns the numbers of the tensors that are worth rounding."""
    sizes = {
        number: len(tables.buffers[tensor.buffer].data)
        for number, tensor in enumerate(tables.subgraphs[0].tensors)
        if tensor.type == schema.TensorType.FLOAT32
        and tables.buffers[tensor.buffer].data is not None
    }
    by_size = sorted(sizes, key=lambda number: sizes[number])
    kept = np.cumsum([sizes[number] for number in by_size])
    few = SHARE_IN_FLOAT32 * kept[-1] if len(kept) else 0
    return [number for number, sum_ in zip(by_size, kept, strict=True) if sum_ > few]


def _half_tensor(full: Any) -> Any:
    half = schema.TensorT()
    half.name, half.shape = full.name + b"_float16", full.shape
    half.buffer = full.buffer
    half.type = schema.TensorType.FLOAT16
    return half


def _dequantize_code() -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = schema.BuiltinOperator.DEQUANTIZE
    code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    code.version = _DEQUANTIZE_VERSION
    return code


def _dequantize(code: int, half: int, full: int) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, [half], [full]
    operator.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
    operator.builtinOptions = schema.DequantizeOptionsT()
    return operator


class _Aligned(schema.BufferT):
    """A buffer at a multiple of 16 bytes, which kernels on phones rely on.

    The schema asks for it, the Python code made from the schema forgets it.
    """

    def __init__(self, buffer: Any) -> None:
        super().__init__()
        self.data = buffer.data

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802
        if self.data is not None:
            builder.Prep(16, len(self.data))
        return int(super().Pack(builder))


LABELS_FILE = "labels.txt"
_METADATA_IDENTIFIER, _SEGMENTER_IDENTIFIER = b"M001", b"V001"
_PARSER_VERSION = "1.0.0"
_IMAGE_PROPERTIES, _NORMALIZATION_OPTIONS = 2, 1
"""Numbers of these members in the schema's unions."""
_RGB, _TENSOR_AXIS_LABELS, _NO_ACTIVATION = 1, 2, 0


def with_metadata(model: bytes, labels: Sequence[str]) -> bytes:
    """Returns the TFLite ``model`` with metadata for MediaPipe's ImageSegmenter.

    It says: RGB in 0..255 goes in as it is (mean 0, deviation 1), probability comes
    out as it is (no activation), one label a channel. The labels' file is appended as
    a ZIP archive, which flatbuffer readers do not see.
    """
    tables = unpack(model)
    data = schema.BufferT()
    data.data = np.frombuffer(_model_metadata(), np.uint8)
    tables.buffers.append(data)
    entry = schema.MetadataT()
    entry.name, entry.buffer = "TFLITE_METADATA", len(tables.buffers) - 1
    tables.metadata = [*(tables.metadata or []), entry]
    return pack(tables) + _archive(labels)


def _archive(labels: Sequence[str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        # The date is fixed, so that the same network gives the same bytes.
        info = zipfile.ZipInfo(LABELS_FILE)
        archive.writestr(info, "".join(f"{label}\n" for label in labels))
    return file.getvalue()


def _model_metadata() -> bytes:
    write = _Writer()
    image, probability = _image(write), _probability(write)
    segmenter = write.table(
        {0: write.text("SEGMENTER_METADATA"), 1: write.binary(_segmenter_options())},
        size=2,
    )
    subgraph = write.table(
        {
            2: write.tables([image]),
            3: write.tables([probability]),
            9: write.tables([segmenter]),
        },
        size=10,
    )
    model = write.table(
        {
            0: write.text("keras_unet"),
            1: write.text("U-Net for image segmentation"),
            3: write.tables([subgraph]),
            7: write.text(_PARSER_VERSION),
        },
        size=8,
    )
    return write.finish(model, _METADATA_IDENTIFIER)


def _image(write: _Writer) -> int:
    normalization = write.table(
        {0: write.numbers([0.0]), 1: write.numbers([1.0])}, size=2
    )
    unit = write.table({1: normalization}, {0: _NORMALIZATION_OPTIONS}, size=2)
    properties = write.table({}, {0: _RGB}, size=2)
    content = write.table({1: properties}, {0: _IMAGE_PROPERTIES}, size=3)
    stats = write.table({0: write.numbers([255.0]), 1: write.numbers([0.0])}, size=2)
    return write.table(
        {
            0: write.text("image"),
            1: write.text("RGB image, values 0 to 255"),
            3: content,
            4: write.tables([unit]),
            5: stats,
        },
        size=7,
    )


def _probability(write: _Writer) -> int:
    labels = write.table({0: write.text(LABELS_FILE)}, {2: _TENSOR_AXIS_LABELS}, size=5)
    return write.table(
        {
            0: write.text("probability"),
            1: write.text("Probability of each class, which sum to one"),
            6: write.tables([labels]),
        },
        size=7,
    )


def _segmenter_options() -> bytes:
    write = _Writer()
    options = write.table({1: write.text(_PARSER_VERSION)}, {0: _NO_ACTIVATION}, size=2)
    return write.finish(options, _SEGMENTER_IDENTIFIER)


class _Writer:
    """Flatbuffers by field number: children first, each call returns an offset."""

    def __init__(self) -> None:
        self._builder = flatbuffers.Builder(1024)

    def text(self, text: str) -> int:
        return int(self._builder.CreateString(text))

    def binary(self, data: bytes) -> int:
        # The schema aligns custom metadata at 16 bytes, being a flatbuffer itself.
        self._builder.StartVector(1, len(data), 16)
        for byte in reversed(data):
            self._builder.PrependByte(byte)
        return int(self._builder.EndVector())

    def numbers(self, numbers: Sequence[float]) -> int:
        self._builder.StartVector(4, len(numbers), 4)
        for number in reversed(numbers):
            self._builder.PrependFloat32(number)
        return int(self._builder.EndVector())

    def tables(self, offsets: Sequence[int]) -> int:
        self._builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._builder.PrependUOffsetTRelative(offset)
        return int(self._builder.EndVector())

    def table(
        self, offsets: dict[int, int], enums: dict[int, int] | None = None, *, size: int
    ) -> int:
        """Writes a table of ``size`` fields: offsets and one-byte values by number."""
        self._builder.StartObject(size)
        for field, offset in offsets.items():
            self._builder.PrependUOffsetTRelativeSlot(field, offset, 0)
        for field, value in (enums or {}).items():
            self._builder.PrependUint8Slot(field, value, 0)
        return int(self._builder.EndObject())

    def finish(self, root: int, identifier: bytes) -> bytes:
        self._builder.Finish(root, file_identifier=identifier)
        return bytes(self._builder.Output())
