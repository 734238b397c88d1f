"""Command: data, network, training, scores, figures and exports of one run."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_unet.config import Config
from keras_unet.config_file import differences
from keras_unet.errors import BadData, BadUsage
from keras_unet.presets import NAMES, preset
from keras_unet.run_folder import RunFolder
from keras_unet.terminal import load_tensorflow, parse, run_verb

if TYPE_CHECKING:
    from keras_unet.data.pairs import Split

Say = Callable[[str], None]

DRAWN = ("demo", "mobile")
"""Presets that draw the demo set when no data is given."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its status."""
    words = list(sys.argv[1:] if argv is None else argv)

    def verb() -> None:
        run(parse_config(words), command=words)

    return run_verb(verb)


def parse_config(words: Sequence[str]) -> Config:
    """Returns the config of a command line.

    Defaults are those of --preset; with --resume, those of the run that goes on.
    """
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--preset", default="demo")
    early.add_argument("--output", type=Path)
    early.add_argument("--resume", action="store_true")
    given = early.parse_known_args(words)[0]
    default = preset(given.preset if given.preset in NAMES else "demo")
    folder = run_folder(dataclasses.replace(default, output=given.output))
    if given.resume and folder.config_file.is_file():
        default = dataclasses.replace(folder.load_config(), output=given.output)
    return parse(Config, words, default=default, prog="python -m keras_unet.train")


def run(
    config: Config, say: Say | None = None, command: Sequence[str] = ()
) -> RunFolder:
    """Trains, scores, draws and exports; returns the run folder that holds it all.

    Args:
        config: of the run; without data the presets demo and mobile draw their own.
        say: prints a line; by default to the terminal.
        command: words after the command's name, for the message that says how to go on.

    Raises:
        BadUsage: the run folder holds a run and the config says neither what to do.
        BadData: pictures, masks or the checkpoint are wrong.
    """
    load_tensorflow()
    from keras_unet import devices
    from keras_unet.export.artefacts import export_run
    from keras_unet.fit import Plan, fit
    from keras_unet.report import evaluate_run
    from keras_unet.summary import describe, speaker, summarise

    say = say or speaker()
    folder = run_folder(config)
    _check_folder(folder, config, say)
    device = devices.use(config.fit)
    config, split = gather(config, say)
    describe(folder, config, split, device, say)
    _begin(folder, config)
    verbose = int(sys.stdout.isatty())
    progress = fit(Plan(folder, config, split, device, verbose, say, _again(command)))
    say(f"best validation Dice {progress.best:.4f} in epoch {progress.best_epoch}")
    evaluate_run(folder, split, say)
    if config.export.formats:
        export_run(folder, config.export.formats)
    summarise(folder, say)
    return folder


def run_folder(config: Config) -> RunFolder:
    """Returns the folder of the run: --output, or exports/<preset>."""
    return RunFolder(config.output or Path("exports") / config.preset)


def gather(config: Config, say: Say) -> tuple[Config, Split]:
    """Returns the config with what the masks' values mean, and the checked pairs.

    Raises:
        BadUsage: no data was given, or fewer classes than the masks hold.
        BadData: a picture or mask is unusable; every file is named with its cause.
    """
    from keras_unet.data.check import check_pairs
    from keras_unet.data.pairs import find_pairs, split_of

    config = _with_data(config, say)
    report = check_pairs(find_pairs(config.data), config.data, config.model.classes)
    for line in report.notes:
        say(line)
    if report.problems:
        raise BadData(problem_list(report.problems))
    found = max(1, len(report.resolved.class_values))
    classes = config.model.classes if config.model.classes > 1 else found
    model = dataclasses.replace(config.model, classes=classes)
    config = dataclasses.replace(config, data=report.resolved, model=model)
    return config, split_of(config.data)


def problem_list(problems: Sequence[Any], most: int = 20) -> str:
    """Returns unusable files, one a line, each with its cause."""
    lines = [f"  {problem.file}: {problem.cause}" for problem in problems[:most]]
    if len(problems) > most:
        lines.append(f"  and {len(problems) - most} more")
    return "\n".join([f"{len(problems)} files cannot be trained on:", *lines])


def _check_folder(folder: RunFolder, config: Config, say: Say) -> None:
    """Refuses a folder in the way, and a run that would go on as another one."""
    if not config.resume:
        folder.require_free(config.overwrite)
    elif not folder.config_file.is_file():
        say(f"{folder.path} holds no run to go on with: starting a new one")
    else:
        _require_same(folder.load_config(), config)
        if not folder.checkpoint.is_dir():
            say(f"{folder.path} has no checkpoint yet: starting over")


def _require_same(old: Config, new: Config) -> None:
    changed = [
        f"--{name.replace('_', '-')} is {was} in the run, {now} now"
        for name, was, now in differences(old, new)
        if name not in ("output", "resume", "overwrite", "epochs")
    ]
    if new.fit.epochs < old.fit.epochs:
        changed.append(
            f"--epochs is {old.fit.epochs} in the run and may only grow, "
            f"not {new.fit.epochs}"
        )
    if changed:
        raise BadUsage(
            "--resume goes on with a run as it is. " + "; ".join(changed) + "."
        )


def _with_data(config: Config, say: Say) -> Config:
    if config.data.data or config.data.images:
        return config
    if config.preset not in DRAWN:
        raise BadUsage(
            f"--preset {config.preset} needs pictures: give --data DIR, or "
            "--images DIR and --masks DIR"
        )
    from keras_unet.data.demo import make_demo

    folder = run_folder(config).path.parent / "demo_data"
    say(f"demo set: {folder} (drawn by code; give --data DIR for your own pictures)")
    data = dataclasses.replace(config.data, data=make_demo(folder))
    return dataclasses.replace(config, data=data)


def _begin(folder: RunFolder, config: Config) -> None:
    """Writes config.json; what an earlier run left goes only now, the data is good."""
    if config.overwrite:
        folder.clear()
    folder.save_config(dataclasses.replace(config, resume=False, overwrite=False))


def _again(words: Sequence[str]) -> str:
    kept = [word for word in words if word not in ("--overwrite", "--resume")]
    return " ".join(["python -m keras_unet.train", *kept, "--resume"])


if __name__ == "__main__":
    sys.exit(main())
