"""Command: masks of a file pattern's images by an exported network, on Apache Beam.

On this machine by default; on Flink, Spark or Dataflow by Beam's own options. Workers
need this package with its extra "beam", and model, images and output in reach.
"""

from __future__ import annotations

import csv
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, BinaryIO, Literal, cast

import tyro

from keras_unet.config import Config
from keras_unet.console import load_tensorflow, parse, require_extra, run_verb
from keras_unet.errors import BadData, BadUsage, Undecodable
from keras_unet.files import write_whole
from keras_unet.run_folder import RunFolder


@dataclass(frozen=True)
class Arguments:
    """Writes the mask of each image as a PNG, as keras_unet.predict does, on Beam.

    Images that cannot be read, or have more pixels than the SavedModel takes, are
    listed in failed.csv of the output, and the others are done. Further flags are
    Beam's own options, such as --runner.

    For example: python -m keras_unet.prediction.beam exports/demo 'in/**.jpg'
    --output masks

    Attributes:
        model: run folder with an exported SavedModel, or a SavedModel's folder.
        pattern: of the images' files, in quotes, such as 'photos/**.jpg'.
        output: folder to write <stem>.png to.
        submission: also write this CSV file with run lengths, as Kaggle wants them.
        run_lengths: their order; by default the run's.
    """

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|MODEL")]
    pattern: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PATTERN")]
    output: str
    submission: str | None = None
    run_lengths: Literal["rows", "columns"] | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its status."""
    program = "python -m keras_unet.prediction.beam"
    parsed = parse(Arguments, argv, prog=program, return_unknown_args=True)
    arguments, others = cast(tuple[Arguments, list[str]], parsed)
    return run_verb(lambda: segment(arguments, others))


def segment(arguments: Arguments, others: Sequence[str] = ()) -> int:
    """Returns 0, or 1 when some images failed; names them.

    Args:
        arguments: of the command.
        others: Beam's own options.

    Raises:
        BadUsage: an option that is nobody's, two images of one name, or run lengths
            whose order nobody says.
        BadData: there is no SavedModel or no image.
    """
    require_extra("keras_unet.prediction.beam", "beam")
    from keras_unet.data.rle import require_table

    model, config = find_model(arguments.model)
    config = _with_run_lengths(arguments, config)
    options = _options(others)
    if arguments.submission and "://" not in arguments.submission:
        require_table(Path(arguments.submission))
    named = _named_files(arguments.pattern, arguments.output)
    _run(arguments, model, config, options, named)
    failed = _read_failed(_join(arguments.output, FAILED))
    for file, cause in failed:
        print(f"error: {file}: {cause}", file=sys.stderr)
    done = len(named) - len(failed)
    print(f"{done} {'mask' if done == 1 else 'masks'} in {arguments.output}")
    return 1 if failed else 0


FAILED = "failed.csv"


def find_model(place: str) -> tuple[str, Config | None]:
    """Returns the folder of the newest SavedModel and the config of its run.

    Args:
        place: a run, a version of a SavedModel, or a folder of versions; what has ://
            in it is a version.

    Raises:
        BadData: there is none.
    """
    if "://" in place:
        return place, None
    path = Path(place)
    base = path / "saved_model" if (path / "config.json").is_file() else path
    versions = [path] if _is_model(path) else [*filter(_is_model, base.glob("[0-9]*"))]
    if not versions:
        raise BadData(
            f"{place} has no SavedModel: export the run with python -m "
            "keras_unet.export RUN --formats saved_model, and give its folder"
        )
    newest = max(versions, key=lambda one: int(one.name) if one.name.isdecimal() else 0)
    run = RunFolder(newest.resolve().parent.parent)
    config = run.load_config() if run.config_file.is_file() else None
    return str(newest.resolve()), config


def _is_model(path: Path) -> bool:
    return (path / "saved_model.pb").is_file()


def _with_run_lengths(arguments: Arguments, config: Config | None) -> Config:
    """Returns the run's config, of a SavedModel alone the default."""
    if arguments.submission and config and config.model.classes > 2:
        raise BadUsage("--submission is for foreground and background, no more classes")
    order = arguments.run_lengths or (config and config.data.run_lengths)
    if arguments.submission and not order:
        raise BadUsage(
            "--submission: a SavedModel without its run does not say how run lengths "
            "go: give the run's folder, or --run-lengths rows or columns"
        )
    config = config or Config()
    return replace(config, data=replace(config.data, run_lengths=order or "auto"))


