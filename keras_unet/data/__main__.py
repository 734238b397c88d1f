"""Command: check a folder of pairs, draw the demo set, fetch Carvana, write records."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

import tyro

from keras_unet.config import PresetName
from keras_unet.console import (
    load_tensorflow,
    parse,
    progress_bar,
    require_one_way,
    run_verb,
)
from keras_unet.data.pair import listing
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadUsage, make_output
from keras_unet.files import write_json
from keras_unet.presets import preset, preset_in

if TYPE_CHECKING:
    from keras_unet.data.check import Report

Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
FolderOrNone = Annotated[
    Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")
]

_DRAWN = 8
_REPORT = "report.json"
_PAIRS = "pairs.csv"
_HOW_TO_GET_ALL = f"--output DIR lists all of them in DIR/{_REPORT}"


@dataclass(frozen=True)
class Check:
    """Looks at every image and mask, and names all that cannot be used.

    For example: python -m keras_unet.data check DIR --output report

    Attributes:
        folder: folder of images and masks, the same as --data.
        output: folder to write report.json, data.png and pairs.csv to; the last can be
            edited and given as --pairs.
        classes: classes of the network that is to be trained; 1 takes any number.
        preset: of the training; its image size and kind of masks are the defaults.
        data: what is known of the data, as for training.
    """

    folder: FolderOrNone = None
    output: Path | None = None
    classes: int = 1
    preset: PresetName = "demo"
    data: DataConfig = field(default_factory=lambda: preset("demo").data)

    def run(self) -> int:
        """Prints what the folder holds; returns 1 where something is wrong with it."""
        from keras_unet.data.check import check_data
        from keras_unet.data.layouts import find
        from keras_unet.data.pairs_file import write_pairs

        data = _with_folder(self.data, self.folder)
        if self.output:
            make_output(self.output)
        found = find(data)
        with progress_bar("pairs") as progress:
            report = check_data(found, data, self.classes, progress)
        _show(report, self.output)
        if self.output:
            files = _write_report(report, self.output)
            if write_pairs(self.output / _PAIRS, found.every):
                files.append(self.output / _PAIRS)
            print("report: " + ", ".join(map(str, files)))
        return 1 if report.problems else 0


@dataclass(frozen=True)
class Demo:
    """Draws a small set of cars in the layout of Kaggle's Carvana set.

    For example: python -m keras_unet.data demo cars --cars 4 --size 320 480

    Attributes:
        folder: a new folder.
        cars: how many; there are 16 views of each.
        seed: of shapes, colours, studio and noise.
        size: height and width in pixels.
    """

    folder: Folder
    cars: int = 24
    seed: int = 0
    size: tuple[int, int] = (320, 480)

    def run(self) -> int:
        """Draws the set."""
        from keras_unet.data.demo.make import make_demo

        with progress_bar("images") as progress:
            make_demo(self.folder, self.cars, self.seed, self.size, progress=progress)
        print(f"wrote {self.folder}")
        return 0


@dataclass(frozen=True)
class Download:
    """Fetches Kaggle's Carvana set; you need an account there and accept its rules.

    For example: python -m keras_unet.data download carvana carvana

    Attributes:
        name: the set.
        folder: gets train/, train_masks/, train_masks.csv and test/.
    """

    name: Annotated[Literal["carvana"], tyro.conf.Positional]
    folder: Folder

    def run(self) -> int:
        """Fetches the set, or what of it is missing."""
        from keras_unet.data.download import download

        counts = download(self.folder, say=print)
        for part, count in counts.items():
            print(f"{self.folder / part}: {count} images")
        return 0


@dataclass(frozen=True)
class Records:
    """Writes resized pairs as TFRecord files, which train reads like a folder.

    For example: python -m keras_unet.data records DIR --output records

    Attributes:
        folder: folder of images and masks, the same as --data.
        output: a new folder.
        coding: of the images; PNG loses nothing and takes three times the space, raw
            is read fastest and takes ten times the space.
        preset: of the training; its image size is the default. That of carvana is
            enough for demo and mobile too, whose images are smaller.
        data: what is known of the data, as for training.
    """

    output: Path
    folder: FolderOrNone = None
    coding: Literal["jpeg", "png", "raw"] = "jpeg"
    preset: PresetName = "carvana"
    data: DataConfig = field(default_factory=lambda: preset("carvana").data)

    def run(self) -> int:
        """Writes the records."""
        load_tensorflow()
        from keras_unet.data.pairs import prepare
        from keras_unet.data.records import write_records
        from keras_unet.data.records_index import require_new, require_one_size

        data = _with_folder(self.data, self.folder)
        require_new(self.output)
        require_one_size(data)
        if data.validation or data.test:
            raise BadUsage(
                "records are of one set: write those of --validation and --test apart, "
                "and give their folders to train as its --validation and --test"
            )
        with progress_bar("checking images and masks") as progress:
            prepared = prepare(data, progress=progress)
        for note in prepared.notes:
            print(note)
        pairs, data = prepared.every, prepared.data
        with progress_bar("pairs") as progress:
            write_records(
                pairs, data, self.output, self.coding, progress, says=prepared.says
            )
        height, width = data.image_size
        size = f"--image-size {height} {width}"
        print(f"wrote {len(pairs)} pairs to {self.output}, at {size}")
        return 0


Verb = Check | Demo | Download | Records
VERBS: dict[str, Callable[..., Verb]] = {
    "check": Check,
    "demo": Demo,
    "download": Download,
    "records": Records,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its status."""
    words = list(sys.argv[1:] if argv is None else argv)
    prog = "python -m keras_unet.data"
    verb: Verb
    if words and words[0] in VERBS:
        # tyro 0.9 leaves out the prefixes of nested flags only without subcommands.
        name, *rest = words
        verb = parse(VERBS[name], rest, prog=f"{prog} {name}", **_defaults(name, rest))
    else:
        verb = parse(_any_verb(), words, prog=prog)

    def run() -> int:
        require_one_way(words)
        return verb.run()

    return run_verb(run)


