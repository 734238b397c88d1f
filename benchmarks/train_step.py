"""Command: seconds of one training step, here and in PyTorch, or on a GPU.

A step is forward, loss, backward, clipping, optimizer and, here only, the scores that
``model.fit`` keeps, on a batch that lies in memory.

On a CPU: the U-Net of 31 million parameters with padding "same" and batch
normalisation. Each contestant is a process of its own, and they take turns, so that
what else the machine does meets all of them. On a GPU: the paper's network, 572×572
pixels to 388×388, in mixed_float16 with XLA.
"""

from __future__ import annotations

import itertools
import math
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

import keras_unet
from benchmarks.machine import packages, processor
from benchmarks.turns import Seconds, Step, take_turns
from keras_unet import BadUsage, Config, DataConfig, FitConfig, UNetConfig
from keras_unet.console import (
    how_to_install,
    load_tensorflow,
    parse,
    require_extra,
    run_verb,
)


@dataclass(frozen=True)
class Flags:
    """What is measured.

    Attributes:
        device: cpu is against PyTorch; gpu measures the paper's network alone.
        image_size: height and width of the mask; 256 384, on a GPU 388 388.
        batch_sizes: images per step; 1 4, on a GPU 1 8 32.
        filters: channels of the first level.
        repeats: turns of each contestant.
        steps: steps of a turn.
        warm_up: steps of each contestant before the first turn.
        precision: ours; auto is what a training takes on this machine.
        peak_tflops: of the GPU, dense in float16; 989 is an H100 SXM.
    """

    device: Literal["cpu", "gpu"] = "cpu"
    image_size: tuple[int, int] | None = None
    batch_sizes: tuple[int, ...] = ()
    filters: int = 64
    repeats: int = 10
    steps: int = 2
    warm_up: int = 2
    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = "auto"
    peak_tflops: float = 989.0


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its status."""

    def verb() -> None:
        flags = parse(Flags, argv, prog="python -m benchmarks.train_step")
        lines = on_gpu(flags) if flags.device == "gpu" else on_cpu(flags)
        for line in lines:
            print(line, flush=True)

    return run_verb(verb)


def on_cpu(flags: Flags) -> Iterator[str]:
    """Yields the lines of the table: ours and PyTorch's steps.

    Raises:
        BadUsage: PyTorch is not installed.
        BadData: a contestant's process ended early.
    """
    require_extra("the comparison", "bench")
    # Without this our side would take a GPU where there is one.
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    load_tensorflow()
    fit = FitConfig(precision=flags.precision)
    precision = keras_unet.use_device(fit).precision
    height, width = size = flags.image_size or (256, 384)
    model = UNetConfig(filters=flags.filters, normalization="batch", dropout=0.0)
    # OpenMP, which PyTorch computes with, loses most where cores are shared.
    load = f"{os.getloadavg()[0]:.1f} processes ran before"
    yield f"{processor()}, {load}; {packages('tensorflow', 'keras', 'torch')}"
    yield f"U-Net, {model.filters} filters, batch normalisation, {height}×{width}×3"
    yield ""
    yield "| images per step | | seconds per step | quartiles | PyTorch's best / it |"
    yield "|---|---|---|---|---|"
    for batch_size in flags.batch_sizes or (1, 4):
        config = _config(model, size, batch_size, precision)
        torch = partial(_torch_step, size, batch_size, model.filters)
        contestants: dict[str, Callable[[], Step]] = {
            f"keras_unet, {precision}": partial(_keras_step, config),
            "PyTorch, bfloat16": partial(torch, True),
            "PyTorch, float32": partial(torch, False),
            "PyTorch, bfloat16, torch.compile": partial(torch, True, True),
        }
        # It writes C++.
        if not shutil.which("g++"):
            contestants.popitem()
        yield from _rows(batch_size, _measure(contestants, flags))


def on_gpu(flags: Flags) -> Iterator[str]:
    """Yields the lines of the table: the paper's network on a GPU.

    Raises:
        BadUsage: TensorFlow sees no GPU.
        BadData: the process that trains ended early.
    """
    load_tensorflow()
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    if not devices:
        raise BadUsage(
            "--device gpu needs a GPU, and TensorFlow sees none: "
            f"{how_to_install('gpu')}, or take --device cpu"
        )
    # This process only counts; the GPU's memory is for the one that trains.
    tf.config.set_visible_devices([], "GPU")
    precision = "mixed_float16" if flags.precision == "auto" else flags.precision
    size = flags.image_size or (388, 388)
    model = UNetConfig(channels=1, classes=2, filters=flags.filters, padding="valid")
    macs = forward_macs(model, size)
    details = tf.config.experimental.get_device_details(devices[0])
    yield f"{details.get('device_name', 'GPU')}; {packages('tensorflow', 'keras')}"
    yield (
        f"U-Net, {model.filters} filters, unpadded, {macs / 1e9:.1f} GMAC forward, "
        f"{precision}, XLA"
    )
    yield ""
    yield "| images per step | seconds per step | images/s | TFLOP/s | of the peak |"
    yield "|---|---|---|---|---|"
    for batch_size in flags.batch_sizes or (1, 8, 32):
        config = _config(model, size, batch_size, precision)
        measured = _measure({"": partial(_keras_step, config)}, flags)
        seconds = float(np.median(measured[""]))
        # Backward costs twice forward; a multiplication and an addition are two FLOP.
        tflops = 3 * 2 * macs * batch_size / seconds / 1e12
        yield (
            f"| {batch_size} | {seconds:.4f} | {batch_size / seconds:.1f} "
            f"| {tflops:.1f} | {tflops / flags.peak_tflops:.1%} |"
        )


def forward_macs(model: UNetConfig, image_size: tuple[int, int]) -> int:
    """Returns the multiply-accumulates of the convolutions for one image's logits."""
    load_tensorflow()
    import keras

    image = keras.Input((*image_size, model.channels))
    # All shapes are known only of a network for one size.
    network = keras.models.clone_model(keras_unet.build_network(model), image)
    total = 0
    for layer in network.layers:
        # Each pixel of the smaller side meets each weight once.
        if isinstance(layer, keras.layers.Conv2DTranspose):
            total += math.prod(layer.input.shape[1:3]) * math.prod(layer.kernel.shape)
        elif isinstance(layer, keras.layers.Conv2D):
            total += math.prod(layer.output.shape[1:3]) * math.prod(layer.kernel.shape)
    return total


