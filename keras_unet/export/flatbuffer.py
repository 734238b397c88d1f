"""TFLite models as tables: their operators, and weights in half the bytes."""

from __future__ import annotations

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
