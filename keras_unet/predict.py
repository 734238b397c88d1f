"""Command: masks of images by the network of a run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from keras_unet.config import Config, PredictConfig
from keras_unet.console import (
    load_tensorflow,
    on_interrupt,
    parse,
    progress_bar,
    run_verb,
)
from keras_unet.errors import BadUsage, make_output
from keras_unet.files import read_json, remove, write_json, write_rows
from keras_unet.run_folder import RunFolder

if TYPE_CHECKING:
    from keras_unet.errors import Unreadable
    from keras_unet.prediction.files import Wanted
    from keras_unet.prediction.inputs import Input, Shard
    from keras_unet.prediction.segmenter import Segmenter


JOURNAL = ".predict.json"
"""Beside masks: what made them."""
_FOLDERS = "folders_of_images"
_OF_SOME = ("boundary_threshold", "white")
"""What decides over instances, and over images of 16 bits, alone: None where unsaid."""


@dataclass(frozen=True)
class Arguments:
    """Writes the mask of each image as a PNG of the image's own size.

    Masks hold 0 and 255, or the values that the classes have in the masks of the
    training: grey in 8 or 16 bits, indices with their palette, or colours. What is
    missing or cannot be read is named, at the end and in OUTPUT/failed.csv, and the
    others are done. Stopped in any way, the same command goes on where it was: images
    that have all their files are passed over, however old these are.

    For example: python -m keras_unet.predict exports/demo IMAGES --output masks

    Attributes:
        run: run folder that keras_unet.train wrote.
        inputs: images; folders, which are searched to any depth; patterns in quotes,
            such as 'in/**/*.jpg'; @list.txt, a text file with a path in each line,
            counted from the list's own folder.
        output: folder to write <stem>.png to; what lies in a folder of a folder goes to
            a folder of the same name.
        overlay: also write <stem>_overlay.jpg; with --instances, that of these, too.
        probabilities: also write <stem>_probability.png, grey in 16 bits.
        instances: also write <stem>_instances.png: the number of each pixel's connected
            piece (corners connect), or with --boundary-threshold what that cuts it
            into, or with --targets borders its cell, grown over them; 16 bits.
        submission: also write this CSV file with run lengths, as Kaggle wants them.
        shard: do a share only, the third of sixteen with 3/16, of the same INPUT each;
            CSV files get names such as failed-03-of-16.csv, and the submissions of
            all, one after the other, are that of the whole.
        overwrite: make anew what the output folder holds.
        threshold: foreground is what is more probable; by default the run's own; best
            is that of the best Dice (not instances), which keras_unet.evaluate found.
        boundary_threshold: what touches is one of the --instances only if the mean
            probability along the boundary is above this (foreground and background;
            extra science); with 0, all that touches is one; by default the run's own.
        test_time_flips: the probability is the mean over the image and its mirrored
            forms, along the axes that --flip of the training names; of networks that
            were trained on quarter turns too and see squares, over all eight forms.
        max_pixels: pixels of the largest image that is opened; by default the run's
            own (178,956,970 where the training said nothing).
        white: 16-bit images: the value that counts as white; by default the run's own.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    inputs: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="INPUT...", help_behavior_hint="(required)"),
    ]
    output: Path
    overlay: bool = False
    probabilities: bool = False
    instances: bool = False
    submission: Path | None = None
    shard: str = "1/1"
    overwrite: bool = False
    threshold: float | Literal["best"] | None = None
    boundary_threshold: float | None = None
    test_time_flips: bool = False
    max_pixels: int | None = None
    white: int | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its status."""
    arguments = parse(Arguments, argv, prog="python -m keras_unet.predict")
    return run_verb(lambda: predict(arguments))


def predict(arguments: Arguments) -> int:
    """Returns 0, or 1 when some inputs are missing or cannot be read; names them.

    Raises:
        BadUsage: two images would be written to one file, or over an image; or the
            output holds masks that were made otherwise.
        BadData: all inputs or the run's network are missing.
    """
    run = RunFolder(arguments.run)
    config = _seeing(run.load_config(), arguments)
    _require_fitting(arguments, config)
    how = arguments.threshold, arguments.test_time_flips, arguments.boundary_threshold
    config = dataclasses.replace(config, predict=run.predict_config(*how))
    run.require_weights()
    load_tensorflow()
    from keras_unet.prediction.files import check_names, segment, write_submission
    from keras_unet.prediction.inputs import Shard, list_inputs
    from keras_unet.prediction.segmenter import Segmenter
    from keras_unet.prediction.weights_file import load_network

    shard, wanted = Shard.parse(arguments.shard), _wanted(arguments)
    every, missing = list_inputs(arguments.inputs, arguments.output)
    _require_possible(arguments, shard, config)
    check_names(every, wanted, config.model.classes)
    files, failed = shard.of(every), list(shard.of(missing))
    segmenter = Segmenter.of(load_network(run), config)
    made_by = _made_by(run, segmenter, arguments.instances)
    _require_no_others(arguments, made_by, every)
    left = _left_to_do(files, wanted, segmenter, made_by, arguments)
    with on_interrupt(_way_on, arguments), progress_bar("images") as progress:
        failed += segment(run, segmenter, left, wanted, progress)
    lost = {error.file for error in failed}
    done = [one for one in files if one.file not in lost]
    if arguments.submission:
        table = arguments.submission, shard
        with on_interrupt(_way_on, arguments), progress_bar("run lengths") as progress:
            failed += write_submission(done, segmenter, wanted, table, progress)
    return _tell(arguments, shard, failed, (len(done), len(files) - len(left)))


def _require_fitting(arguments: Arguments, config: Config) -> None:
    if arguments.submission and config.model.classes > 2:
        raise BadUsage("--submission is for foreground and background, no more classes")
    if arguments.boundary_threshold is not None and not arguments.instances:
        raise BadUsage("--boundary-threshold is of --instances: give both, or neither")


def _require_possible(arguments: Arguments, shard: Shard, config: Config) -> None:
    """Refuses what could not be written in the end.

    Raises:
        BadUsage: an extra is missing, or something is in the submission's place.
    """
    from keras_unet.data.objects import skimage_for
    from keras_unet.data.rle import require_table

    if arguments.instances:
        skimage_for(config)
    if arguments.submission:
        require_table(shard.name(arguments.submission))


def _seeing(config: Config, arguments: Arguments) -> Config:
    """Returns the config with what the flags say of how images are read."""
    said = {name: getattr(arguments, name) for name in ("max_pixels", "white")}
    given = {name: value for name, value in said.items() if value is not None}
    return dataclasses.replace(config, data=dataclasses.replace(config.data, **given))


def _wanted(arguments: Arguments) -> Wanted:
    from keras_unet.prediction.files import Wanted

    names = [field.name for field in dataclasses.fields(Wanted)]
    return Wanted(**{name: getattr(arguments, name) for name in names})


def _made_by(run: RunFolder, segmenter: Segmenter, instances: bool) -> dict[str, Any]:
    """Returns what decides how masks come out, as JSON has it."""
    from keras_unet.prediction.segmenter import class_values

    config = segmenter.config
    names = ("image_size", "resolution", "tile_size", "tile_overlap", "bands", "white")
    made_by = {
        "weights": hashlib.sha256(run.require_weights().read_bytes()).hexdigest()[:16],
        **{name: getattr(config.data, name) for name in names},
        "class_values": class_values(config).tolist(),
        **dataclasses.asdict(config.predict),
    }
    if not instances:
        made_by["boundary_threshold"] = None
    return dict(json.loads(json.dumps(made_by)))


def _left_to_do(
    files: Sequence[Input],
    wanted: Wanted,
    segmenter: Segmenter,
    made_by: dict[str, Any],
    arguments: Arguments,
) -> list[Input]:
    """Returns the images that lack files, in an output that says what makes these.

    Raises:
        BadUsage: the output cannot be made, or holds masks that were made otherwise.
    """
    from keras_unet.prediction.files import present

    output = arguments.output
    make_output(output)
    complete, there = present(files, wanted, segmenter.config.model.classes)
    before = _read_journal(output / JOURNAL)
    if there and not before:
        raise BadUsage(
            f"--output {output} holds {there[0].name}, and no {JOURNAL} tells that "
            "keras_unet.predict made it: give another folder"
        )
    now = {str(one.place): _folder(one) for one in files}
    done = {place for place, all_ in zip(now, complete, strict=True) if all_}
    made = set(there)
    begun = [place for place in now if (output / place).with_suffix(".png") in made]
    known = before.get(_FOLDERS) or now | {"": next(iter(now.values()), "")}
    cause = before and (_changes(before, made_by) or _moved(known, now, begun))
    if arguments.overwrite:
        # Before the journal, or a killed command's successor would take them for its.
        for path in there:
            remove(path)
        done = set()
    elif cause:
        ways = "Replace them: --overwrite. Or give another folder"
        raise BadUsage(f"--output {output} {cause}. {ways}.")
    elif before:
        made_by |= {key: before.get(key) for key in _OF_SOME if made_by[key] is None}
    others = {at: one for at, one in (known | now).items() if one != known[""]}
    write_json(output / JOURNAL, made_by | {_FOLDERS: {"": known[""], **others}})
    return [one for one in files if str(one.place) not in done]


def _moved(known: dict[str, str], now: dict[str, str], begun: list[str]) -> str:
    """Returns what is wrong with masks of images elsewhere; nothing if none are."""
    for place in begun:
        if (folder := known.get(place, known[""])) != now[place]:
            only = f'if it only moved: remove "{_FOLDERS}" from {JOURNAL}'
            return f"holds the mask of {place} in {folder}, not {now[place]} ({only})"
    return ""


def _folder(one: Input) -> str:
    """Returns the folder that an image's place in the output is told from."""
    return str(one.file.parent.resolve() / one.file.name).removesuffix(str(one.place))


