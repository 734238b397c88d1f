"""Command: images per second from files to mask files, beside the network and a loop.

By default of 1918×1280 photos of drawn cars and the network of the preset carvana after
two short epochs on such cars: of random weights, masks would be noise, which takes
three times as long to compress. The network alone gets batches that lie in memory; the
loop is what most projects write: Pillow opens and resizes, one forward pass, Pillow
resizes and saves. Each is a process of its own, and they take turns.
"""

from __future__ import annotations

import itertools
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

import keras_unet
from benchmarks.machine import packages, processor, resident_bytes
from benchmarks.turns import Seconds, Step, new_processes, take_turns
from keras_unet import RunFolder
from keras_unet.console import load_tensorflow, parse, run_verb

NETWORK, PREDICT, LOOP = "the network alone", "predict", "a loop of Pillow and Keras"
_BATCH = 4
_SETTLED = 500  # images after which the memory should grow no more


@dataclass(frozen=True)
class Flags:
    """What is measured.

    Attributes:
        run: run whose network is used, instead of one that is trained now.
        data: folder of images, instead of such that are made.
        image_size: height and width of the images that are made.
        images: how many are predicted in each turn.
        repeats: turns of each contestant.
        soak: predict this many images instead, and draw the memory that is resident.
        figure: where that is drawn.
        large: predict one image of --large-side, and the same pixels as 64 images,
            with tiles of 512 pixels at the most, instead.
        large_side: height and width of the large one.
    """

    run: Path | None = None
    data: Path | None = None
    image_size: tuple[int, int] = (1280, 1918)
    images: int = 32
    repeats: int = 5
    soak: int = 0
    figure: Path = Path("soak.png")
    large: bool = False
    large_side: int = 8000


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its status."""

    def verb() -> None:
        flags = parse(Flags, argv, prog="python -m benchmarks.predict")
        load_tensorflow()
        print(f"{processor()}; {packages('tensorflow', 'pillow', 'numpy')}")
        lines = _large if flags.large else _soak if flags.soak else _compare
        with tempfile.TemporaryDirectory() as folder:
            for line in lines(flags, Path(folder)):
                print(line, flush=True)

    return run_verb(verb)


def _compare(flags: Flags, folder: Path) -> Iterator[str]:
    """Yields the lines of the table."""
    run = _run_of(flags, folder)
    files = _files_of(flags, folder / "images")
    contestants: dict[str, Callable[[], Step]] = {
        NETWORK: partial(_network_step, run, len(files)),
        PREDICT: partial(_predict_step, run, files, folder / "masks"),
        LOOP: partial(_loop_step, run, files, folder / "loop"),
    }
    measured = take_turns(contestants, warm_up=1, turns=flags.repeats, steps=1)
    yield f"{len(files)} images of {flags.data or _size(flags.image_size)}"
    yield ""
    yield "| | images/s | quartiles | share of the network | × the loop |"
    yield "|---|---|---|---|---|"
    for name, seconds in measured.items():
        low, middle, high = np.percentile(len(files) / seconds, (25, 50, 75))
        yield (
            f"| {name} | {middle:.2f} | {low:.2f}–{high:.2f} "
            f"| {_ratio(measured[NETWORK], seconds):.0%} "
            f"| {_ratio(measured[LOOP], seconds):.2f} |"
        )


def _ratio(one: Seconds, other: Seconds) -> float:
    """Returns the median over the turns, taken side by side."""
    return float(np.median(one / other))


def _soak(flags: Flags, folder: Path) -> Iterator[str]:
    """Yields what became of the memory, and draws it."""
    run = _run_of(flags, folder)
    few = _files_of(flags, folder / "images")
    files = []
    for number in range(flags.soak):
        files.append(folder / f"all/{number:06}{few[0].suffix}")
        files[-1].parent.mkdir(exist_ok=True)
        shutil.copyfile(few[number % len(few)], files[-1])
    # This process has memory of a training, which would hide what grows.
    with ProcessPoolExecutor(1, new_processes()) as process:
        resident = process.submit(_resident, run, files, folder / "masks").result()
    _draw(resident, flags.figure)
    settled = min(_SETTLED, len(resident) // 2)
    grown = max(resident[settled:]) - resident[settled]
    yield f"memory grows by {grown:.0f} MB after image {settled} of {flags.soak}"
    yield f"figure: {flags.figure}"


def _resident(run: RunFolder, files: Sequence[Path], masks: Path) -> list[float]:
    """Returns the MB that this process holds after each image."""
    resident: list[float] = []
    _predict_step(run, files, masks, resident.append)()
    return resident


def _draw(resident: Sequence[float], file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure((7.0, 3.0), layout="constrained")
    axes = figure.subplots()
    axes.plot(resident)
    axes.set(xlabel="images", ylabel="resident memory, MB")
    axes.set_ylim(0, 1.1 * max(resident))
    figure.savefig(file, dpi=200)


def _large(flags: Flags, folder: Path) -> Iterator[str]:
    """Yields what a pixel of one large image costs, beside those of 64 small ones."""
    run = _run_of(flags, folder)
    config = run.load_config()
    side, part = flags.large_side, flags.large_side // 8
    # No larger than the small images need.
    cell = 2**config.model.halvings
    tile = min(512, -(-part // cell) * cell)
    data = replace(config.data, resolution=1.0, tile_size=(tile, tile))
    weights, run = run.weights_file, RunFolder(folder / "in_tiles")
    run.save_config(replace(config, data=data, output=run.path))
    shutil.copyfile(weights, run.weights_file)
    one = _make(folder / "one", (8 * part, 8 * part), 1)
    many = _make(folder / "many", (part, part), 64)
    contestants: dict[str, Callable[[], Step]] = {
        f"one image of {side}×{side}": partial(_predict_step, run, one, folder / "a"),
        f"64 images of {part}×{part}": partial(_predict_step, run, many, folder / "b"),
    }
    measured = take_turns(contestants, warm_up=1, turns=flags.repeats, steps=1)
    large, small = measured.values()
    for name, seconds in measured.items():
        low, middle, high = np.percentile(seconds, (25, 50, 75))
        yield f"{name}: {middle:.1f} s ({low:.1f}–{high:.1f})"
    yield f"the large one takes {_ratio(large, small):.2f} times as long"


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]}×{size[0]}"


def _run_of(flags: Flags, folder: Path) -> RunFolder:
    """Returns the run that was given, or a short one of the preset carvana."""
    if flags.run:
        return RunFolder(flags.run)
    config = keras_unet.preset("carvana")
    cars = replace(config.data, data=_demo(folder))
    trained = replace(
        config,
        data=cars,
        fit=replace(config.fit, epochs=2),
        export=replace(config.export, formats=()),
        output=folder / "run",
    )
    run: RunFolder = keras_unet.train(trained, say=lambda _: None)
    return run


def _demo(folder: Path) -> Path:
    return keras_unet.make_demo(folder / "demo", cars=8)


def _files_of(flags: Flags, folder: Path) -> list[Path]:
    if flags.data:
        return sorted(flags.data.iterdir())[: flags.images]
    return _make(folder, flags.image_size, flags.images)


def _make(folder: Path, size: tuple[int, int], count: int) -> list[Path]:
    """Returns new JPEG files of drawn cars and some noise."""
    drawn = sorted((_demo(folder.parent) / "train").iterdir())
    folder.mkdir()
    files = [folder / f"{number:04}.jpg" for number in range(count)]
    # Of each car another view.
    for file, car in zip(files, itertools.cycle(drawn[::17])):
        smooth = Image.open(car).resize(size[::-1], Image.Resampling.BICUBIC)
        grain = Image.effect_noise(size[::-1], 12).convert("RGB")
        Image.blend(smooth, grain, 0.1).save(file, quality=90)
    return files


def _network_step(run: RunFolder, count: int) -> Step:
    """Returns a function that has the network see ``count`` images in memory."""
    segmenter = keras_unet.Segmenter(run)
    height, width = segmenter.config.data.network_size
    channels = segmenter.config.model.channels
    shape = (_BATCH, height, width, channels)
    batch = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    sizes = [min(_BATCH, count - first) for first in range(0, count, _BATCH)]

    def step() -> float:
        for size in sizes:
            segmenter.forward(batch[:size]).numpy()
        return 0.0

    return step


def _predict_step(
    run: RunFolder,
    files: Sequence[Path],
    masks: Path,
    see_memory: Callable[[float], None] = lambda _: None,
) -> Step:
    """Returns a function that does what the command does, into an empty folder."""
    from keras_unet.prediction.files import Wanted, segment
    from keras_unet.prediction.inputs import list_inputs

    segmenter = keras_unet.Segmenter(run)
    inputs, _ = list_inputs(files)

    def step() -> float:
        shutil.rmtree(masks, ignore_errors=True)
        failed = segment(
            *(run, segmenter, inputs, Wanted(masks)),
            lambda *_: see_memory(resident_bytes() / 1e6),
        )
        if failed:
            raise failed[0]
        return 0.0

    return step


def _loop_step(run: RunFolder, files: Sequence[Path], masks: Path) -> Step:
    """Returns a function that does the same one after the other."""
    segmenter = keras_unet.Segmenter(run)
    height, width = segmenter.config.data.image_size

    def step() -> float:
        shutil.rmtree(masks, ignore_errors=True)
        masks.mkdir()
        for file in files:
            image = Image.open(file).convert("RGB")
            small = image.resize((width, height), Image.Resampling.BILINEAR)
            found = segmenter.forward(np.asarray(small, np.float32)[None])
            probability = Image.fromarray(found.numpy()[0, ..., 1])
            whole = probability.resize(image.size, Image.Resampling.BILINEAR)
            mask = (np.asarray(whole) > 0.5).astype(np.uint8) * 255
            Image.fromarray(mask).save(masks / f"{file.stem}.png")
        return 0.0

    return step


if __name__ == "__main__":
    sys.exit(main())