def _config(
    model: UNetConfig, image_size: tuple[int, int], batch_size: int, precision: Any
) -> Config:
    fit = FitConfig(batch_size=batch_size, precision=precision)
    return Config(data=DataConfig(image_size=image_size), model=model, fit=fit)


def _keras_step(config: Config) -> Step:
    """Returns the step of ``model.fit`` as a training compiles it."""
    load_tensorflow()
    import tensorflow as tf

    device = keras_unet.use_device(config.fit)
    network = keras_unet.compile_network(config, 1000, device)
    shape = (config.fit.batch_size, *config.data.image_size, config.model.channels)
    image = tf.random.uniform(shape, 0, 255, seed=0)
    batches = itertools.repeat((image, tf.cast(image[..., :1] > 128, tf.uint8)))
    train = network.make_train_function() or network.train_function
    # StopOnNonFinite reads the loss after every step, too.
    return lambda: float(train(batches)["loss"])


def _torch_step(*choices: Any) -> Step:
    # What imports PyTorch is loaded where PyTorch runs.
    from benchmarks.unet_torch import make_step

    return make_step(*choices)


def _measure(
    contestants: dict[str, Callable[[], Step]], flags: Flags
) -> dict[str, Seconds]:
    return take_turns(contestants, flags.warm_up, flags.repeats, flags.steps)


def _rows(batch_size: int, measured: dict[str, Seconds]) -> Iterator[str]:
    """Yields a line each; ratios are the median over the turns, taken side by side."""
    turns = {name: np.median(seconds, 1) for name, seconds in measured.items()}
    _, *others = turns.values()
    best = min(others, key=np.median)
    for name, seconds in measured.items():
        low, middle, high = np.percentile(seconds, (25, 50, 75))
        ratio = np.median(best / turns[name])
        yield (
            f"| {batch_size} | {name} | {middle:.3f} | {low:.3f}–{high:.3f} "
            f"| {ratio:.2f} |"
        )


if __name__ == "__main__":
    sys.exit(main())
