"""Command: scores and figures of a run, on its own images or on others."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from keras_unet.config import Config, DataConfig
from keras_unet.console import load_tensorflow, parse, progress_bar, run_verb
from keras_unet.errors import BadData
from keras_unet.run_folder import RunFolder

if TYPE_CHECKING:
    from keras_unet.data.pair import Pair


@dataclass(frozen=True)
class Arguments:
    """Scores a run's network at the images' own size and draws the figures.

    Without flags: its validation and test images. metrics.json and per_image.csv of the
    run keep what was scored before under other names.

    Attributes:
        run: run folder that keras_unet.train wrote.
        data: score the images of this folder instead; all of them without --split.
        split: score this part only.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    data: Path | None = None
    split: Literal["test", "validation", "train", "all"] | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its status."""
    arguments = parse(Arguments, argv, prog="python -m keras_unet.evaluate")
    return run_verb(lambda: evaluate(arguments))


def evaluate(arguments: Arguments) -> None:
    """Writes metrics.json, per_image.csv and figures into the run folder.

    Figures of other data or of one part go to a folder of their own in figures/.

    Raises:
        BadData: the run's network is missing, or the images or masks are not right.
    """
    run = RunFolder(arguments.run)
    config = run.load_config()
    run.require_weights()
    load_tensorflow()
    from keras_unet.data.pairs import split_of
    from keras_unet.evaluation.report import evaluate_run, score_parts

    folder = run.figures
    with progress_bar("images") as progress:
        if arguments.data is None and arguments.split is None:
            evaluate_run(run, split_of(config.data), print, progress)
        else:
            data = other_data(config, arguments.data)
            name, pairs = choose(data, arguments)
            folder /= Path(name).name
            score_parts(run, {name: pairs}, data, folder, print, progress)
    print(f"scores: {run.metrics_file}, {run.per_image_file}; figures: {folder}")


def other_data(config: Config, folder: Path | None) -> DataConfig:
    """Returns where the images lie and what the masks' values mean there.

    Raises:
        BadData: a picture or mask of ``folder`` is unusable.
    """
    from keras_unet.data.check import check_pairs
    from keras_unet.data.pair import listing
    from keras_unet.data.pairs import find_pairs

    if folder is None:
        return config.data
    data = dataclasses.replace(
        config.data, data=folder, images=None, masks=None, validation=None
    )
    # Another folder's soft edges or values may lie elsewhere.
    data = dataclasses.replace(data, foreground_above=None)
    if data.mask_kind != "classes":
        data = dataclasses.replace(data, class_names=())
    report = check_pairs(find_pairs(data), data, config.model.classes)
    for note in report.notes:
        print(note)
    if report.problems:
        raise BadData(listing(report.problems))
    return report.resolved


def choose(data: DataConfig, arguments: Arguments) -> tuple[str, Sequence[Pair]]:
    """Returns the pairs that are meant and the name their scores go by."""
    from keras_unet.data.pairs import find_pairs, split_of

    part = arguments.split or "all"
    pairs = find_pairs(data) if part == "all" else getattr(split_of(data), part)
    if arguments.data is None:
        return part, pairs
    words = [str(arguments.data.resolve()), arguments.split or ""]
    return " ".join(words).strip(), pairs


if __name__ == "__main__":
    sys.exit(main())
