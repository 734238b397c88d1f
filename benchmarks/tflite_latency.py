"""Command: milliseconds of TFLite files in LiteRT, taking turns in one run.

Meant for a run's model_int8.tflite against MediaPipe's own selfie segmenter, whose file
is in the npm package @mediapipe/selfie_segmentation:

    python -m benchmarks.tflite_latency model_int8.tflite selfie_segmentation.tflite
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.machine import packages, processor
from benchmarks.turns import Seconds, Step, take_turns
from keras_unet import BadData, BadUsage
from keras_unet.console import parse, run_verb


@dataclass(frozen=True)
class Flags:
    """What is measured.

    Attributes:
        files: TFLite files; ratios are to the last one.
        threads: of the runtime.
        repeats: turns of each file.
        steps: images of a turn.
        warm_up: images of each file before the first turn.
    """

    files: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    threads: int = 1
    repeats: int = 20
    steps: int = 20
    warm_up: int = 20


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its status."""
    flags = parse(Flags, argv, prog="python -m benchmarks.tflite_latency")
    return run_verb(lambda: compare(flags))


def compare(flags: Flags) -> None:
    """Prints the median and the fastest image of each file.

    Raises:
        BadUsage: there is no file.
        BadData: one is missing, or LiteRT cannot open it.
    """
    if not flags.files:
        raise BadUsage("give the paths of TFLite files, found none")
    for file in flags.files:
        if not file.is_file():
            raise BadData(f"{file} is missing; give the paths of TFLite files")
    contestants: dict[str, Callable[[], Step]] = {
        str(file): partial(make_step, file, flags.threads) for file in flags.files
    }
    seconds = take_turns(contestants, flags.warm_up, flags.repeats, flags.steps)
    console = Console(highlight=False)
    console.print(f"{processor()}; {packages('ai-edge-litert')}", soft_wrap=True)
    console.print(_table(flags, seconds))


def make_step(file: Path, threads: int) -> Step:
    """Returns a function that runs one image of noise through the file."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file), num_threads=threads)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]
    noise = np.random.default_rng(0).uniform(0, 255, given["shape"])
    interpreter.set_tensor(given["index"], noise.astype(given["dtype"]))

    def step() -> float:
        interpreter.invoke()
        return 0.0

    return step


def _table(flags: Flags, seconds: dict[str, Seconds]) -> Table:
    table = Table("file", caption=f"threads: {flags.threads}")
    for title in ("size", "median", "fastest", "ratio of medians"):
        table.add_column(title, justify="right")
    last = np.median(seconds[str(flags.files[-1])])
    for file in flags.files:
        of_file = seconds[str(file)]
        median = np.median(of_file)
        table.add_row(
            file.name,
            f"{file.stat().st_size / 1e6:.2f} MB",
            f"{1e3 * median:.2f} ms",
            f"{1e3 * of_file.min():.2f} ms",
            f"{median / last:.2f}",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
