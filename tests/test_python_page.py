"""The code of docs/python.md runs, each block in a fresh process, in one folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import keras_unet

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
NAME = re.compile(r"keras_unet\.([A-Za-z_]+)")


def page():
    if not PAGE.is_file():
        pytest.skip("needs the checkout")
    return PAGE.read_text(encoding="utf-8")


def test_the_names_on_the_page_are_public():
    assert set(NAME.findall(page())) <= {*keras_unet.__all__}


@pytest.mark.slow
def test_each_block_runs_in_a_fresh_process(tmp_path):
    root = Path(keras_unet.__file__).parents[1]
    for block in re.findall(r"(?ms)^```python\n(.*?)^```$", page()):
        done = subprocess.run(
            [sys.executable, "-c", block],
            env={**os.environ, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert done.returncode == 0, block + done.stderr
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"cars", "unet.keras", "run"}
