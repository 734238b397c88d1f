"""The code of docs/python.md runs, each block in a fresh process, in one folder."""

import re
from pathlib import Path

import forked
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
    for block in re.findall(r"(?ms)^```python\n(.*?)^```$", page()):
        status, said = forked.run(["-c", block], cwd=tmp_path)
        assert status == 0, block + said
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"cars", "unet.keras", "run"}