def _require_no_others(
    arguments: Arguments, made_by: dict[str, Any], every: Sequence[Input]
) -> None:
    """Refuses to overwrite some of the masks of a folder by ones made otherwise.

    Nothing would tell them from the others, which a later command passes over.

    Raises:
        BadUsage: names one of the others.
    """
    output = arguments.output
    before = _read_journal(output / JOURNAL)
    cause = before and _changes(before, made_by)
    if not cause or not arguments.overwrite:
        return
    stems = {output / one.place.with_suffix("") for one in every}
    inputs = {one.file for one in every}
    for mask in sorted(output.rglob("*.png")):
        name = mask.relative_to(output)
        if not (mask in inputs or _is_of(mask, stems) or _is_elsewhere(name, output)):
            raise BadUsage(
                f"--output {output} {cause}. --overwrite would replace some of them, "
                f"and {name} would stay: give all the images, remove the folder, or "
                "give another one."
            )


def _is_of(mask: Path, stems: set[Path]) -> bool:
    start, _, end = mask.stem.rpartition("_")
    if end.isdecimal():
        start, _, end = start.rpartition("_")
    made = end in ("probability", "instances") and mask.with_name(start) in stems
    return made or mask.with_suffix("") in stems


def _is_elsewhere(name: Path, output: Path) -> bool:
    """Returns whether a file is hidden, or in a folder with a journal of its own."""
    own = any((output / folder / JOURNAL).exists() for folder in name.parents[:-1])
    return own or any(part.startswith(".") for part in name.parts)


