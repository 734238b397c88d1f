"""Many image files in, masks and overlays out."""

from __future__ import annotations

import contextlib
import csv
import errno
import math
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from keras_unet import types
from keras_unet.config import Config
from keras_unet.console import Progress, silent
from keras_unet.data import rle
from keras_unet.data.folders import opened
from keras_unet.data.images import image_shape
from keras_unet.data.masks import run_lengths_of
from keras_unet.data.objects import in_16_bits, number_instances
from keras_unet.data.resize import Strips, read_at_own_size
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData, BadUsage, Unreadable
from keras_unet.figures import canvas
from keras_unet.files import read_rows, remove_leftovers, write_whole
from keras_unet.prediction.inputs import Input, Shard, real_names
from keras_unet.prediction.segmenter import (
    BATCH,
    Segmenter,
    as_written,
    batches,
    class_values,
    read_ahead,
)
from keras_unet.run_folder import RunFolder


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
        instances: also <stem>_instances.png, 16 bits: the number of each pixel's
            object; with overlay also <stem>_instances_overlay.jpg, each in a colour.
    """

    output: Path
    overlay: bool = False
    probabilities: bool = False
    instances: bool = False


def segment(
    run: RunFolder,
    segmenter: Segmenter,
    files: Sequence[Input],
    wanted: Wanted,
    progress: Progress = silent,
) -> list[Unreadable]:
    """Writes what is wanted of each image; returns what is wrong with the others.

    While the network is at some images, the next are read and the last are written by
    threads; how many depends on their pixels, not on the number of files.
    ``progress`` is called after each image.
    """
    failed: list[Unreadable] = []
    works = _predicted(files, _Writer(run, segmenter, wanted))
    written = read_ahead(works, lambda work: work[1](), lambda work: work[0])
    for number, wrong in enumerate(written, 1):
        if wrong:
            failed.append(wrong)
        progress(number, len(files))
    return failed


def check_names(files: Sequence[Input], wanted: Wanted, classes: int = 1) -> None:
    """Refuses inputs that would be written to one file, or over an input.

    Args:
        files: the inputs.
        wanted: what is made of each.
        classes: of the network; 1 and 2 are background and foreground.

    Raises:
        BadUsage: names the two.
    """
    inputs = dict(zip(real_names(one.file for one in files), files, strict=True))
    came_from: dict[str, Input] = {}
    starts = [(one, _start(one, wanted.output)) for one in files]
    ends = _ends(wanted, classes)
    made = [(one, start + end) for one, start in starts for end in ends]
    targets = real_names((output for _, output in made), follow=False)
    for (one, output), target in zip(made, targets, strict=True):
        if target in inputs:
            raise BadUsage(
                f"the mask of {one.file} would be written over {inputs[target].file}: "
                "give another --output"
            )
        other = came_from.setdefault(target, one)
        if other.file != one.file:
            raise BadUsage(
                f"{other.file} and {one.file} would both be written to "
                f"{output}: segment them apart"
            )


def present(
    files: Sequence[Input], wanted: Wanted, classes: int
) -> tuple[list[bool], list[Path]]:
    """Returns which images have all that is wanted, and all that is there of any.

    Each folder is looked into once; what killed processes left unfinished there goes.
    """
    kinds = replace(wanted, overlay=True, probabilities=True, instances=True)
    needed, every = set(_ends(wanted, classes)), _ends(kinds, classes)
    folders: dict[str, set[str]] = {}
    complete, there = list[bool](), list[Path]()
    for one in files:
        start = _start(one, wanted.output)
        folder, stem = os.path.split(start)
        if folder not in folders:
            remove_leftovers(Path(folder))
            folders[folder] = {path.name for path in Path(folder).glob("*")}
        ends = [end for end in every if stem + end in folders[folder]]
        complete.append(needed.issubset(ends))
        there += [Path(start + end) for end in ends]
    return complete, there


def _start(one: Input, output: Path) -> str:
    """Returns the path of what is made of an image, but for how each file ends."""
    return f"{output}{os.sep}{one.place}".removesuffix(one.place.suffix)


def _ends(wanted: Wanted, classes: int) -> list[str]:
    """Returns how the files that are made of an image end."""
    ends = ["_overlay.jpg"] * wanted.overlay + ["_instances.png"] * wanted.instances
    ends += ["_instances_overlay.jpg"] * (wanted.overlay and wanted.instances)
    if wanted.probabilities:
        ends += _probability_ends(classes).values()
    return [*ends, ".png"]


def _probability_ends(classes: int) -> dict[int, str]:
    """Returns how each probability's file ends, by the place of its class."""
    if classes <= 2:
        return {-1: "_probability.png"}
    return {k: f"_probability_{k}.png" for k in range(classes)}


_Work = tuple[int, Callable[[], Unreadable | None]]
"""The pixels of an image, and what is still to be done with it, in any thread."""


def _predicted(files: Sequence[Input], writer: _Writer) -> Iterator[_Work]:
    """Yields what is left to do of each image once the network has seen it."""
    segmenter = writer.segmenter
    for batch in batches(_readable(files, segmenter), BATCH, _pixels):
        images = [image for _, image in batch if not isinstance(image, Unreadable)]
        every = iter(segmenter.strips(images, foreground=True))
        images.clear()
        # What is done with goes at once: two large images need not fit.
        while batch:
            one, image = batch.pop(0)
            if isinstance(image, Unreadable):
                yield 0, partial(_as_it_is, image)
                continue
            size = image.shape[:2]
            gather: Callable[[], _Gathered] = partial(writer.gather, size, next(every))
            if segmenter.config.data.tiles is not None:
                # The network runs while strips are asked for: in this thread alone.
                gather = partial(_as_it_is, gather())
            painted = image if writer.wanted.overlay else None
            del image
            yield math.prod(size), partial(writer.write, one, painted, gather)
            del painted, gather


