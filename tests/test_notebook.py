"""The notebook is one in two languages, without outputs, and runs to its last cell."""

import importlib.util
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from keras_unet.data.demo.make import make_demo

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
STORED = {
    "en": nbformat.read(NOTEBOOKS / "U-NET.ipynb", as_version=4),
    "es": nbformat.read(NOTEBOOKS / "U-NET.es.ipynb", as_version=4),
}
TINY = """\
CARVANA = {carvana!r}
CARS = 4
VIEWS = 2
OWN_SIZE = (64, 96)
IMAGE_SIZE = (32, 48)
FILTERS = 2
BATCH_SIZE = 2
EPOCHS = 1
"""


def cells(language, kind):
    return [cell for cell in STORED[language].cells if cell.cell_type == kind]


def parameters(notebook):
    """Returns the cells with the tag that papermill replaces too."""
    return [
        cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])
    ]


def names(source):
    return [line.partition(" = ")[0] for line in source.strip().splitlines()]


@pytest.mark.parametrize("language", STORED)
def test_it_is_stored_as_its_source_makes_it(language):
    pytest.importorskip("jupytext", reason="makes the notebooks")
    spec = importlib.util.spec_from_file_location("make", NOTEBOOKS / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    text = (NOTEBOOKS / make.NAMES[language]).read_text(encoding="utf-8")
    assert text == nbformat.writes(make.notebook(language)) + "\n"


@pytest.mark.parametrize("language", STORED)
def test_it_is_stored_without_outputs(language):
    code = cells(language, "code")
    assert not any(cell.outputs or cell.execution_count for cell in code)


@pytest.mark.parametrize("language", STORED)
def test_it_asks_for_the_kernel_that_every_environment_has(language):
    assert STORED[language].metadata.kernelspec.name == "python3"


def test_the_languages_differ_in_their_prose_alone():
    english, spanish = ([cell.source for cell in cells(one, "code")] for one in STORED)
    assert english == spanish
    english, spanish = (cells(one, "markdown") for one in STORED)
    for one, other in zip(english, spanish, strict=True):
        assert one.source != other.source
        for what in (r"^#+ ", r"\]\((.*?)\)", r"(?s)^```\n.*?^```", r"\d[\d,.×]*\d"):
            there, here = (re.findall(what, cell.source, re.M) for cell in (one, other))
            assert sorted(there) == sorted(here)


def test_one_cell_holds_the_settings():
    (cell,) = parameters(STORED["en"])
    assert names(cell.source) == names(TINY)


@pytest.mark.slow
def test_every_cell_runs_on_cars_from_a_folder_in_the_layout_of_kaggles(
    tmp_path, monkeypatch
):
    # The kernel starts in a folder of its own and imports the package from here.
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOKS.parent))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    make_demo(tmp_path / "carvana", cars=4, views=2, size=(64, 96))
    notebook = nbformat.from_dict(STORED["es"])
    parameters(notebook)[0].source = TINY.format(carvana="carvana")
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, resources=where, timeout=600).execute()
