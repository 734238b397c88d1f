"""Command: images per second and core that the input pipeline gives, part by part.

The yardstick is what most projects write: Pillow opens, converts and resizes, NumPy
scales to floats. (Batches are uint8, and the network makes floats of them: a line of
its own says what that takes.) All take turns on the same files; the processor time of
all threads counts, so that neither the number of cores nor other processes change the
result.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

import keras_unet
from benchmarks.machine import packages, processor, resident_bytes
from keras_unet import (
    AugmentConfig,
    BadUsage,
    Config,
    DataConfig,
    FitConfig,
    Pair,
)
from keras_unet.console import load_tensorflow, parse, run_verb

YARDSTICK = "yardstick: Pillow and NumPy"
_EPOCHS = 4  # in one go, as in training: an iterator costs some images to start
NO_CHANGE = AugmentConfig(flip="none")
FULL_CHANGE = AugmentConfig(
    flip="both",
    rotation_degrees=10.0,
    scale=0.1,
    shear_degrees=5.0,
    translation=0.05,
    elastic_pixels=10.0,
    brightness=0.1,
    contrast=0.1,
    hue=0.05,
    noise=0.02,
)


@dataclass(frozen=True)
class Flags:
    """What is measured.

    Attributes:
        data: folder of pairs, or the demo set, which is made for it.
        image_size: height and width that images are resized to.
        images: how many of the pairs are read in each turn.
        batch_size: images per batch.
        repeats: turns of each part.
        training: also train for five epochs on these images: how long a step waits
            for its batch, and how much the memory grows.
        filters: of the network that is trained.
    """

    data: Path | None = None
    image_size: tuple[int, int] = (640, 960)
    images: int = 32
    batch_size: int = 4
    repeats: int = 5
    training: bool = False
    filters: int = 16


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its status."""

    def verb() -> None:
        flags = parse(Flags, argv, prog="python -m benchmarks.input_pipeline")
        load_tensorflow()
        with tempfile.TemporaryDirectory() as folder:
            for line in _lines(flags, Path(folder)):
                print(line, flush=True)

    return run_verb(verb)


def _lines(flags: Flags, folder: Path) -> Iterator[str]:
    pairs, config = _prepare(flags, folder)
    height, width = flags.image_size
    yield f"{processor()}; {packages('tensorflow', 'pillow', 'numpy')}"
    yield f"{len(pairs)} pairs of {flags.data or 'the demo set'} at {height}×{width}"
    yield ""
    yield "| part | ms of one core per image | images/s per core | × yardstick |"
    yield "|---|---|---|---|"
    measured = measure(_parts(pairs, config, folder), flags.repeats)
    unit = float(np.median(measured[YARDSTICK]))
    for name, seconds in measured.items():
        middle = float(np.median(seconds))
        yield (
            f"| {name} | {1000 * middle:.2f} | {1 / middle:.0f} | {unit / middle:.1f} |"
        )
    if flags.training:
        yield ""
        yield from _training_lines(pairs, config)


