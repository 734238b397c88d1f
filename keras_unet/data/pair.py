"""An image and its mask, before either is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Record:
    """Where a pair lies, resized, in a file of many (see ``records``).

    Attributes:
        file: the TFRecord file.
        offset: bytes before the record's content.
        length: bytes of its content.
        checksum: its CRC-32.
    """

    file: Path
    offset: int
    length: int
    checksum: int


@dataclass(frozen=True)
class Pair:
    """One picture and where its truth lies.

    Attributes:
        image: file of the image.
        mask: file of the mask, or None where ``run_lengths`` holds it.
        group: pictures of one group (a car) are never split.
        run_lengths: the mask as Kaggle writes it, row by row, counted from 1.
        record: where training finds both, so that image and mask need not exist.
    """

    image: Path
    mask: Path | None
    group: str
    run_lengths: str | None = None
    record: Record | None = None
