"""Command: a run's network as files for servers, phones and browsers, all measured."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from keras_unet.config import Format, PredictConfig
from keras_unet.console import load_tensorflow, parse, require_extras, run_verb
from keras_unet.run_folder import RunFolder


@dataclass(frozen=True)
class Arguments:
    """Exports a run for servers (SavedModel, ONNX), phones (TFLite) and browsers (web).

    Every file is opened again, compared with the Keras network and scored on the run's
    validation images before it takes the place of the last export's.

    For example: python -m keras_unet.export exports/demo --formats float16 int8

    Attributes:
        run: run folder that keras_unet.train wrote.
        formats: what to write: the SavedModel, TFLite files by their numbers, ONNX
            (extra "onnx"), and a page for the browser (web), with int8 if the run has
            it, else float32.
        web_runtime: what the page runs on, so that it is part of it and no request
            leaves for a CDN: the folder node_modules of npm install
            @litertjs/core@2.5.3.
        data: where the run's images are, if they have moved since.
        threshold: foreground is what is more probable than this; best is that of the
            best Dice on the validation images. By default as the run was trained.
        test_time_flips: the files' probability is the mean over the image and its
            mirrored forms, along the axes that --flip of the training names; of
            networks that were trained on quarter turns too and see squares, over all
            eight forms.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    formats: tuple[Format, ...] = (
        *("saved_model", "float32", "float16", "dynamic", "int8"),
    )
    web_runtime: Path | None = None
    data: Path | None = None
    threshold: float | Literal["best"] | None = None
    test_time_flips: bool = False


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its status."""
    arguments = parse(Arguments, argv, prog="python -m keras_unet.export")
    return run_verb(lambda: export(arguments))


def export(arguments: Arguments) -> None:
    """Writes the files and export_report.json, and prints what was measured.

    Raises:
        BadData: the run or its images cannot be read, or a file is not good enough.
        BadUsage: another command is writing to the run, or an extra is missing.
    """
    require_extras(arguments.formats)
    run = RunFolder(arguments.run)
    predict = run.predict_config(arguments.threshold, arguments.test_time_flips)
    run.require_weights()
    with run.hold():
        _export(run, arguments, predict)


def _export(run: RunFolder, arguments: Arguments, predict: PredictConfig) -> None:
    load_tensorflow()
    from keras_unet.data.pairs import split_of_run
    from keras_unet.export.artefacts import artefact_table, export_run

    folder, data = arguments.data, run.load_config().data
    split, notes = split_of_run(run, data.moved_to(folder) if folder else None)
    for note in notes:
        print(note)
    console = Console(highlight=False)
    with console.status("exporting and measuring"):
        measured = export_run(
            run, arguments.formats, split, predict, arguments.web_runtime
        )
    console.print(artefact_table(measured))
    console.print(f"report: {run.export_report}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
