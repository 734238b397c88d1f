"""Command: masks of images by the network of a run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from keras_unet.console import load_tensorflow, parse, progress_bar, run_verb
from keras_unet.run_folder import RunFolder


@dataclass(frozen=True)
class Arguments:
    """Writes the mask of each image as a PNG of the image's own size.

    Masks hold 0 and 255, or the values that the classes have in the masks of the
    training: grey in 8 or 16 bits, or colours. An image that is missing or cannot be
    read is named, and the others are done.

    Attributes:
        run: run folder that keras_unet.train wrote.
        inputs: images, and folders of images, which are searched to any depth.
        output: folder to write <stem>.png to; what lies in a folder of a folder goes to
            a folder of the same name.
        overlay: also write <stem>_overlay.jpg, the image with the mask over it.
        probabilities: also write <stem>_probability.png, grey in 16 bits.
        submission: also write this CSV file with run lengths, as Kaggle wants them.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    inputs: Annotated[
        tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="INPUT...")
    ]
    output: Path
    overlay: bool = False
    probabilities: bool = False
    submission: Path | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its status."""
    arguments = parse(Arguments, argv, prog="python -m keras_unet.predict")
    return run_verb(lambda: predict(arguments))


def predict(arguments: Arguments) -> int:
    """Returns 0, or 1 when some inputs are missing or cannot be read; names them.

    Raises:
        BadUsage: two images would be written to one file, or over an image.
        BadData: all inputs or the run's network are missing.
    """
    run = RunFolder(arguments.run)
    run.load_config()
    run.require_weights()
    load_tensorflow()
    from keras_unet.prediction.files import Wanted, segment

    wanted = Wanted(
        arguments.output,
        arguments.overlay,
        arguments.probabilities,
        arguments.submission,
    )
    with progress_bar("images") as progress:
        outcome = segment(run, arguments.inputs, wanted, progress)
    for error in outcome.failed:
        print(f"error: {error}", file=sys.stderr)
    masks = "mask" if outcome.done == 1 else "masks"
    print(f"{outcome.done} {masks} in {arguments.output}")
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    sys.exit(main())
