"""What a reader may rely on when looking for a line: no room too large or untested."""

import statistics
from pathlib import Path

import pytest

pytest.importorskip("benchmarks.structure", reason="needs the checkout")

from benchmarks.structure import modules_of

ROOT = Path(__file__).parents[1]
MODULES = modules_of(ROOT / "keras_unet")
UNTESTED = {"__init__", "types"}
"""Lists of names, in which nothing happens."""


def test_no_module_is_longer_than_a_reader_takes():
    assert {module.name: module.lines for module in MODULES if module.lines > 350} == {}


def test_there_are_no_more_modules_than_there_were():
    # The plan had 80. Reading masks and pairing without guesses took eight that it did
    # not foresee; to merge them would make modules of more than 350 lines.
    assert len(MODULES) <= 88
    assert len([module for module in MODULES if "." not in module.name]) <= 13


def test_functions_are_short():
    lengths = [length for module in MODULES for length in module.functions]
    assert statistics.median(lengths) <= 10


@pytest.mark.parametrize("module", [module.name for module in MODULES])
def test_every_module_has_its_file_of_tests(module):
    *packages, name = module.split(".")
    if name in UNTESTED:
        return
    file = f"test_{name.strip('_')}.py"
    assert (ROOT.joinpath("tests", *packages) / file).is_file()
