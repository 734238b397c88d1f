"""Command: scores and figures of a run, on its own images or on others."""

from __future__ import annotations

import dataclasses
import itertools
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from keras_unet.config import Config, PredictConfig
from keras_unet.console import (
    how_to_install,
    is_installed,
    load_tensorflow,
    parse,
    progress_bar,
    run_verb,
    speaker,
)
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadUsage, flag_of
from keras_unet.run_folder import RunFolder

if TYPE_CHECKING:
    from keras_unet.data.pair import Pair
    from keras_unet.data.pairs import Prepared, Split


@dataclass(frozen=True)
class Arguments:
    """Scores a run's network at the images' own size and draws the figures.

    Without flags: its validation and test images. metrics.json and per_image.csv of the
    run keep what was scored before under other names. Other data go by their folder's
    name and the part, carvana-test say.

    For example: python -m keras_unet.evaluate exports/demo --split test

    Attributes:
        run: run folder that keras_unet.train wrote.
        data: score the images of this folder instead; all of them without --split.
        split: score this part only.
        threshold: foreground is what is more probable; by default the run's own; best
            is that of the best Dice on validation, found by an evaluation before (not
            of the best instances).
        test_time_flips: the probability is the mean over the image and its mirrored
            forms, along the axes that --flip of the training names; of networks that
            were trained on quarter turns too and see squares, over all eight forms.
        instances: also score the instances that keras_unet.predict --instances writes
            against those of the masks: SEG of the Cell Tracking Challenge; and look for
            the thresholds of the best SEG on validation (extra science).
        boundary_threshold: what touches is one instance only if the mean probability
            along the boundary is above this (foreground and background; extra science);
            with 0, all that touches is one; by default the run's own.
        membranes: also score the foreground as the ISBI 2012 challenge scores what lies
            between membranes: V_Rand, V_Info, Rand, warping and pixel error; with
            --instances, these by V_Rand and V_Info too, and the thresholds of the best
            V_Rand on validation instead of SEG's.
        mask_kind: what the masks of --data mean, where that is not what the run's mean:
            binary is foreground and background, instances numbers objects.
        foreground_above: in the masks of --data, foreground is every value above it.
        ignore_values: mask values of --data that count in no score, besides the run's.
        white: 16-bit images of --data: the value that counts as white; by default the
            run's own, or the largest of the bits that these images use.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    data: Path | None = None
    split: Literal["test", "validation", "train", "all"] | None = None
    threshold: float | Literal["best"] | None = None
    test_time_flips: bool = False
    instances: bool = False
    boundary_threshold: float | None = None
    membranes: bool = False
    mask_kind: Literal["binary", "instances"] | None = None
    foreground_above: int | None = None
    ignore_values: tuple[int, ...] = ()
    white: int | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its status."""
    arguments = parse(Arguments, argv, prog="python -m keras_unet.evaluate")
    return run_verb(lambda: evaluate(arguments))


def evaluate(arguments: Arguments) -> None:
    """Writes metrics.json, per_image.csv and figures into the run folder.

    Figures of other data or of one part go to a folder of their own in figures/.

    Raises:
        BadData: the run's network is missing, or the images or masks are not right.
        BadUsage: another command is writing to the run, or the threshold is none.
    """
    run = RunFolder(arguments.run)
    predict = run.predict_config(
        arguments.threshold, arguments.test_time_flips, arguments.boundary_threshold
    )
    run.require_weights()
    config = dataclasses.replace(run.load_config(), predict=predict)
    _require_elsewhere(config, arguments)
    _require_fitting(config, arguments)
    with run.hold():
        _evaluate(run, predict, arguments)


def _require_elsewhere(config: Config, arguments: Arguments) -> None:
    """Refuses what is said of images and masks of other data where it is of no use."""
    for name in ("white", "ignore_values", "mask_kind", "foreground_above"):
        if getattr(arguments, name) in (None, ()):
            continue
        if arguments.data is None:
            raise BadUsage(f"{flag_of(name)} is of --data: the run's own have theirs")
        if name in ("mask_kind", "foreground_above") and config.model.classes > 2:
            raise BadUsage(f"{flag_of(name)} is for runs of foreground and background")


def _require_fitting(config: Config, arguments: Arguments) -> None:
    """Refuses scores that the run cannot have, before its images are read."""
    if arguments.boundary_threshold is not None and not arguments.instances:
        raise BadUsage("--boundary-threshold is of --instances: give both, or neither")
    if arguments.membranes and config.model.classes > 2:
        raise BadUsage(
            "--membranes is for runs of foreground and background; this one has "
            f"{config.model.classes} classes"
        )
    borders = config.data.targets == "borders"
    if arguments.instances and config.model.classes > 2 and not borders:
        raise BadUsage(
            "--instances is for runs whose masks say which object each pixel is of, "
            "or foreground; this one's say classes"
        )
    from keras_unet.data.objects import find_skimage, skimage_for

    if arguments.membranes:
        find_skimage("--membranes")
    cut = arguments.instances and skimage_for(config)
    if arguments.instances and not cut and not is_installed("skimage"):
        install = how_to_install("science")
        print(f"thresholds for instances are not looked for: {install}")


