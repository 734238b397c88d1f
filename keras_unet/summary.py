"""What a training says before its first step and after its last."""

from __future__ import annotations

from collections.abc import Callable

from keras_unet.config import Config
from keras_unet.data.pairs import Split
from keras_unet.data.pipeline import cache_line, steps_per_epoch
from keras_unet.data.warp import has_xla
from keras_unet.devices import Device
from keras_unet.model.unet import build_network
from keras_unet.run_folder import RunFolder

Say = Callable[[str], None]

_PARTS = ("train", "validation", "test")


def describe(
    folder: RunFolder, config: Config, split: Split, device: Device, say: Say
) -> None:
    """Says what is about to happen: device, network, data, steps and where it goes."""
    height, width = config.data.image_size
    steps = steps_per_epoch(len(split.train), config.fit.batch_size)
    for title, text in [
        ("device", device.name),
        ("precision", f"{device.precision} ({device.precision_reason})"),
        ("XLA", f"{'on' if device.xla else 'off'} ({device.xla_reason})"),
        ("network", f"{build_network(config.model).count_params():,} parameters"),
        ("images", ", ".join(_count(split, part) for part in _PARTS)),
        (
            "training",
            f"{config.fit.epochs} epochs of {steps} steps of "
            f"{config.fit.batch_size} images, {height}×{width}",
        ),
        ("cache", cache_line(len(split.train), config).removeprefix("cache: ")),
        ("run folder", str(folder.path)),
    ]:
        say(f"{title:>10}  {text}")
    if not has_xla():
        say(f"{'pictures':>10}  change slowly: this TensorFlow has no XLA for the CPU")
    if device.replicas > 1:
        say(f"{'replicas':>10}  {device.replicas}, which share each batch")
    if len({pair.group for pair in split.validation}) == 1:
        say("warning: validation has a single group; its scores may not carry over")


def summarise(folder: RunFolder, say: Say) -> None:
    """Says what was written where, and how to use it."""
    say("")
    for name, use in [
        ("metrics.json", "scores at the images' own size"),
        ("per_image.csv", "the same, image by image"),
        ("figures", "look at predictions.png first"),
        ("model.weights.h5", "the best weights"),
        ("saved_model", "base path for TensorFlow Serving"),
        ("serving", "how to start it, and a client"),
        ("tflite", "files for phones"),
        ("export_report.json", "how far each export is from the Keras model"),
    ]:
        if (folder.path / name).exists():
            say(f"{folder.path / name!s:<36}  {use}")
    say("")
    say("segment pictures:  " + _command("predict", folder, "PICTURE --output DIR"))
    say("all exports:       " + _command("export", folder, ""))
    say("score other data:  " + _command("evaluate", folder, "--data DIR"))


def _count(split: Split, part: str) -> str:
    pairs = getattr(split, part)
    groups = len({pair.group for pair in pairs})
    return f"{len(pairs)} {part} ({groups} groups)"


def _command(name: str, folder: RunFolder, rest: str) -> str:
    return f"python -m keras_unet.{name} {folder.path} {rest}".rstrip()