def _defaults(verb: str, words: Sequence[str]) -> dict[str, Any]:
    """Returns what has --preset among the words change the other flags' defaults."""
    if verb == "check":
        base = preset_in(words)
        return {"default": Check(preset=base.preset, data=base.data)}
    if verb == "records":
        base = preset_in(words, "carvana")
        return {"default": Records(tyro.MISSING, preset=base.preset, data=base.data)}
    return {}


def _any_verb() -> Any:
    """Returns what tyro makes the list of verbs and its messages of."""
    verbs = VERBS.items()
    kinds = [Annotated[kind, tyro.conf.subcommand(name)] for name, kind in verbs]
    return Union[tuple(kinds)]  # noqa: UP007


def _with_folder(data: DataConfig, folder: Path | None) -> DataConfig:
    if folder is None:
        return data
    if data.source:
        raise BadUsage(
            f"{folder} and --data, --images or --pairs name two sources: give one"
        )
    return dataclasses.replace(data, data=folder)


def _show(report: Report, output: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False)
    for heading, text in report.table().items():
        table.add_row(heading, text)
    console = Console()
    console.print(table, markup=False)
    for note in report.notes[1:]:
        print(f"note: {note}")
    where = f"all of them: {output / _REPORT}" if output else _HOW_TO_GET_ALL
    if report.problems:
        print(f"error: {listing(report.problems, where)}", file=sys.stderr)
    else:
        print("all pairs can be used")


def _write_report(report: Report, folder: Path) -> list[Path]:
    """Returns the files that it writes: report.json, and data.png where it can."""
    from keras_unet.data.images import read_image
    from keras_unet.data.masks import read_mask
    from keras_unet.figures.samples import Sample, data_figure

    files = [folder / _REPORT]
    write_json(files[0], report.to_json())
    data = report.resolved
    samples = [
        Sample(pair.image.name, read_image(pair.image, 3, data), read_mask(pair, data))
        for pair in report.extremes(_DRAWN)
        if pair.image.is_file()
    ]
    if samples:
        files.append(folder / "data.png")
        data_figure(samples, files[-1], data.class_names)
    return files


if __name__ == "__main__":
    sys.exit(main())
