"""Command: every measurement that goes into 20 minutes, as tables, JSON and a figure.

Writes ``results/<processor>.json`` with what each part printed, a figure beside it, and
the tables of ``docs/benchmarks.md`` and the READMEs from that file; ``--from FILE``
measures nothing and writes the tables anew.
"""

from __future__ import annotations

import datetime
import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro

from benchmarks.machine import packages, processor
from benchmarks.pages import PARTS, READMES, Results, page_of, write_readmes
from keras_unet import BadData
from keras_unet.console import parse, run_verb
from keras_unet.files import read_json, write_whole

Part = Literal["train_step", "predict", "input_pipeline", "scaling"]
PARTS_IN_ORDER: tuple[Part, ...] = get_args(Part)
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
        root: the checkout; benchmarks/results/ gets the JSON and the figure,
            docs/benchmarks.md and the READMEs the tables.
        source: results to write the page from; nothing is measured.
    """

    parts: tuple[Part, ...] = PARTS_IN_ORDER
    root: Path = Path()
    source: Annotated[Path | None, tyro.conf.arg(name="from")] = None


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its status."""

    def verb() -> None:
        flags = parse(Flags, argv, prog="python -m benchmarks")
        file = flags.source or measure(flags)
        results = read_json(file, dict[str, Any])
        page = flags.root / "docs/benchmarks.md"
        with write_whole(page) as aside:
            aside.write_text("\n".join(page_of(results)) + "\n", "utf-8")
        write_readmes(flags.root, results)
        print("\n".join(map(str, (file, page, *map(flags.root.joinpath, READMES)))))

    return run_verb(verb)


def measure(flags: Flags) -> Path:
    """Runs the parts one after the other and returns the file of their results.

    Raises:
        BadData: a part failed.
    """
    folder = flags.root / "benchmarks/results"
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"\W+", "-", processor()).strip("-").lower()
    file = folder / f"{name}.json"
    names = ["tensorflow", "keras", "numpy", "pillow"]
    names += ["torch"] if "train_step" in flags.parts else []
    results: Results = {
        "processor": processor(),
        "packages": packages(*names),
        "date": datetime.date.today().isoformat(),
        "parts": {},
    }
    for part in flags.parts:
        words = WORDS[part]
        if part == "scaling":
            words = f"--figure {shlex.quote(str(file.with_suffix('.png')))}"
        results["parts"][part] = _run(part, words)
        # After each: a part that fails leaves those before it.
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


if __name__ == "__main__":
    sys.exit(main())