_T = TypeVar("_T")


def _as_it_is(value: _T) -> _T:
    return value


_Read = tuple[Input, types.Image | Unreadable]


def _pixels(item: _Read) -> int:
    return 0 if isinstance(item[1], Unreadable) else int(item[1][..., 0].size)


def _readable(files: Sequence[Input], segmenter: Segmenter) -> Iterator[_Read]:
    """Yields each input with its image, or with what is wrong with it."""
    channels, data = segmenter.config.model.channels, segmenter.config.data

    def read(one: Input) -> _Read:
        try:
            return one, read_at_own_size(one.file, channels, data)
        except Unreadable as error:
            return one, error

    return read_ahead(files, read, lambda one: _size_of(one.file, data))


def _size_of(file: Path, data: DataConfig) -> int:
    try:
        return math.prod(image_shape(file, data.max_pixels))
    except BadData:
        return 0


_Gathered = tuple[types.Mask, dict[str, npt.NDArray[np.uint16]]]
"""An image's class ids (h, w), and its 16-bit probabilities by how their files end."""


class _Writer:
    """Makes files of the probability of one image; used by several threads at once."""

    def __init__(self, run: RunFolder, segmenter: Segmenter, wanted: Wanted) -> None:
        self.segmenter, self.wanted = segmenter, wanted
        self.values = class_values(segmenter.config)
        self.palette = _palette(run, segmenter.config.data)
        self.cuts = wanted.instances and segmenter.config.predict.boundary_threshold > 0
        ends = _probability_ends(segmenter.config.model.classes)
        self.ends = ends if wanted.probabilities or self.cuts else {}

    def gather(self, size: tuple[int, int], strips: Strips) -> _Gathered:
        mask = np.empty(size, np.uint8)
        levels = {end: np.empty(size, np.uint16) for end in self.ends.values()}
        for rows, strip in strips:
            mask[rows] = self.segmenter.decide(strip)
            for number, end in self.ends.items():
                levels[end][rows] = in_16_bits(strip[..., number])
        return mask, levels

    def write(
        self, one: Input, image: types.Image | None, gather: Callable[[], _Gathered]
    ) -> Unreadable | None:
        """Writes the files of an image, the mask last; returns why there are none."""
        mask, levels = gather()
        start = _start(one, self.wanted.output)
        try:
            if self.wanted.instances:
                foreground = next(iter(levels.values())) if self.cuts else None
                numbers = number_instances(mask, self.segmenter.config, foreground)
                _save(numbers, start + "_instances.png")
                if image is not None:
                    painted = canvas.paint_instances(image, numbers)
                    _save(painted, start + "_instances_overlay.jpg")
            for end, level in levels.items():
                if self.wanted.probabilities:
                    _save(level, start + end)
            if image is not None:
                _save(canvas.paint_mask(image, mask), start + "_overlay.jpg")
            _save(as_written(mask, self.values), start + ".png", self.palette)
        except BadData as error:
            return Unreadable(one.file, str(error))
        return None


def _palette(run: RunFolder, data: DataConfig) -> bytes:
    """Returns the colours of masks whose values are indices, of others none.

    They are those of the training's first mask, or Pascal VOC's where it is gone.
    """
    if data.mask_reading != "indices" or data.mask_kind != "classes":
        return b""
    own = b""
    with contextlib.suppress(OSError, ValueError, LookupError):
        first = read_rows(run.split_file)[0]["mask"]
        with Image.open(first) as mask:
            own = bytes(mask.getpalette() or [])
    return canvas.palette(own)


def _save(values: npt.NDArray[Any], file: str, palette: bytes = b"") -> None:
    image = Image.fromarray(values)
    if palette and image.mode == "L":
        image.putpalette(palette)
    try:
        with write_whole(Path(file)) as aside:
            # Each format passes over the other's. Runs make a mask's PNG as small as
            # all that zlib does, in half the time.
            image.save(aside, quality=92, compress_type=zlib.Z_RLE)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise BadData(f"{file} is too long a name for this disk") from None


def write_submission(
    files: Sequence[Input],
    segmenter: Segmenter,
    wanted: Wanted,
    table: tuple[Path, Shard],
    progress: Progress = silent,
) -> list[Unreadable]:
    """Writes Kaggle's table of the masks that are there; returns which are damaged.

    Args:
        files: the images, whose order the rows have.
        segmenter: what made the masks.
        wanted: where they are.
        table: the CSV file, and whose rows these are: only the first shard's table has
            the header.
        progress: called after each mask.
    """
    config, (file, shard), failed = segmenter.config, table, list[Unreadable]()
    read = partial(_runs_of, config, class_values(config))
    masks = [Path(_start(one, wanted.output) + ".png") for one in files]
    with (
        write_whole(shard.name(file)) as aside,
        aside.open("w", newline="", encoding="utf-8", errors="surrogateescape") as to,
    ):
        writer = csv.writer(to, lineterminator="\n")
        if shard.number == 1:
            writer.writerow(rle.HEADER)
        ahead = read_ahead(masks, read, lambda mask: _size_of(mask, config.data))
        for number, runs in enumerate(ahead, 1):
            if isinstance(runs, Unreadable):
                failed.append(runs)
            else:
                writer.writerow([files[number - 1].place.as_posix(), runs])
            progress(number, len(files))
    return failed


def _runs_of(
    config: Config, values: npt.NDArray[np.uint8 | np.uint16], file: Path
) -> str | Unreadable:
    try:
        with opened(file) as stream:
            return run_lengths_of(stream, values, config.data)
    except Unreadable as error:
        return error
