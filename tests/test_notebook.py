"""The notebook is stored without outputs and runs from its first cell to its last."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "U-NET.ipynb"
TINY = """\
CARS = 4
VIEWS = 2
OWN_SIZE = (64, 96)
IMAGE_SIZE = (32, 48)
FILTERS = 2
BATCH_SIZE = 2
EPOCHS = 1
"""


def stored():
    return nbformat.read(NOTEBOOK, as_version=4)


def parameters(notebook):
    """Returns the cells with the tag that papermill replaces too."""
    return [
        cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])
    ]


def names(source):
    return [line.partition(" = ")[0] for line in source.strip().splitlines()]


def test_it_is_stored_without_outputs():
    code = [cell for cell in stored().cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)


def test_it_asks_for_the_kernel_that_every_environment_has():
    assert stored().metadata.kernelspec.name == "python3"


def test_one_cell_holds_the_settings():
    (cell,) = parameters(stored())
    assert names(cell.source) == names(TINY)


@pytest.mark.slow
def test_every_cell_runs_with_tiny_settings(tmp_path, monkeypatch):
    # The kernel starts in a folder of its own and imports the package from here.
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parents[1]))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = stored()
    parameters(notebook)[0].source = TINY
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, resources=where, timeout=600).execute()