def _read_journal(journal: Path) -> dict[str, Any]:
    """Returns what made the masks beside it, nothing where nothing tells."""
    try:
        # Versions before had fewer ways.
        return dataclasses.asdict(PredictConfig()) | read_json(journal, dict[str, Any])
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}


def _changes(before: dict[str, Any], made_by: dict[str, Any]) -> str:
    """Returns what is wrong with masks from before; nothing if all is as it was."""
    unsaid = {key for key in _OF_SOME if None in (before.get(key), made_by[key])}
    said = (key for key in made_by if key not in {*unsaid, _FOLDERS})
    changed = [key for key in said if before.get(key) != made_by[key]]
    how = ", ".join(f"{key} {before.get(key)}, now {made_by[key]}" for key in changed)
    return how and f"holds masks that were made otherwise: {how}"


def _way_on(arguments: Arguments) -> str:
    without = ", without --overwrite," if arguments.overwrite else ""
    return f"Go on with the same command{without}: what is done is kept"


def _tell(
    arguments: Arguments,
    shard: Shard,
    failed: Sequence[Unreadable],
    counts: tuple[int, int],
) -> int:
    """Prints what came of it and writes failed.csv; returns the status."""
    listing = shard.name(arguments.output / "failed.csv")
    if failed:
        rows = [{"file": str(error.file), "cause": error.cause} for error in failed]
        write_rows(listing, rows)
    else:
        remove(listing)
    for error in failed:
        print(f"error: {error}", file=sys.stderr)
    done, before = counts
    kept = f" ({before} from before)" if before else ""
    print(f"{done} mask{'s' * (done != 1)} in {arguments.output}{kept}")
    if failed:
        print(f"{len(failed)} failed: {listing}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
