"""Many image files in, masks and overlays out."""

from __future__ import annotations

import contextlib
import csv
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from keras_unet import types
from keras_unet.console import Progress, silent
from keras_unet.data import rle
from keras_unet.data.images import image_shape, read_image
from keras_unet.errors import BadData, BadUsage
from keras_unet.figures.paint import paint_mask
from keras_unet.files import remove_leftovers, write_whole
from keras_unet.prediction.inputs import Input, list_inputs, real
from keras_unet.prediction.segmenter import (
    BATCH,
    Segmenter,
    Strips,
    as_written,
    batches,
    class_values,
    read_ahead,
)
from keras_unet.run_folder import RunFolder
from keras_unet.types import Mask

AddRow = Callable[[str, str], None]


@dataclass(frozen=True)
class Wanted:
    """What is made of each image.

    Attributes:
        output: folder for <stem>.png, the mask: 0 and 255, or the values that the
            classes have in the masks of the training. Images in folders of a folder
            have theirs in folders of the same names.
        overlay: also <stem>_overlay.jpg, the image with the mask over it.
        probabilities: also <stem>_probability.png, 16 bits for 0 to 1; of three and
            more classes <stem>_probability_<number>.png for each, from 0 on.
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
        inputs: images, and folders of images, to any depth.
        wanted: what to write.
        progress: called after each image.

    Raises:
        BadUsage: two images would be written to one file, or over an image.
        BadData: no input can be used at all, or the run has no weights.
    """
    files, failed = list_inputs(inputs, wanted.output)
    total = len(files) + len(failed)
    check_names(files, wanted, run.load_config().model.classes)
    segmenter = Segmenter(run)
    values = class_values(segmenter.config)
    if wanted.submission and segmenter.config.model.classes > 2:
        raise BadUsage("--submission is for foreground and background, no more classes")
    _make_folder(wanted.output)
    columns = segmenter.config.data.run_lengths == "columns"
    done = 0
    with _submission(wanted.submission) as add_row:
        readable = _readable(files, segmenter, failed)
        for batch in batches(readable, BATCH, lambda item: item[1][..., 0].size):
            every = segmenter.strips([image for _, image in batch])
            for (one, image), strips in zip(batch, every, strict=True):
                mask = _write(wanted, one, image, segmenter, strips, values)
                name = one.place.as_posix()
                runs = rle.encode(mask, columns) if wanted.submission else ""
                add_row(name, runs)
            done += len(batch)
            progress(done + len(failed), total)
            # The next ones are read now, and two large images need not fit.
            batch.clear()
            del image, mask
    progress(total, total)
    return Outcome(done, tuple(failed))


def check_names(files: Sequence[Input], wanted: Wanted, classes: int = 1) -> None:
    """Refuses inputs that would be written to one file, or over an input.

    Args:
        files: the inputs.
        wanted: what is made of each.
        classes: of the network; 1 and 2 are background and foreground.

    Raises:
        BadUsage: names the two.
    """
    inputs = {real(one.file): one.file for one in files}
    came_from: dict[Path, Path] = {}
    for one in files:
        for output in _outputs(one, wanted, classes):
            target = real(output)
            if target in inputs:
                raise BadUsage(
                    f"the mask of {one.file} would be written over {inputs[target]}: "
                    "give another --output"
                )
            other = came_from.setdefault(target, one.file)
            if other != one.file:
                raise BadUsage(
                    f"{other} and {one.file} would both be written to "
                    f"{output}: segment them apart"
                )


def _outputs(one: Input, wanted: Wanted, classes: int) -> list[Path]:
    """Returns the files that are made of an image, the mask first."""
    ends = [".png"] + ["_overlay.jpg"] * wanted.overlay
    if wanted.probabilities:
        ends += _probability_ends(classes).values()
    return [_output(one, wanted, end) for end in ends]


def _output(one: Input, wanted: Wanted, end: str) -> Path:
    return wanted.output / one.place.with_name(one.place.stem + end)


def _probability_ends(classes: int) -> dict[int, str]:
    """Returns how each probability's file ends, by the number of its class."""
    if classes <= 2:
        return {1: "_probability.png"}
    return {k: f"_probability_{k}.png" for k in range(classes)}


def _readable(
    files: Sequence[Input], segmenter: Segmenter, failed: list[BadData]
) -> Iterator[tuple[Input, types.Image]]:
    """Yields what can be read; appends what is wrong with the rest to ``failed``."""
    channels = segmenter.config.model.channels
    data = segmenter.config.data

    def read(one: Input) -> types.Image | BadData:
        try:
            return read_image(one.file, channels, data)
        except BadData as error:
            return error

    def pixels(one: Input) -> int:
        try:
            return math.prod(image_shape(one.file, data.max_pixels))
        except BadData:
            return 0

    ahead = read_ahead(files, read, pixels)
    for one in files:
        image = next(ahead)
        if isinstance(image, BadData):
            failed.append(image)
        else:
            yield one, image
        del image


def _write(
    wanted: Wanted,
    one: Input,
    image: types.Image,
    segmenter: Segmenter,
    strips: Strips,
    values: npt.NDArray[np.uint8 | np.uint16],
) -> Mask:
    """Writes what is wanted of an image whose probability comes in strips."""
    size = image.shape[:2]
    mask = np.empty(size, np.uint8)
    ends = _probability_ends(segmenter.config.model.classes)
    levels = {
        number: np.empty(size, np.uint16) for number in ends if wanted.probabilities
    }
    for rows, strip in strips:
        mask[rows] = segmenter.decide(strip)
        for number, level in levels.items():
            level[rows] = np.round(strip[..., number] * 65535)
    for number, level in levels.items():
        _save(level, _output(one, wanted, ends[number]))
    if wanted.overlay:
        _save(paint_mask(image, mask), _output(one, wanted, "_overlay.jpg"))
    _save(as_written(mask, values), _output(one, wanted, ".png"))
    return mask


def _save(pixels: npt.NDArray[np.uint8 | np.uint16], file: Path) -> None:
    with write_whole(file) as aside:
        Image.fromarray(pixels).save(aside, quality=92)


def _make_folder(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
        remove_leftovers(output)
    except OSError as error:
        raise BadUsage(f"--output {output} cannot be made ({error.strerror})") from None


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