def _evaluate(run: RunFolder, predict: PredictConfig, arguments: Arguments) -> None:
    load_tensorflow()
    from keras_unet.evaluation.predictions import Scoring
    from keras_unet.evaluation.report import evaluate_run, score_parts

    how = Scoring(predict, arguments.instances, arguments.membranes)
    folder = run.figures
    with progress_bar("images") as progress:
        if arguments.data is None and arguments.split is None:
            evaluate_run(run, _split_of(run), speaker(), progress, how)
        else:
            name, pairs, data = choose(run, run.load_config(), arguments)
            score_parts(run, {name: pairs}, data, speaker(), progress, how)
            folder /= name
    print(f"scores: {run.metrics_file}, {run.per_image_file}; figures: {folder}")


def choose(
    run: RunFolder, config: Config, arguments: Arguments
) -> tuple[str, Sequence[Pair], DataConfig]:
    """Returns what the scores go by, the pairs, and what their masks' values mean.

    Raises:
        BadData: an image or mask of --data is unusable.
    """
    from keras_unet.data.pairs import prepare

    part = arguments.split or "all"
    if arguments.data is None:
        split = _split_of(run)
        every = [*split.train, *split.validation, *split.test]
        return part, every if part == "all" else getattr(split, part), config.data
    data = _elsewhere(config.data, arguments.data, arguments)
    prepared = prepare(data, config.model.classes, to_split=False)
    for note in prepared.notes:
        print(note)
    if config.data.group_by:
        prepared = _regrouped(prepared, config.data.group_by)
    pairs = prepared.every if part == "all" else getattr(prepared.split(), part)
    return _name_of(run, arguments.data, arguments.split), pairs, prepared.data


def _regrouped(prepared: Prepared, group_by: str) -> Prepared:
    """Returns the pairs in the run's kind of groups, if their names have such ones."""
    from keras_unet.data.layouts import groups_of

    groups = groups_of(prepared.every, group_by, prepared.data)
    fits = sum(name is not None for name in groups)
    if fits < len(groups):
        print(
            f"--group-by {group_by} of the run fits {fits} of {len(groups)} names; the "
            "others are grouped as without it"
        )
    every = zip(prepared.every, groups, strict=True)
    regrouped = (dataclasses.replace(p, group=name or p.group) for p, name in every)
    return dataclasses.replace(prepared, every=tuple(regrouped))


def _name_of(run: RunFolder, folder: Path, part: str | None) -> str:
    """Returns what other data go by: a good folder name that nothing else has.

    Data that were scored before keep their name: metrics.json knows whose it is.
    """
    from keras_unet.evaluation.card import OVERALL
    from keras_unet.evaluation.report import read_metrics

    safe = re.sub(r"[^\w.-]+", "-", folder.resolve().name)[:60].strip("-.") or "data"
    name = f"{safe}-{part}" if part else safe
    taken = dict.fromkeys(["train", "validation", "test", "all", *OVERALL], "")
    # As on disks that take Car for car.
    for known, scores in read_metrics(run.metrics_file).items():
        taken.setdefault(known.casefold(), scores.get("data"))
    names = itertools.chain([name], (f"{name}-{n}" for n in itertools.count(2)))
    own = str(folder.resolve())
    return next(one for one in names if taken.get(one.casefold(), own) == own)


def _split_of(run: RunFolder) -> Split:
    from keras_unet.data.pairs import split_of_run

    split, notes = split_of_run(run)
    for note in notes:
        print(note)
    return split


def _elsewhere(data: DataConfig, folder: Path, arguments: Arguments) -> DataConfig:
    """Returns where other data are; a foreground may be written otherwise there.

    What counts as white is not, unless that is said or the network saw no 16 bits.

    Raises:
        BadUsage: ``--white`` is none.
    """
    white = data.white if arguments.white is None else arguments.white
    data = dataclasses.replace(data.moved_to(folder), white=white, group_by=None)
    data = dataclasses.replace(
        data,
        run_lengths="auto",
        foreground_above=arguments.foreground_above,
        ignore_values=(*data.ignore_values, *arguments.ignore_values),
    )
    kind = arguments.mask_kind or data.mask_kind
    if kind == "classes":
        return data
    return dataclasses.replace(
        data, class_names=(), class_values=(), mask_reading="auto", mask_kind=kind
    )


if __name__ == "__main__":
    sys.exit(main())
