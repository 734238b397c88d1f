"""Command: data, network, training, scores, figures and exports of one run."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from keras_unet.config import Config
from keras_unet.console import (
    Say,
    checked,
    load_tensorflow,
    on_interrupt,
    parse,
    progress_bar,
    require_extras,
    require_one_way,
    run_verb,
    silent,
    speaker,
)
from keras_unet.data_config import PLACES
from keras_unet.errors import BadData, BadUsage, flag_of, flags_in
from keras_unet.presets import preset_in
from keras_unet.run_folder import RunFolder, differences
from keras_unet.training import cluster

if TYPE_CHECKING:
    from keras_unet.data.pairs import Prepared, Split
    from keras_unet.training.fit import Plan
    from keras_unet.training.logs import Trackers

_AGAIN = "Give the same command again"
DRAWN = ("demo", "mobile")
"""Presets that draw the demo set when no data is given."""
_WHAT = """\
Trains on images and masks, scores what it learnt, draws it and exports it.

For example: python -m keras_unet.train --data DIR --output exports/mine --epochs 20
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its status."""
    words = list(sys.argv[1:] if argv is None else argv)

    def verb() -> None:
        run(parse_config(words))

    return run_verb(verb)


def parse_config(words: Sequence[str]) -> Config:
    """Returns the config of a command line.

    Defaults are those of --preset; with --resume, those of the run that goes on.

    Raises:
        BadUsage: flags exclude each other, or need one that is not there.
    """
    require_one_way(words)
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--output", type=Path)
    early.add_argument("--resume", action="store_true")
    given = early.parse_known_args(words)[0]
    default = preset_in(words)
    folder = run_folder(dataclasses.replace(default, output=given.output))
    if given.resume and folder.config_file.is_file():
        default = dataclasses.replace(folder.load_config(), output=given.output)
        if flags_in(words) & {*map(flag_of, PLACES)}:
            # Where the images are now is said as a whole.
            default = dataclasses.replace(default, data=default.data.moved_to(None))
        if "--image-size" in flags_in(words):
            fixed = dataclasses.replace(default.fit, fit_image_size=False)
            default = dataclasses.replace(default, fit=fixed)
    program = "python -m keras_unet.train"
    config = parse(Config, words, default=default, prog=program, description=_WHAT)
    if "--fit-image-size" in flags_in(words) and not config.fits_image_size:
        raise BadUsage(
            "--fit-image-size has --minutes choose the size of whole images: give "
            "--minutes with it, and no --tile-size, or leave it out"
        )
    return config


def run(config: Config, say: Say | None = None) -> RunFolder:
    """Trains, scores, draws and exports; returns the run folder that holds it all.

    Args:
        config: of the run; without data the presets demo and mobile draw their own.
        say: prints a line; by default to the terminal.

    Raises:
        BadUsage: the config holds what no flag can say; the run folder holds a run and
            it says neither what to do, or none to go on with; or an extra is missing.
        BadData: images, masks or the checkpoint are wrong.
    """
    config = checked(config)
    cluster.require_possible(config)
    require_extras(config.export.formats, config.fit.log or ())
    folder = run_folder(config)
    config = dataclasses.replace(config, output=folder.path)
    if config.resume:
        _require_run(folder)
    if not cluster.is_chief():
        return _work(folder, config)
    say = say or speaker()
    nothing = f"Nothing was written to {folder.path}. {_AGAIN}"
    with on_interrupt(lambda: nothing), folder.hold(say):
        _run(folder, config, say)
    return folder


def _run(folder: RunFolder, config: Config, say: Say) -> None:
    began = time.monotonic()
    _check_folder(folder, config, say)
    config, split, prepared = _gather(folder, config, say)
    load_tensorflow()
    from keras_unet.model.unet import policy_of_block
    from keras_unet.training import devices
    from keras_unet.training.budget import with_fitting_size
    from keras_unet.training.fit import Plan, compile_network, fit
    from keras_unet.training.logs import Trackers

    with policy_of_block():
        device = devices.use_device(config.fit)
        if prepared and config.fits_image_size:
            given = config, split, device, began, say
            config = with_fitting_size(compile_network, *given)
        verbose = int(sys.stdout.isatty())
        logs = Trackers(folder, config, say)
        plan = Plan(folder, folder, config, split, device, verbose, say, logs, began)
        with from_training_on(folder, plan.resume_command):
            _begin(folder, config, split, prepared)
            with logs:
                done = fit(plan)
                say(f"best validation Dice {done.best:.4f} in epoch {done.best_epoch}")
                _finish(plan, logs, say)


def _finish(plan: Plan, trackers: Trackers, say: Say) -> None:
    """Scores, draws and exports a run that is trained."""
    from keras_unet.evaluation.report import evaluate_run, read_metrics
    from keras_unet.export.artefacts import artefact_table, export_run
    from keras_unet.training.logs import summarise

    if gone := _without_original(plan.split):
        say(
            f"{gone} images behind the records are gone. Scores at the images' own "
            "size, figures and exports need them; once they are back: "
            f"{plan.resume_command}"
        )
        return
    with progress_bar("scoring") as bar:
        evaluate_run(plan.run, plan.split, say, bar)
    trackers.log_metrics(read_metrics(plan.run.metrics_file))
    if formats := plan.config.export.formats:
        say("exporting and comparing: " + ", ".join(formats))
        say(artefact_table(export_run(plan.run, formats, plan.split)))
    summarise(plan.run, plan.config.data.mask_kind == "instances", say)


def _without_original(split: Split) -> int:
    pairs = [*split.train, *split.validation, *split.test]
    recorded = [(pair.image, pair.mask) for pair in pairs if pair.record]
    return sum(not all(file.exists() for file in pair if file) for pair in recorded)


def _work(run: RunFolder, config: Config) -> RunFolder:
    """Trains as a worker whose files nobody needs: another one writes the run."""
    config, split, _ = _gather(run, config, silent)
    load_tensorflow()
    from keras_unet.model.unet import policy_of_block
    from keras_unet.training import devices
    from keras_unet.training.fit import Plan, fit

    # Not the disk that all see: its cache would go there.
    alone = tempfile.TemporaryDirectory(prefix="keras_unet_worker_")
    with policy_of_block(), alone as folder:
        device = devices.use_device(config.fit)
        config = dataclasses.replace(config, output=Path(folder))
        fit(Plan(RunFolder(folder), run, config, split, device, 0, silent))
    return run


def run_folder(config: Config) -> RunFolder:
    """Returns the folder of the run: --output, or exports/<preset>."""
    return RunFolder(config.output or Path("exports") / config.preset)


def _gather(
    folder: RunFolder, config: Config, say: Say
) -> tuple[Config, Split, Prepared | None]:
    """Returns the config with what the masks' values mean, and the pairs of the run.

    Prepared is what a new run is begun with; one that goes on has its own pairs.

    Raises:
        BadUsage: no data was given, or more classes than the masks hold.
        BadData: an image or mask is unusable; every file is named with its cause.
    """
    from keras_unet.data.pairs import prepare, split_of_run, steps_per_epoch

    config = _with_data(config, say)
    config = dataclasses.replace(config, data=config.data.with_whole_paths())
    if config.resume:
        config = _with_what_was_found(config, folder.load_config())
        _require_same_run(folder, config)
        split, notes = split_of_run(folder, config.data)
        for note in notes:
            say(note)
        return config, split, None
    with progress_bar("checking images and masks") as progress:
        prepared = prepare(config.data, config.model.classes, progress)
    for note in prepared.notes:
        say(note)
    prepared.require_apart(folder)
    config = prepared.resolve(config)
    split = prepared.split()
    steps_per_epoch(split.train, config)
    return config, split, prepared


def _with_what_was_found(config: Config, old: Config) -> Config:
    """Returns the config with what it leaves open as the run found it."""
    classes = old.model.classes if config.model.classes == 1 else config.model.classes
    data, fit = config.data.completed_by(old.data), config.fit
    if old.fits_image_size and config.fits_image_size:
        data = dataclasses.replace(data, image_size=old.data.image_size)
    if data.image_size == old.data.image_size:
        fit = dataclasses.replace(fit, fit_image_size=old.fit.fit_image_size)
    model = dataclasses.replace(config.model, classes=classes)
    return dataclasses.replace(config, data=data, model=model, fit=fit)


def _require_run(folder: RunFolder) -> None:
    if folder.config_file.is_file():
        return
    what = "has no config.json" if folder.path.is_dir() else "is no folder"
    raise BadUsage(
        f"--resume finds no run in --output {folder.path}, which {what}. Give the "
        "--output of the run to go on with, or leave --resume out to begin a new one."
    )


def _check_folder(folder: RunFolder, config: Config, say: Say) -> None:
    """Refuses a folder in the way; says what --resume finds in it."""
    if not config.resume:
        folder.require_free(config.overwrite)
    elif not folder.has_checkpoint():
        say(f"{folder.path} has no checkpoint yet: starting over")


def _require_same_run(folder: RunFolder, new: Config) -> None:
    """Refuses to go on with a run as another one than it is."""
    old = folder.load_config()
    free = ["output", "resume", "overwrite", "epochs", *PLACES]
    free += ["log", "cache", "checkpoint_minutes"]
    changed = [
        f"{flag_of(name)} is {was} in the run, {now} now"
        for name, was, now in differences(old, new)
        if name not in free
    ]
    minutes, was, now = old.fit.minutes, old.fit.epochs, new.fit.epochs
    if minutes and now != was:
        ends = f"which ends with its --minutes {minutes:g}: leave --epochs out"
        changed.append(f"--epochs is {was} in the run, {ends}")
    elif now < was:
        changed.append(f"--epochs is {was} in the run and may only grow, not {now}")
    if changed:
        raise BadUsage(
            "--resume goes on with a run as it is. " + "; ".join(changed) + "."
        )


def _with_data(config: Config, say: Say) -> Config:
    if config.data.source:
        return config
    if config.preset not in DRAWN or config.data.validation or config.data.test:
        raise BadUsage(
            "no flag says where the images to train on are: give --data DIR, or "
            "--images DIR and --masks DIR, or --pairs FILE.csv"
        )
    from keras_unet.data.demo.make import make_demo

    folder = run_folder(config).path.parent / "demo_data"
    say(f"demo set: {folder} (drawn by code; give --data DIR for your own images)")
    with progress_bar("drawing cars") as progress:
        make_demo(folder, progress=progress)
    return dataclasses.replace(config, data=config.data.moved_to(folder))


def _begin(
    folder: RunFolder, config: Config, split: Split, prepared: Prepared | None
) -> None:
    """Writes what the run is; an earlier one goes only now, when the data is good."""
    from keras_unet.data.pairs import rewrite_split

    if prepared:
        folder.clear()
    folder.save_config(dataclasses.replace(config, resume=False, overwrite=False))
    if prepared:
        prepared.write_split(folder)
    else:
        rewrite_split(folder, split)


@contextlib.contextmanager
def from_training_on(folder: RunFolder, resume_command: str) -> Iterator[None]:
    """Has what stops a run that is trained, scored or exported say the way on.

    Raises:
        BadData: a file could not be written or read; the message names it.
    """
    go_on = f"Go on with: {resume_command}"

    def way_on() -> str:
        trained = folder.checkpoint.is_dir()
        return go_on if trained else f"Nothing is trained yet. {_AGAIN}"

    try:
        with on_interrupt(way_on):
            yield
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        lost = f"The run folder is gone. If it comes back, go on with: {resume_command}"
        way = way_on() if folder.path.is_dir() else lost
        raise BadData(f"{what}. {way}") from error


class _Callable(ModuleType):
    """Has ``keras_unet.train(config)`` be a call, though it is a module as well."""

    def __call__(self, config: Config, say: Say | None = None) -> RunFolder:
        """Trains, scores, draws and exports, as ``run`` does."""
        return run(config, say)


sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    sys.exit(main())
