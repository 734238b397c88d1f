"""Command: every measurement that goes into 20 minutes, as tables, JSON and a figure.

Writes ``results/<processor>.json`` with what each part printed, a figure beside it, and
the tables of ``docs/benchmarks.md`` from that file; ``--from FILE`` measures nothing
and writes the tables anew.
"""

from __future__ import annotations

import datetime
import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro

from benchmarks.machine import packages, processor
from keras_unet import BadData
from keras_unet.console import parse, run_verb
from keras_unet.files import read_json, write_whole

Results = dict[str, Any]

Part = Literal["train_step", "predict", "input_pipeline", "scaling"]
PARTS_IN_ORDER: tuple[Part, ...] = get_args(Part)
PARTS = {
    "train_step": "A training step of 31 million parameters, beside PyTorch",
    "predict": "Photos to mask files, beside the network alone and a plain loop",
    "input_pipeline": "Reading images and masks, beside Pillow and NumPy",
    "scaling": "Time and memory by image size and batch",
}
WORDS = {
    "train_step": "--repeats 5",
    "predict": "--images 16 --repeats 3",
    "input_pipeline": "--repeats 3",
    "scaling": "",
}


@dataclass(frozen=True)
class Flags:
    """What is measured and where it goes.

    Attributes:
        parts: which measurements; train_step needs PyTorch (extra bench).
        results: folder of the JSON and the figure.
        page: Markdown file that gets the tables.
        source: results to write the page from; nothing is measured.
    """

    parts: tuple[Part, ...] = PARTS_IN_ORDER
    results: Path = Path("benchmarks/results")
    page: Path = Path("docs/benchmarks.md")
    source: Annotated[Path | None, tyro.conf.arg(name="from")] = None


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its status."""

    def verb() -> None:
        flags = parse(Flags, argv, prog="python -m benchmarks")
        file = flags.source or measure(flags)
        results = read_json(file, dict[str, Any])
        with write_whole(flags.page) as aside:
            aside.write_text("\n".join(page_of(results)) + "\n", "utf-8")
        print(f"{file}\n{flags.page}")

    return run_verb(verb)


def measure(flags: Flags) -> Path:
    """Runs the parts one after the other and returns the file of their results.

    Raises:
        BadData: a part failed.
    """
    flags.results.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"\W+", "-", processor()).strip("-").lower()
    file = flags.results / f"{name}.json"
    results: Results = {
        "processor": processor(),
        "packages": packages("tensorflow", "keras", "numpy", "pillow"),
        "date": datetime.date.today().isoformat(),
        "parts": {},
    }
    for part in flags.parts:
        words = WORDS[part]
        if part == "scaling":
            words = f"--figure {shlex.quote(str(file.with_suffix('.png')))}"
        results["parts"][part] = _run(part, words)
        # After each: a part that fails costs itself alone.
        with write_whole(file) as aside:
            aside.write_text(json.dumps(results, indent=2, ensure_ascii=False), "utf-8")
    return file


def _run(part: str, words: str) -> Results:
    """Returns what a part printed; it is shown as it comes."""
    command = [sys.executable, "-m", f"benchmarks.{part}", *shlex.split(words)]
    start, lines = time.monotonic(), []
    print(f"\n{PARTS[part]}", flush=True)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        for line in running.stdout or ():
            print(line, end="", flush=True)
            lines.append(line.rstrip())
    if running.returncode:
        raise BadData(f"benchmarks.{part} ended with status {running.returncode}")
    said = f"python -m benchmarks.{part} {words}".strip()
    seconds = round(time.monotonic() - start)
    return {"command": said, "seconds": seconds, "lines": lines}


def page_of(results: Results) -> Iterator[str]:
    """Yields the lines of the page."""
    yield "# Speed"
    yield ""
    yield f"Written by `python -m benchmarks` on {results['date']}: "
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


if __name__ == "__main__":
    sys.exit(main())
