import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from keras_unet.validate import as_type, read_json


@dataclass(frozen=True)
class Inner:
    name: str
    kind: Literal["a", "b"] = "a"
    place: Path | None = None


@dataclass(frozen=True)
class Outer:
    count: int
    share: float
    size: tuple[int, int]
    rows: tuple[Inner, ...] = ()

    def __post_init__(self):
        if self.count < 1:
            raise ValueError("count must be 1 or more")


GOOD = {"count": 1, "share": 2, "size": [3, 4], "rows": [{"name": "x", "place": "y"}]}


def test_what_fits_is_made_of_the_types():
    found = as_type(GOOD, Outer)
    assert found == Outer(1, 2.0, (3, 4), (Inner("x", "a", Path("y")),))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": "1"}, "count: expected int, found str"),
        ({"count": True}, "count: expected int, found bool"),
        ({"count": 0}, "count must be 1 or more"),
        ({"share": None}, "share: expected float, found null"),
        ({"size": [1]}, "size: expected array of length 2, found 1"),
        ({"rows": [{"name": "x", "kind": "c"}]}, "kind: expected one of a, b, found"),
        ({"rows": [{"name": "x", "place": 3}]}, "place: expected str, found int"),
        ({"rows": [{"name": "x", "z": 1}]}, r"rows\[0\]\.z: is unknown here"),
        ({"rows": 3}, "rows: expected array, found int"),
        ({"more": 1}, "more: is unknown here"),
    ],
)
def test_what_does_not_fit_is_told_with_its_key(change, message):
    with pytest.raises(ValueError, match=message):
        as_type(GOOD | change, Outer)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is no JSON"),
        (b"\xff\xfe{", "is no JSON"),
        (b"[1]", "expected object, found array"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"a":' * 100_000, "is nested too deeply"),
        (b'{"count": 1%s}' % (b"0" * 5000), "is no JSON"),
    ],
)
def test_a_file_is_named_with_what_is_wrong_in_it(tmp_path, text, message):
    file = tmp_path / "config.json"
    file.write_bytes(text)
    with pytest.raises(ValueError, match=rf"config\.json: {message}"):
        read_json(file, dict[str, Any])


def test_the_library_loads_in_50_ms():
    code = (
        "import time, keras_unet.config, keras_unet.files\n"
        "def load():\n"
        "    began = time.process_time()\n"
        "    import keras_unet.validate\n"
        "    return time.process_time() - began\n"
        "print(load())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert float(done.stdout) < 0.05
