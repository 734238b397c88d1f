"""Which pairs lie where in the files of a folder of records; without TensorFlow."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from keras_unet.data.pair import Coding, Found, Pair, Part, Record
from keras_unet.data_config import DataConfig, Reading
from keras_unet.errors import BadData, BadUsage
from keras_unet.files import read_json

INDEX = "records.json"
"""The file that makes a folder one of records; written last."""

ImageCoding = Literal["jpeg", "png", "raw"]

_FORMAT = 1


def find_recorded(folder: Path) -> Found:
    """Returns the pairs of a folder of records; their files may be gone.

    Raises:
        BadData: the index is damaged, or a file that it names is missing.
    """
    index = read_index(folder)
    ends = dict[Path, int]()
    for row in index.records:
        file, end = folder / row.file, row.offset + row.length
        ends[file] = max(ends.get(file, 0), end)
    for file, end in sorted(ends.items()):
        if not file.is_file():
            raise BadData(f"{file}: is missing; write the records again")
        if file.stat().st_size < end:
            raise BadData(f"{file}: is cut off; write the records again")
    says = index.says.items()
    tuples = {n: tuple(v) if isinstance(v, list) else v for n, v in says}
    pairs = (_pair(folder, row, index.mask_reading) for row in index.records)
    return Found(tuple(pairs), says=tuples)


def require_one_size(data: DataConfig) -> None:
    """Refuses to bring records to anything but one size.

    Raises:
        BadUsage: ``data`` has a resolution.
    """
    if data.resolution is not None:
        raise BadUsage(
            f"--resolution {data.resolution:g} leaves images at sizes of their own, "
            "and records hold them at one: give --image-size H W instead, with which "
            "--tile-size works too, or the folder that the records were made of"
        )


def require_new(folder: Path) -> None:
    """Refuses to write records to what is there already.

    Raises:
        BadUsage: it is.
    """
    if folder.exists():
        raise BadUsage(f"--output {folder} exists: name a new folder")


def white_of(folders: Sequence[Path], wanted: int | None) -> int | None:
    """Returns what became white in the records' images of 16 bits.

    Raises:
        BadUsage: it is not the same in all of them, or not what is wanted.
    """
    for folder in folders:
        white = read_index(folder).white
        if white is not None and wanted not in (None, white):
            raise BadUsage(
                f"the records in {folder} were written with --white {white}, not "
                f"{wanted}: write them again with --white {wanted}"
            )
        wanted = wanted if white is None else white
    return wanted


def write_index(
    folder: Path,
    data: DataConfig,
    coding: str,
    rows: Sequence[dict[str, Any]],
    says: Mapping[str, Any],
) -> None:
    """Writes records.json, with the rows of all pairs, by ``row_of``."""
    index = {
        "format": _FORMAT,
        "image_size": data.image_size,
        "mask_reading": data.mask_reading,
        "white": data.white,
        "coding": coding,
        "says": dict(says),
        "records": rows,
    }
    (folder / INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")


def row_of(pair: Pair, file: Path, offset: int, content: bytes) -> dict[str, Any]:
    """Returns the index's row of a pair, whose record begins after ``offset`` bytes."""
    return {
        "file": file.name,
        "offset": offset,
        "length": len(content),
        "checksum": zlib.crc32(content),
        "image": str(pair.image.resolve()),
        "mask": str(pair.mask.resolve()) if pair.mask else None,
        "group": pair.group,
        "run_lengths": pair.run_lengths,
        "run_coding": pair.coding,
        "part": pair.part,
    }


@dataclass(frozen=True)
class _Row:
    """What the index says of a record; see ``row_of``."""

    file: str
    offset: int
    length: int
    checksum: int
    image: str
    mask: str | None
    group: str
    run_lengths: str | None
    run_coding: Coding = "rows"
    part: Part = ""

    def __post_init__(self) -> None:
        if self.file in ("", ".", "..") or {*self.file} & {*"/\\:\0"}:
            raise ValueError(f"file must be a name in this folder, not {self.file!r}")
        if min(self.offset, self.length) < 0:
            raise ValueError("offset and length must be 0 or more")


@dataclass(frozen=True)
class Index:
    """What records.json holds; see ``write_index``."""

    format: int
    image_size: tuple[int, int]
    coding: ImageCoding
    records: tuple[_Row, ...]
    mask_reading: Reading = "auto"
    white: int | None = None
    says: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.format > _FORMAT:
            raise ValueError(
                f"format must be up to {_FORMAT}, not {self.format}: a newer version "
                "of keras_unet wrote these records"
            )
        if min(self.image_size) < 1:
            raise ValueError(f"image_size must be 1 or more, not {self.image_size}")


def read_index(folder: Path) -> Index:
    """Returns the index of a folder of records.

    Raises:
        BadData: it is damaged.
    """
    try:
        return read_json(folder / INDEX, Index)
    except OSError as error:
        raise BadData(f"{folder / INDEX}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise BadData(f"{error}; write the records again") from None


def _pair(folder: Path, row: _Row, reading: Reading) -> Pair:
    record = folder / row.file, row.offset, row.length, row.checksum, reading
    return Pair(
        image=Path(row.image),
        mask=Path(row.mask) if row.mask else None,
        group=row.group,
        run_lengths=row.run_lengths,
        record=Record(*record),
        coding=row.run_coding,
        part=row.part,
    )


def about_enlarging(pairs: Sequence[Pair], size: tuple[int, int]) -> Iterator[str]:
    """Yields what is to be said of records that are smaller than ``size``."""
    folders = sorted({pair.record.file.parent for pair in pairs if pair.record})
    for folder in folders:
        written = read_index(folder).image_size
        if written[0] < size[0] or written[1] < size[1]:
            old, new = (
                f"--image-size {height} {width}" for height, width in (written, size)
            )
            yield (
                f"{folder}: its records were written with {old}, and training with "
                f"{new} enlarges them: write them again with {new}"
            )