def _options(others: Sequence[str]) -> Any:
    from apache_beam.options.pipeline_options import PipelineOptions

    # "DirectRunner" would look for a server to download first.
    options = PipelineOptions(["--runner=FnApiRunner", *others])
    every = options.get_all_options(retain_unknown_options=True)
    if unknown := every.keys() - options.get_all_options().keys():
        flags = ", ".join(f"--{name}" for name in sorted(unknown))
        raise BadUsage(f"{flags}: neither a flag of this command nor one of Beam's")
    return options


Named = tuple[str, str]
"""A file, and its path from where the pattern's first wildcard is."""


def _named_files(pattern: str, output: str) -> list[Named]:
    from apache_beam.io.filesystem import BeamIOError
    from apache_beam.io.filesystems import FileSystems

    try:
        found = FileSystems.match([pattern])[0].metadata_list
    except (BeamIOError, ValueError) as error:
        raise BadData(f"{pattern}: cannot be listed ({error})") from error
    fixed = re.split(r"[*?\[]", pattern)[0]
    root = len(fixed[: fixed.rfind("/") + 1])
    named = [(path, path[root:]) for path in sorted(one.path for one in found)]
    if not named:
        raise BadData(f"{pattern}: there is no such file")
    inputs, came_from = {_real(path): path for path, _ in named}, dict[str, str]()
    for path, name in named:
        target = _real(_mask_of(name, output))
        over = inputs.get(target) or came_from.setdefault(target, path)
        if target in inputs or over != path:
            what = "" if target in inputs else "the mask of "
            raise BadUsage(
                f"the mask of {path} would be written over {what}{over}: give another "
                "--output or PATTERN"
            )
    return named


def _real(path: str) -> str:
    return path if "://" in path else os.path.realpath(path)


def _mask_of(name: str, output: str) -> str:
    return _join(output, str(PurePosixPath(name).with_suffix(".png")))


def _join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}"


def _run(
    arguments: Arguments, model: str, config: Config, options: Any, named: list[Named]
) -> None:
    import apache_beam as beam
    from apache_beam.ml.inference.base import RunInference

    from keras_unet.data.rle import HEADER

    def write(one: Read) -> Iterator[Any]:
        (path, name), mask, cause = one
        if cause:
            yield beam.pvalue.TaggedOutput("failed", (path, cause))
            return
        _save(_mask_of(name, arguments.output), lambda file: file.write(mask))
        try:
            yield name, _runs_of(mask, config) if arguments.submission else ""
        except Undecodable as error:
            cause = f"has a mask that {error}: export the run again"
            yield beam.pvalue.TaggedOutput("failed", (path, cause))

    with beam.Pipeline(options=options) as pipeline:
        read = (
            pipeline
            | beam.Create(named)
            | beam.Reshuffle()
            | beam.Map(_read, config)
            | beam.Partition(lambda one, _: int(bool(one[2])), 2)
        )
        predicted = read[0] | RunInference(_handler(model))
        written = (predicted, read[1]) | beam.Flatten()
        done, failed = written | beam.FlatMap(write).with_outputs("failed", main="done")
        for rows, table, header in [
            (failed, _join(arguments.output, FAILED), ("file", "cause")),
            (done, arguments.submission, HEADER),
        ]:
            if table:
                label = f"write {header[0]}"
                every = rows | f"all of {label}" >> beam.combiners.ToList()
                every | label >> beam.Map(_write_rows, table, header)


