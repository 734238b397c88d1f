"""Writes the notebook in each language: the code of source.py, the prose once in each.

python notebooks/make.py
"""

from __future__ import annotations

from pathlib import Path

import jupytext
import nbformat

HERE = Path(__file__).parent
NAMES = {"en": "U-NET.ipynb", "es": "U-NET.es.ipynb"}
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def notebook(language: str) -> nbformat.NotebookNode:
    """Returns the notebook in that language, without outputs."""
    made = jupytext.read(HERE / "source.py")
    made.cells = [
        cell for cell in made.cells if cell.metadata.pop("lang", language) == language
    ]
    for number, cell in enumerate(made.cells):
        cell.id = f"cell-{number}"
    made.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    made.nbformat_minor = 5
    return made


def main() -> None:
    """Writes both files."""
    for language, name in NAMES.items():
        nbformat.write(notebook(language), HERE / name)


if __name__ == "__main__":
    main()
