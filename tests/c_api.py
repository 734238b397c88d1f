"""Runs a SavedModel through TensorFlow's C API; TensorFlow's Python is never imported.

``python c_api.py JOB.json``: the job names the folder of the wheel's libraries, that of
the model, and what to run: tensors' names, and files with the bytes that go in and come
out. A shape makes the bytes a uint8 tensor, no shape makes them one string.
"""

import ctypes
import json
import sys
from ctypes import c_char_p, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path

UINT8, STRING = 4, 7
STRING_BYTES = 24
"""Size of a TF_TString."""


class Output(ctypes.Structure):
    _fields_ = (("operation", c_void_p), ("index", c_int))


class Api:
    """The C functions, and the status that they write to."""

    def __init__(self, folder):
        names = ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2")
        self.libraries = [
            ctypes.CDLL(str(Path(folder) / name), ctypes.RTLD_GLOBAL) for name in names
        ]
        self.status = self.pointer("TF_NewStatus")

    def call(self, name, *arguments, result=None):
        function = next(
            getattr(lib, name) for lib in self.libraries if hasattr(lib, name)
        )
        function.restype = result
        return function(*arguments)

    def pointer(self, name, *arguments):
        return c_void_p(self.call(name, *arguments, result=c_void_p))

    def check(self):
        if self.call("TF_GetCode", self.status, result=c_int):
            raise SystemExit(self.call("TF_Message", self.status, result=c_char_p))


def load(api, model):
    """Returns the session and the graph of a SavedModel."""
    graph = api.pointer("TF_NewGraph")
    session = api.pointer(
        "TF_LoadSessionFromSavedModel",
        api.pointer("TF_NewSessionOptions"),
        None,
        c_char_p(model.encode()),
        (c_char_p * 1)(b"serve"),
        c_int(1),
        graph,
        None,
        api.status,
    )
    api.check()
    return session, graph


def to_tensor(api, content, shape):
    """Returns a tensor of the bytes, uint8 of that shape or one string."""
    kind, size = (UINT8, len(content)) if shape else (STRING, STRING_BYTES)
    shape = shape or [1]
    tensor = api.pointer(
        "TF_AllocateTensor",
        c_int(kind),
        (c_int64 * len(shape))(*shape),
        c_int(len(shape)),
        c_size_t(size),
    )
    data = api.pointer("TF_TensorData", tensor)
    if kind == STRING:
        api.call("TF_StringInit", data)
        api.call("TF_StringCopy", data, c_char_p(content), c_size_t(len(content)))
    else:
        ctypes.memmove(data, content, size)
    return tensor


def to_bytes(api, tensor):
    """Returns the bytes of a tensor of numbers, or of its only string."""
    data = api.pointer("TF_TensorData", tensor)
    if api.call("TF_TensorType", tensor, result=c_int) == STRING:
        size = api.call("TF_StringGetSize", data, result=c_size_t)
        data = api.pointer("TF_StringGetDataPointer", data)
    else:
        size = api.call("TF_TensorByteSize", tensor, result=c_size_t)
    return ctypes.string_at(data, size)


def end(api, graph, name):
    """Returns the output called ``operation:index``."""
    operation, index = name.split(":")
    found = api.pointer("TF_GraphOperationByName", graph, c_char_p(operation.encode()))
    if not found:
        raise SystemExit(f"the graph has no {operation}")
    return (Output * 1)(Output(found, int(index)))


def run(api, session, graph, asked):
    """Runs one signature from file to file."""
    given = to_tensor(api, Path(asked["given"]).read_bytes(), asked["shape"])
    came = (c_void_p * 1)()
    api.call(
        "TF_SessionRun",
        session,
        None,
        end(api, graph, asked["input"]),
        (c_void_p * 1)(given),
        c_int(1),
        end(api, graph, asked["output"]),
        came,
        c_int(1),
        None,
        c_int(0),
        None,
        api.status,
    )
    api.check()
    Path(asked["came"]).write_bytes(to_bytes(api, c_void_p(came[0])))


def main(job):
    api = Api(job["libraries"])
    session, graph = load(api, job["model"])
    for asked in job["runs"]:
        run(api, session, graph, asked)
    assert "tensorflow" not in sys.modules


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
