"""The linter's contract on the doors of packages can fail."""

import pytest

pytest.importorskip("importlinter", reason="needs the extra lint")

from doors import Doors, doors


class Graph:
    """Stands for the linter's graph of imports: two of them, from one module."""

    modules = frozenset({"keras_unet.data.rle", "keras_unet.data.cache"})

    def __init__(self, importer):
        self.importer = importer

    def find_children(self, root):
        return {"keras_unet.data", "keras_unet.config"}

    def find_modules_that_directly_import(self, module):
        return {self.importer}


@pytest.mark.parametrize(
    ("importer", "broken"),
    [
        ("keras_unet.train", ["keras_unet.train -> keras_unet.data.cache"]),
        ("keras_unet.data.pipeline", []),
    ],
)
def test_an_import_from_outside_through_no_door_breaks_it(importer, broken):
    options = {"root": "keras_unet"}
    contract = Doors("doors", session_options={}, contract_options=options)
    check = contract.check(Graph(importer), verbose=False)
    assert (check.kept, check.metadata["broken"]) == (not broken, broken)


def test_doors_are_those_that_the_docstring_names():
    assert doors("keras_unet.export") == {"keras_unet.export.artefacts"}
    assert doors("keras_unet.config") is None
