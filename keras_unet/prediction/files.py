"""Many image files in, masks and overlays out."""

from __future__ import annotations

import contextlib
import csv
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from keras_unet import types
from keras_unet.console import Progress, silent
from keras_unet.data import rle
from keras_unet.data.folders import by_stem
from keras_unet.data.images import read_image
from keras_unet.errors import BadData, BadUsage
from keras_unet.figures.paint import paint_mask
from keras_unet.files import write_whole
from keras_unet.model.head import most_probable
from keras_unet.prediction.segmenter import (
    BATCH,
    Segmenter,
    batches,
    read_ahead,
)
from keras_unet.run_folder import RunFolder
from keras_unet.types import Mask, Probability

AddRow = Callable[[str, str], None]


@dataclass(frozen=True)
class Wanted:
    """What is made of each image.

    Attributes:
        output: folder for <stem>.png, the mask: 0 and 255, or the class ids of three
            and more classes.
        overlay: also <stem>_overlay.jpg, the image with the mask over it.
        probabilities: also <stem>_probability.png, 16 bits for 0 to 1; of three and
            more classes <stem>_probability_<class id>.png for each.
        submission: CSV file for Kaggle's run lengths of all images.
    """

    output: Path
    overlay: bool = False
    probabilities: bool = False
    submission: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of the images.

    Attributes:
        done: number of images that were segmented.
        failed: what was wrong with the others, each naming its file or folder.
    """

    done: int
    failed: tuple[BadData, ...]


def segment(
    run: RunFolder,
    inputs: Sequence[Path],
    wanted: Wanted,
    progress: Progress = silent,
) -> Outcome:
    """Writes what is wanted of each image that can be read.

    Args:
        run: whose network is used.
        inputs: images, and folders of images.
        wanted: what to write.
        progress: called after each image.

    Raises:
        BadUsage: two images would be written to one file, or over an image.
        BadData: no input can be used at all, or the run has no weights.
    """
    files, failed = list_files(inputs)
    total = len(files) + len(failed)
    check_names(files, wanted, run.load_config().model.classes)
    segmenter = Segmenter(run)
    if wanted.submission and segmenter.config.model.classes > 2:
        raise BadUsage("--submission is for foreground and background, no more classes")
    _make_folder(wanted.output)
    columns = segmenter.config.data.run_lengths == "columns"
    done = 0
    with _submission(wanted.submission) as add_row:
        for batch in batches(_readable(files, segmenter, failed), BATCH):
            images = [image for _, image in batch]
            probabilities = segmenter.probabilities(images)
            for (file, image), probability in zip(batch, probabilities, strict=True):
                mask = np.asarray(most_probable(probability))
                _write(wanted, file, image, mask, probability)
                add_row(
                    file.name, rle.encode(mask, columns) if wanted.submission else ""
                )
            done += len(batch)
            progress(done + len(failed), total)
    progress(total, total)
    return Outcome(done, tuple(failed))


def list_files(inputs: Sequence[Path]) -> tuple[list[Path], list[BadData]]:
    """Returns the files that are meant, each once, and why other inputs give none.

    The files of a folder are sorted.

    Raises:
        BadUsage: there are no inputs.
        BadData: no input gives a file.
    """
    if not inputs:
        raise BadUsage("INPUT is missing: give images, or folders of images")
    files: dict[Path, Path] = {}
    failed: list[BadData] = []
    for path in inputs:
        try:
            for file in _files_of(path):
                files.setdefault(_real(file), file)
        except BadData as error:
            failed.append(error)
    if not files:
        none = f"none of the {len(failed)} inputs can be used; the first: "
        raise BadData((none if len(failed) > 1 else "") + str(failed[0]))
    return list(files.values()), failed


def _files_of(path: Path) -> list[Path]:
    try:
        # Not Path.is_dir: from Python 3.14 on it does not tell what is wrong.
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except PermissionError:
        raise BadData(f"{path}: may not be read (no permission)") from None
    except OSError:
        raise BadData(f"{path}: there is no such file or folder") from None
    if not is_folder:
        return [path]
    return sorted(file for same in by_stem(path).values() for file in same)


def check_names(files: Sequence[Path], wanted: Wanted, classes: int = 1) -> None:
    """Refuses inputs that would be written to one file, or over an input.

    Args:
        files: the inputs.
        wanted: what is made of each.
        classes: of the network; 1 and 2 are background and foreground.

    Raises:
        BadUsage: names the two.
    """
    inputs = {_real(file): file for file in files}
    came_from: dict[Path, Path] = {}
    for file in files:
        for name in _output_names(file, wanted, classes):
            target = _real(wanted.output / name)
            if target in inputs:
                raise BadUsage(
                    f"the mask of {file} would be written over {inputs[target]}: "
                    "give another --output"
                )
            other = came_from.setdefault(target, file)
            if other != file:
                raise BadUsage(
                    f"{other} and {file} would both be written to "
                    f"{wanted.output / name}: segment them apart"
                )


def _real(path: Path) -> Path:
    """Returns the path without links; equal ones are equal as the system has them."""
    # Not Path.resolve: it raises at a link in a circle.
    return Path(os.path.realpath(path))


def _output_names(file: Path, wanted: Wanted, classes: int) -> list[str]:
    """Returns the names of the files that are made of ``file``, the mask's first."""
    names = [f"{file.stem}.png"]
    names += [f"{file.stem}_overlay.jpg"] if wanted.overlay else []
    probabilities = _probability_names(file, classes) if wanted.probabilities else {}
    return [*names, *probabilities.values()]


def _probability_names(file: Path, classes: int) -> dict[int, str]:
    """Returns the name of each probability's file by its class id."""
    if classes <= 2:
        return {1: f"{file.stem}_probability.png"}
    return {k: f"{file.stem}_probability_{k}.png" for k in range(classes)}


def _readable(
    files: Sequence[Path], segmenter: Segmenter, failed: list[BadData]
) -> Iterator[tuple[Path, types.Image]]:
    """Yields what can be read; appends what is wrong with the rest to ``failed``."""
    channels = segmenter.config.model.channels
    most = segmenter.config.data.max_pixels

    def read(file: Path) -> types.Image | BadData:
        try:
            return read_image(file, channels, most)
        except BadData as error:
            return error

    for file, image in zip(files, read_ahead(files, read), strict=True):
        if isinstance(image, BadData):
            failed.append(image)
        else:
            yield file, image


def _write(
    wanted: Wanted, file: Path, image: types.Image, mask: Mask, probability: Probability
) -> None:
    binary = probability.shape[-1] == 2
    _save(mask * 255 if binary else mask, wanted.output / f"{file.stem}.png")
    if wanted.overlay:
        _save(paint_mask(image, mask), wanted.output / f"{file.stem}_overlay.jpg")
    if wanted.probabilities:
        names = _probability_names(file, probability.shape[-1])
        for class_id, name in names.items():
            levels = np.round(probability[..., class_id] * 65535).astype(np.uint16)
            _save(levels, wanted.output / name)


def _save(pixels: npt.NDArray[np.uint8 | np.uint16], file: Path) -> None:
    with write_whole(file) as aside:
        Image.fromarray(pixels).save(aside, quality=92)


def _make_folder(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadUsage(f"--output {output} is no folder: {error.strerror}") from None


@contextlib.contextmanager
def _submission(file: Path | None) -> Iterator[AddRow]:
    """Yields a function that adds an image's name and run lengths to ``file``."""
    if file is None:
        yield lambda name, runs: None
        return
    with (
        write_whole(file) as aside,
        aside.open("w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["img", "rle_mask"])
        yield lambda name, runs: writer.writerow([name, runs])
