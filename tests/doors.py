"""The linter's contract that a package is entered through its doors alone.

The doors are the modules that the docstring of the package's __init__ names. The
linter's own ``private_modules`` goes by underscores, its ``protected`` by lists.
"""

import ast
import importlib.util
import re
from pathlib import Path

from importlinter import Contract, ContractCheck, fields, output


class Doors(Contract):
    """Imports between the packages of ``root`` that come through no door are errors."""

    type_name = "doors"
    root = fields.StringField()

    def check(self, graph, verbose):
        """Returns whether there are none, and those that there are."""
        packages = {name: doors(name) for name in graph.find_children(self.root)}
        broken = [
            f"{importer} -> {imported}"
            for imported in sorted(graph.modules)
            if (package := ".".join(imported.split(".")[:2])) in packages
            and packages[package] is not None
            and imported not in packages[package]
            for importer in graph.find_modules_that_directly_import(imported)
            if importer != package and not importer.startswith(f"{package}.")
        ]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check):
        """Prints them."""
        for line in check.metadata["broken"]:
            output.print_error(f"{line} comes through no door")


def doors(package):
    """Returns the modules that are a package's doors; None for a plain module."""
    file = Path(importlib.util.find_spec(package).origin)
    if file.name != "__init__.py":
        return None
    text = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    named = re.findall(r"``([\w.]+)``", text.partition("Doors:")[2])
    return {f"{package}.{name}" for name in named}
