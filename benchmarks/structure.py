"""Command: how the package is cut into modules and functions.

    python -m benchmarks.structure [FOLDER]

counts modules, lines and functions of a package's folder, and its modules that only one
other module imports. Empty ``__init__`` files do not count.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Module:
    """One file of a package.

    Attributes:
        name: its dotted name within the package.
        lines: of the file.
        functions: lines of each function, docstrings included.
        imports: dotted names of the package's modules that it imports.
    """

    name: str
    lines: int
    functions: tuple[int, ...]
    imports: frozenset[str]


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the measures of a package, by default of this one."""
    words = list(sys.argv[1:] if argv is None else argv)
    folder = Path(words[0]) if words else Path(__file__).parents[1] / "keras_unet"
    for line in _lines(modules_of(folder)):
        print(line)
    return 0


def modules_of(folder: Path) -> list[Module]:
    """Returns the modules of the package in ``folder``, sorted by name."""
    files = {
        ".".join(path.relative_to(folder).with_suffix("").parts): path
        for path in sorted(folder.rglob("*.py"))
    }
    found = []
    for name, path in files.items():
        text = path.read_text("utf-8")
        tree = ast.parse(text)
        if path.name == "__init__.py" and len(tree.body) <= 1:
            continue
        functions = tuple(
            node.end_lineno - node.lineno + 1
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and node.end_lineno
        )
        imports = frozenset(_imports(tree, folder.resolve().name, set(files)))
        found.append(Module(name, len(text.splitlines()), functions, imports))
    return found


def _imports(tree: ast.Module, package: str, known: set[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.module:
            continue
        root, _, inside = node.module.partition(".")
        if root == package:
            names = [f"{inside}.{alias.name}".strip(".") for alias in node.names]
            yield from (name for name in [inside, *names] if name in known)


def _lines(modules: Sequence[Module]) -> Iterator[str]:
    lengths = [module.lines for module in modules]
    functions = [length for module in modules for length in module.functions]
    root = [module.name for module in modules if "." not in module.name]
    importers = {
        module.name: sum(module.name in other.imports for other in modules)
        for module in modules
    }
    alone = [module for module in modules if importers[module.name] == 1]
    small = [module for module in alone if module.lines < 80]
    longest = max(modules, key=lambda module: module.lines)
    yield f"modules      {len(modules)}, {len(root)} of them at the top"
    yield f"lines        {sum(lengths)}"
    yield f"a module     median {statistics.median(lengths):.0f} lines"
    yield f"the longest  {longest.lines} ({longest.name})"
    yield f"a function   median {statistics.median(functions):.0f} lines, docstrings in"
    long = sum(length > 40 for length in functions)
    yield f"functions    {len(functions)}, {long} over 40 lines"
    yield f"one importer {len(alone)} modules, {len(small)} of them under 80 lines"


if __name__ == "__main__":
    sys.exit(main())
