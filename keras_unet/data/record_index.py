"""The index of a folder of records: which pair lies where, and at which size."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from keras_unet.data.found import Found
from keras_unet.data.pair import Pair, Record
from keras_unet.errors import BadData

INDEX = "records.json"
"""The file that makes a folder one of records; written last."""

_T = TypeVar("_T")


def find(folder: Path) -> Found:
    """Returns the pairs of a folder of records; their files may be gone.

    Raises:
        BadData: the index is damaged, or a file that it names is missing.
    """
    pairs = _from_index(
        folder, lambda index: tuple(_pair(folder, row) for row in index["records"])
    )
    for file in sorted({pair.record.file for pair in pairs if pair.record}):
        if not file.is_file():
            raise BadData(f"{file}: is missing; write the records again")
    return Found(pairs)


def image_size(folder: Path) -> tuple[int, int]:
    """Returns height and width of the pictures in a folder of records.

    Raises:
        BadData: the index is damaged.
    """
    return _from_index(
        folder, lambda index: (int(index["image_size"][0]), int(index["image_size"][1]))
    )


def write_index(
    folder: Path, size: tuple[int, int], coding: str, rows: Sequence[dict[str, Any]]
) -> None:
    """Writes records.json.

    Args:
        folder: that holds the records.
        size: height and width of their pictures.
        coding: of the images.
        rows: of all pairs, by ``row_of``.
    """
    index = {"format": 1, "image_size": size, "coding": coding, "records": rows}
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
    }


def _from_index(folder: Path, get: Callable[[Any], _T]) -> _T:
    try:
        return get(json.loads((folder / INDEX).read_text(encoding="utf-8")))
    except OSError as error:
        raise BadData(f"{folder / INDEX}: cannot be read ({error.strerror})") from error
    except (ValueError, LookupError, TypeError) as error:
        raise BadData(
            f"{folder / INDEX}: is damaged; write the records again"
        ) from error


def _pair(folder: Path, row: dict[str, Any]) -> Pair:
    where = row["offset"], row["length"], row["checksum"]
    return Pair(
        image=Path(row["image"]),
        mask=Path(row["mask"]) if row["mask"] else None,
        group=row["group"],
        run_lengths=row["run_lengths"],
        record=Record(folder / row["file"], *map(int, where)),
    )