def measure(
    parts: Mapping[str, Callable[[], int]], repeats: int
) -> dict[str, npt.NDArray[np.float64]]:
    """Returns each part's seconds of processor time per image, one for each turn.

    Args:
        parts: functions that each go over images and return how many they were.
        repeats: turns; one more, which compiles and fills caches, does not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(repeats + 1):
        for name, part in parts.items():
            start = time.process_time()
            images = part()
            seconds[name].append((time.process_time() - start) / images)
    return {name: np.array(turns[1:]) for name, turns in seconds.items()}


def _prepare(flags: Flags, folder: Path) -> tuple[list[Pair], Config]:
    data = DataConfig(
        data=flags.data or keras_unet.make_demo(folder / "demo", cars=3),
        image_size=flags.image_size,
        cache="none",
    )
    prepared = keras_unet.prepare(data)
    data, pairs = prepared.data, prepared.pairs
    count = min(flags.images, len(pairs)) // flags.batch_size * flags.batch_size
    if not count:
        raise BadUsage(f"--batch-size {flags.batch_size} is more than the images")
    # Spread over all of them: neighbours are views of one car.
    pairs = [pairs[k * len(pairs) // count] for k in range(count)]
    fit = FitConfig(batch_size=flags.batch_size, epochs=_EPOCHS)
    config = Config(data=data, augment=NO_CHANGE, fit=fit, output=folder / "run")
    return pairs, replace(config, model=replace(config.model, filters=flags.filters))


def _parts(
    pairs: Sequence[Pair], config: Config, folder: Path
) -> dict[str, Callable[[], int]]:
    size = config.data.image_size
    return {
        YARDSTICK: lambda: _each(lambda pair: _yardstick(pair, size), pairs),
        **_stages(pairs, config),
        "float32 of uint8, left to the network": _casts(len(pairs), config),
        **_wholes(pairs, config, folder),
    }


def _each(read: Callable[[Pair], object], pairs: Sequence[Pair]) -> int:
    return len([read(pair) for pair in pairs])


def _yardstick(pair: Pair, size: tuple[int, int]) -> list[npt.NDArray[Any]]:
    image = Image.open(pair.image).convert("RGB")
    image = image.resize(size[::-1], Image.Resampling.BICUBIC)
    mask = Image.open(pair.mask or pair.image).convert("L")
    mask = mask.resize(size[::-1], Image.Resampling.NEAREST)
    return [np.asarray(pixels, np.float32) / 255 for pixels in (image, mask)]


def _stages(pairs: Sequence[Pair], config: Config) -> dict[str, Callable[[], int]]:
    """Returns the steps that one pair goes through, each by itself."""
    data, channels = config.data, config.model.channels
    shape = keras_unet.read_mask(pairs[0], data).shape
    original = replace(data, image_size=(shape[0], shape[1]))
    read = keras_unet.read_resized
    stages: dict[str, Callable[[Pair], object]] = {
        "image at its own size": lambda p: read(p.image, channels, original),
        "image": lambda p: read(p.image, channels, data),
        "mask": lambda p: keras_unet.read_mask(p, data, data.image_size),
    }
    return {name: partial(_each, stage, pairs) for name, stage in stages.items()}


def _casts(count: int, config: Config) -> Callable[[], int]:
    """Returns what the yardstick does and batches do not: numbers made of bytes."""
    import tensorflow as tf

    size, shape = config.fit.batch_size, config.data.image_size
    batch = tf.zeros((size, *shape, config.model.channels), tf.uint8)
    return lambda: sum(len(tf.cast(batch, tf.float32)) for _ in range(count // size))


def _wholes(
    pairs: Sequence[Pair], config: Config, folder: Path
) -> dict[str, Callable[[], int]]:
    """Returns the whole pipeline, as training uses it, by source and by change."""
    in_memory = replace(config, data=replace(config.data, cache="memory"))
    sources: dict[str, tuple[Sequence[Pair], Config]] = {
        "files": (pairs, config),
        "records, JPEG": (_records(pairs, config, folder, "jpeg"), config),
        "records, PNG": (_records(pairs, config, folder, "png"), config),
        "records, raw": (_records(pairs, config, folder, "raw"), config),
        "cache in memory": (pairs, in_memory),
    }
    wholes: dict[str, Callable[[], int]] = {}
    for change, augment in (("", NO_CHANGE), (", full augmentation", FULL_CHANGE)):
        for name, (source, settings) in sources.items():
            batches = _batches(source, replace(settings, augment=augment))
            wholes[f"batches from {name}{change}"] = batches
    return wholes


def _records(
    pairs: Sequence[Pair],
    config: Config,
    folder: Path,
    coding: Literal["jpeg", "png", "raw"],
) -> Sequence[Pair]:
    keras_unet.write_records(pairs, config.data, folder / coding, coding)
    return keras_unet.prepare(replace(config.data, data=folder / coding)).pairs


def _batches(pairs: Sequence[Pair], config: Config) -> Callable[[], int]:
    dataset: Any = keras_unet.training_batches(pairs, config)
    return lambda: sum(len(images) for images, _ in dataset)


def _training_lines(pairs: Sequence[Pair], config: Config) -> Iterator[str]:
    waits, memory = _train(pairs, config, epochs=5)
    height, width = config.data.image_size
    yield f"Training, {config.model.filters} filters, {height}×{width}, on all cores:"
    yield f"a step waits for its batch {waits:.2%} of its time from epoch 2 on;"
    yield f"memory grows by {memory / 1e6:.0f} MB from epoch 2 to epoch 5."


def _train(pairs: Sequence[Pair], config: Config, epochs: int) -> tuple[float, int]:
    """Returns the share of waiting from epoch 2 on, and the growth of memory since."""
    config = replace(
        config,
        data=replace(config.data, cache="memory"),
        fit=replace(config.fit, epochs=epochs),
        augment=AugmentConfig(brightness=0.1, contrast=0.1, hue=0.05),
    )
    steps = len(pairs) // config.fit.batch_size
    device = keras_unet.use_device(config.fit)
    network = keras_unet.compile_network(config, steps, device)
    batches = iter(keras_unet.training_batches(pairs, config))
    train = network.make_train_function() or network.train_function
    waited, worked, memory = 0.0, 0.0, 0
    for step in range(epochs * steps):
        start = time.perf_counter()
        batch = next(batches)
        ready = time.perf_counter()
        float(train(iter([batch]))["loss"])
        if step == 2 * steps:
            memory = resident_bytes()
        if step >= steps:
            waited += ready - start
            worked += time.perf_counter() - start
    return waited / worked, resident_bytes() - memory


if __name__ == "__main__":
    sys.exit(main())
