"""Command: Dice on Carvana after the same minutes, here and in a PyTorch script.

The script is what most people start from: a same-padded U-Net of 31 million parameters,
RMSprop with learning rate 1e-5 and momentum 0.999, gradients clipped to 1,
cross-entropy + Dice, half- or quarter-size images one by one, bfloat16, channels_last.
Both see the same pairs in the same split, one after the other on the same machine, and
the same scorer counts their masks of the test cars at the images' own size.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.machine import packages, processor, run_module
from keras_unet import (
    DataConfig,
    Pair,
    RunFolder,
    prepare,
)
from keras_unet.console import parse, require_extra, run_verb
from keras_unet.files import read_json


@dataclass(frozen=True)
class Flags:
    """What is compared.

    Attributes:
        data: folder of Carvana, with train/ and train_masks/.
        minutes: of each training; reading the data counts, scoring does not.
        output: folder for our run and for the script's masks.
        scales: at which shares of their size the script sees images; the better counts.
        filters: of the script's first level.
        train: more flags of keras_unet.train: --train="--batch-size 2".
    """

    data: Path
    minutes: float = 20.0
    output: Path = Path("exports/side_by_side")
    scales: tuple[float, ...] = (0.5, 0.25)
    filters: int = 64
    train: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its status."""

    def verb() -> None:
        flags = parse(Flags, argv, prog="python -m benchmarks.carvana")
        for line in compare(flags):
            print(line, flush=True)

    return run_verb(verb)


def compare(flags: Flags) -> Iterator[str]:
    """Trains all and yields the lines of the table.

    Raises:
        BadUsage: PyTorch is not installed.
        BadData: the data cannot be used, or a training failed.
    """
    require_extra("the comparison", "bench")
    split = prepare(DataConfig(data=flags.data)).split()
    data = DataConfig(data=flags.data, mask_kind="binary", foreground_above=0)
    yield f"{processor()}; {packages('tensorflow', 'keras', 'torch')}"
    yield f"{len(split.train)} images to train on, {flags.minutes:g} minutes each"
    yield ""
    yield "| | mean Dice of the test images | 1 − Dice |"
    yield "|---|---|---|"
    name = f"keras_unet --preset carvana --minutes {flags.minutes:g} {flags.train}"
    ours = _ours(flags)
    yield _row(name.strip(), ours)
    theirs = []
    for scale in flags.scales:
        masks = flags.output / f"script_{scale:g}"
        _script(flags, scale, split.train, split.test, masks)
        theirs.append(dice_of(split.test, masks, data))
        yield _row(f"PyTorch script, {scale:g} of the size", theirs[-1])
    yield ""
    yield f"error, ours / the script's best: {(1 - ours) / (1 - max(theirs)):.3f}"


def _row(name: str, dice: float) -> str:
    return f"| {name} | {dice:.4f} | {1 - dice:.4f} |"


def dice_of(pairs: Sequence[Pair], masks: Path, data: DataConfig) -> float:
    """Returns the mean per-image Dice of masks of 0 and 255, named as the images.

    Raises:
        BadData: a mask of the pairs cannot be read.
    """
    from keras_unet import read_mask
    from keras_unet.evaluation.scores import confusion, scores

    found = []
    for pair in pairs:
        prediction = np.asarray(Image.open(masks / f"{pair.image.stem}.png")) // 255
        counts = confusion(read_mask(pair, data), prediction, 2)
        found.append(scores(counts)["dice"])
    return float(np.mean(found))


def _ours(flags: Flags) -> float:
    run = RunFolder(flags.output / "keras_unet")
    words = ["--preset", "carvana", "--data", str(flags.data), "--output"]
    words += [str(run.path), "--minutes", str(flags.minutes), "--overwrite"]
    words += [*shlex.split(flags.train), "--formats"]
    run_module("keras_unet.train", *words)
    return float(read_json(run.metrics_file, dict[str, Any])["test"]["dice"])


def _script(
    flags: Flags, scale: float, train: Sequence[Pair], test: Sequence[Pair], masks: Path
) -> None:
    """Has a process of its own train the script and write its masks."""
    masks.mkdir(parents=True, exist_ok=True)
    listing = masks.with_name(f"{masks.name}.txt")
    lines = [f"{pair.image}\t{pair.mask}" for pair in train]
    lines += [f"{pair.image}\t" for pair in test]
    listing.write_text("\n".join(lines), "utf-8")
    numbers = [str(number) for number in (flags.minutes, scale, flags.filters)]
    run_module("benchmarks.script_torch", str(listing), str(masks), *numbers)


if __name__ == "__main__":
    sys.exit(main())
