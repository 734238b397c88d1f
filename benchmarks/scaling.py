"""Command: seconds and peak memory of a training step and a prediction, by size.

Each point is a process of its own, so that its peak is its own. Memory is what the
process holds at its peak beyond what it held with TensorFlow loaded and nothing done.
"""

from __future__ import annotations

import itertools
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

import keras_unet
from benchmarks.machine import packages, processor
from benchmarks.turns import new_processes
from keras_unet import BadData, BadUsage, Config
from keras_unet.console import load_tensorflow, parse, run_verb

Verb = Literal["train", "predict"]
VERBS: tuple[Verb, ...] = ("train", "predict")
WIDE = 0.15
"""How far a point may lie from a straight line through the largest one."""


@dataclass(frozen=True)
class Point:
    """What was measured.

    Attributes:
        verb: a training step, or a forward pass.
        side: height and width of the square images.
        batch: images at a time.
        seconds: the median.
        megabytes: the peak beyond an idle TensorFlow.
    """

    verb: Verb
    side: int
    batch: int
    seconds: float
    megabytes: float

    @property
    def pixels(self) -> int:
        """All pixels of the batch."""
        return self.batch * self.side**2


@dataclass(frozen=True)
class Flags:
    """What is measured: the network of the preset carvana.

    Attributes:
        sides: of square images, one at a time.
        batches: images at a time, of the smallest side but one.
        filters: channels of the first level.
        repeats: timed steps of each point.
        figure: where the plot goes.
    """

    sides: tuple[int, ...] = (128, 256, 512, 1024, 2048)
    batches: tuple[int, ...] = (1, 2, 4, 8, 16)
    filters: int = 16
    repeats: int = 5
    figure: Path = Path("scaling.png")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its status."""

    def verb() -> None:
        flags = parse(Flags, argv, prog="python -m benchmarks.scaling")
        points: list[Point] = []
        for line in measure(flags, points):
            print(line, flush=True)
        draw(points, flags.figure)
        print(f"figure: {flags.figure}")

    return run_verb(verb)


def measure(flags: Flags, points: list[Point]) -> Iterator[str]:
    """Yields the lines of the table and adds what was measured to the points."""
    if len(flags.sides) < 2:
        raise BadUsage(f"--sides needs two sides or more, not {flags.sides}")
    middle = sorted(flags.sides)[1]
    one_by_one = [(side, 1) for side in flags.sides]
    wanted = dict.fromkeys([*one_by_one, *((middle, b) for b in flags.batches)])
    yield f"{processor()}; {packages('tensorflow', 'keras')}; {flags.filters} filters"
    yield ""
    yield "| | side | images | seconds | MB | seconds / linear | MB / linear |"
    yield "|---|---|---|---|---|---|---|"
    for verb in VERBS:
        found = [_in_a_process(flags, verb, *place) for place in wanted]
        points += found
        last = max(found, key=lambda point: point.pixels)
        for point in found:
            share = point.pixels / last.pixels
            ratios = (
                point.seconds / last.seconds / share,
                point.megabytes / last.megabytes / share,
            )
            yield (
                f"| {verb} | {point.side} | {point.batch} | {point.seconds:.3f} "
                f"| {point.megabytes:.0f} | {ratios[0]:.2f} | {ratios[1]:.2f} |"
            )
    yield ""
    yield f"linear: what the largest has a pixel; within {WIDE:.0%} is 0.85 to 1.15"


def _in_a_process(flags: Flags, verb: Verb, side: int, batch: int) -> Point:
    with ProcessPoolExecutor(1, new_processes()) as process:
        try:
            return process.submit(_measured, flags, verb, side, batch).result()
        except BrokenProcessPool as error:
            raise BadData(
                f"{verb} of {batch} images of {side}×{side}: its process was ended, "
                "most likely for want of memory. Give smaller --sides or --batches"
            ) from error


def _measured(flags: Flags, verb: Verb, side: int, batch: int) -> Point:
    """Returns the point of this process."""
    preset = keras_unet.preset("carvana")
    config = replace(
        preset,
        data=replace(preset.data, image_size=(side, side)),
        model=replace(preset.model, filters=flags.filters),
        fit=replace(preset.fit, batch_size=batch),
    )
    load_tensorflow()
    device = keras_unet.use_device(config.fit)
    idle = _peak_megabytes()
    step = _train_step(config, device) if verb == "train" else _predict_step(config)
    for _ in range(2):
        step()
    seconds = []
    for _ in range(flags.repeats):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    # Less cannot be told from what Python does meanwhile.
    grown = max(_peak_megabytes() - idle, 1.0)
    return Point(verb, side, batch, float(np.median(seconds)), grown)


def _train_step(config: Config, device: Any) -> Callable[[], object]:
    import tensorflow as tf

    network = keras_unet.compile_network(config, 1000, device)
    images = tf.cast(tf.random.uniform(_shape(config), 0, 255, seed=0), tf.uint8)
    batches = itertools.repeat((images, tf.cast(images[..., :1] > 128, tf.uint8)))
    train = network.make_train_function() or network.train_function
    return lambda: float(train(batches)["loss"])


def _predict_step(config: Config) -> Callable[[], object]:
    import tensorflow as tf

    network = keras_unet.build_network(config.model)
    forward = tf.function(lambda images: network(images, training=False))
    images = tf.random.uniform(_shape(config), 0, 255, seed=0)
    return lambda: float(forward(images)[0, 0, 0, 0])


def _shape(config: Config) -> tuple[int, ...]:
    return (config.fit.batch_size, *config.data.image_size, config.model.channels)


def _peak_megabytes() -> float:
    """Returns the largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def draw(points: Sequence[Point], file: Path) -> None:
    """Writes the figure: time and memory by pixels, beside straight lines."""
    from matplotlib.figure import Figure

    figure = Figure((8.0, 3.4), layout="constrained")
    times, memories = figure.subplots(1, 2)
    for verb, colour in zip(VERBS, ("tab:blue", "tab:orange"), strict=True):
        found = sorted((p for p in points if p.verb == verb), key=lambda p: p.pixels)
        pixels = np.array([point.pixels for point in found]) / 1e6
        for axes, name in [(times, "seconds"), (memories, "megabytes")]:
            values = np.array([getattr(point, name) for point in found])
            axes.loglog(pixels, values, "o", color=colour, label=verb)
            line = pixels * values[-1] / pixels[-1]
            axes.loglog(pixels, line, "--", color=colour, linewidth=0.8)
    for axes, name in [(times, "seconds"), (memories, "MB beyond an idle TensorFlow")]:
        axes.set(xlabel="megapixels at a time", ylabel=name)
        axes.grid(alpha=0.3)
    times.legend(title="dashed: linear")
    figure.savefig(file, dpi=200)


if __name__ == "__main__":
    sys.exit(main())
