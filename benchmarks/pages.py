"""The page of the benchmarks and the READMEs' table, written from results."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_unet import BadData
from keras_unet.files import write_whole

Results = dict[str, Any]

PARTS = {
    "train_step": "A training step of 31 million parameters, beside PyTorch",
    "predict": "Photos to mask files, beside the network alone and a plain loop",
    "input_pipeline": "Reading images and masks, beside Pillow and NumPy",
    "scaling": "Time and memory by image size and batch",
}


def page_of(results: Results) -> Iterator[str]:
    """Yields the lines of the page."""
    yield "# Speed"
    yield ""
    yield f"Written by `python -m benchmarks` on {results['date']}:"
    yield f"{results['processor']}; {results['packages']}."
    yield "Contestants of a table took turns in one run; figures are medians, with"
    yield "quartiles where there is room."
    for part, found in results["parts"].items():
        yield ""
        yield f"## {PARTS[part]}"
        yield ""
        yield f"`{found['command']}` ({found['seconds']} s)"
        yield ""
        # A figure is beside the results; the page has tables.
        lines = [line for line in found["lines"] if not line.startswith("figure: ")]
        yield from lines


@dataclass(frozen=True)
class Words:
    """What the table says in one language; ``{}`` is a figure."""

    heading: str
    step: str
    steps: str
    masks: str
    loop: str
    reading: str
    files: str
    records: str
    measured: str
    a_second: str


_ENGLISH = Words(
    heading="| what | here | beside it | times as fast |",
    step="a training step of 31 million parameters, {} image of 256×384",
    steps="the same, {} images",
    masks="photos of 1918×1280 to mask files",
    loop="a loop of Pillow and Keras",
    reading="Pillow and NumPy",
    files="reading pairs at 640×960 from files, one core",
    records="the same from JPEG records",
    measured="Measured by `python -m benchmarks` on {}: {}; {}.",
    a_second="{} a second",
)
_SPANISH = Words(
    heading="| qué | aquí | al lado | veces más rápido |",
    step="un paso de entrenamiento de 31 millones de parámetros, {} imagen de 256×384",
    steps="lo mismo, {} imágenes",
    masks="de fotos de 1918×1280 a archivos de máscaras",
    loop="un bucle de Pillow y Keras",
    reading="Pillow y NumPy",
    files="leer pares a 640×960 de archivos, en un núcleo",
    records="lo mismo de registros JPEG",
    measured="Medido por `python -m benchmarks` el {}: {}; {}.",
    a_second="{} por segundo",
)
READMES = {"README.md": _ENGLISH, "README.es.md": _SPANISH}
_BLOCK = re.compile(r"(?s)(<!-- speed[^>]*-->\n).*?(?=<!-- /speed -->)")


def write_readmes(root: Path, results: Results) -> None:
    """Writes the table of the READMEs in ``root`` anew.

    Raises:
        BadData: a README has no place for it.
    """
    for name, words in READMES.items():
        file = root / name
        table = "\n".join(table_of(results, words))
        text, places = _BLOCK.subn(rf"\1{table}\n", file.read_text("utf-8"))
        if places != 1:
            raise BadData(f"{file}: expected one <!-- speed -->, found {places}")
        with write_whole(file) as aside:
            aside.write_text(text, "utf-8")


def table_of(results: Results, words: Words) -> Iterator[str]:
    """Yields the lines of the READMEs' table, of the parts that were measured."""
    parts = results["parts"]
    yield words.measured.format(
        results["date"], results["processor"], results["packages"]
    )
    yield ""
    yield words.heading
    yield "|---|---|---|---|"
    if "train_step" in parts:
        yield from _steps(_rows(parts["train_step"]), words)
    if "predict" in parts:
        rows = {row[0]: row for row in _rows(parts["predict"])}
        ours, loop = rows["predict"], rows["a loop of Pillow and Keras"]
        beside = f"{words.loop}: {loop[1]}"
        yield _line(words.masks, words.a_second.format(ours[1]), beside, ours[4])
    if "input_pipeline" in parts:
        rows = {row[0]: row for row in _rows(parts["input_pipeline"])}
        beside = f"{words.reading}: {rows['yardstick: Pillow and NumPy'][2]}"
        for what, name in (
            (words.files, "batches from files"),
            (words.records, "batches from records, JPEG"),
        ):
            here = words.a_second.format(rows[name][2])
            yield _line(what, here, beside, rows[name][3])


def _steps(rows: Sequence[Sequence[str]], words: Words) -> Iterator[str]:
    """Yields ours and the best of the others for each batch size."""
    for size in dict.fromkeys(row[0] for row in rows):
        ours, *others = [row for row in rows if row[0] == size]
        best = min(others, key=lambda row: float(row[2]))
        what = (words.step if size == "1" else words.steps).format(size)
        yield _line(what, f"{ours[2]} s", f"{best[1]}: {best[2]} s", ours[4])


def _rows(part: Mapping[str, Any]) -> list[list[str]]:
    """Returns the cells of a part's table, without its heading."""
    _, *lines = [line for line in part["lines"] if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines]


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