Read = tuple[Named, bytes, str]
"""A file, the bytes of its image or mask, and what is wrong with it."""


def _read(named: Named, config: Config) -> Read:
    """Returns the image as ``predict`` reads it, as PNG, which loses nothing.

    JPEGs are not sent as they are: the SavedModel decodes them in a faster and coarser
    way, by which single pixels of a mask come out otherwise.
    """
    from apache_beam.io.filesystem import BeamIOError
    from apache_beam.io.filesystems import FileSystems
    from PIL import Image

    from keras_unet.data.images import decode_image

    data, made = config.data, io.BytesIO()
    # Up to the third, the SavedModel itself picks the bands.
    data = replace(data, bands=data.bands if max(data.bands, default=0) > 3 else ())
    try:
        with FileSystems.open(named[0]) as file:
            content = io.BytesIO(file.read())
        image = decode_image(content, config.model.channels, data)
    except Undecodable as error:
        return named, b"", str(error)
    except (BeamIOError, OSError) as error:
        return named, b"", f"cannot be read ({error})"
    Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(
        made, "PNG", compress_level=1
    )
    return named, made.getvalue(), ""


def _handler(model: str) -> Any:
    """Returns what Beam's RunInference asks: from bytes to masks, or their causes."""
    from apache_beam.ml.inference.base import ModelHandler

    class SavedModel(ModelHandler):
        def load_model(self) -> Any:
            load_tensorflow()
            import tensorflow as tf

            return tf.saved_model.load(model)

        def run_inference(
            self, batch: Sequence[Read], model: Any, inference_args: Any = None
        ) -> Iterable[Read]:
            return _masks(model.signatures["serving_default"], batch)

    return SavedModel(min_batch_size=1, max_batch_size=4)


def _masks(serve: Any, batch: Sequence[Read]) -> list[Read]:
    """Returns each image's mask as PNG, or what is wrong with the image."""
    import tensorflow as tf

    contents = tf.constant([content for _, content, _ in batch])
    try:
        masks = serve(image_bytes=contents)["mask_png_bytes"].numpy()
    except tf.errors.InvalidArgumentError as error:
        if len(batch) > 1:
            # One image fails all that share its request.
            return [_masks(serve, [one])[0] for one in batch]
        found = re.search(r"image_bytes holds (.*?) at position", error.message)
        return [(batch[0][0], b"", f"is {found[1] if found else error.message}")]
    return [(one[0], mask, "") for one, mask in zip(batch, masks, strict=True)]


def _runs_of(mask: bytes, config: Config) -> str:
    load_tensorflow()
    from keras_unet.data.masks import run_lengths_of
    from keras_unet.prediction.segmenter import class_values

    # What a SavedModel without its run writes nobody knows: 0 is background then.
    known = config.data.mask_kind != "auto"
    values = class_values(config) if known else None
    return run_lengths_of(io.BytesIO(mask), values, config.data)


def _write_rows(
    rows: list[tuple[str, str]], table: str, header: tuple[str, str]
) -> None:
    def write(file: BinaryIO) -> None:
        text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([header, *sorted(rows)])
        text.detach()

    _save(table, write)


def _read_failed(table: str) -> list[tuple[str, str]]:
    """Returns the rows; a table of none goes."""
    from apache_beam.io.filesystems import FileSystems

    with FileSystems.open(table) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="")
        rows = [(file, cause) for file, cause in csv.reader(text)][1:]
    if not rows:
        FileSystems.delete([table])
    return rows


def _save(path: str, write: Callable[[BinaryIO], Any]) -> None:
    """Writes a file whole: what is on no disk, object stores show once it is closed."""
    from apache_beam.io.filesystems import FileSystems

    if "://" in path:
        with FileSystems.create(path) as remote:
            write(remote)
        return
    with write_whole(Path(path)) as aside, aside.open("wb") as local:
        write(local)


if __name__ == "__main__":
    sys.exit(main())
