"""Pairs in a CSV file: those of --pairs, and those that a run was made with."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

from keras_unet.data import coco
from keras_unet.data.folders import kind_of, stem_of
from keras_unet.data.objects import object_files
from keras_unet.data.pair import Fingerprint, Found, Pair, Part, Problem
from keras_unet.data.run_lengths import find_run_lengths
from keras_unet.errors import BadData
from keras_unet.files import read_rows, write_rows
from keras_unet.run_folder import RunFolder

_NONE = Fingerprint(0, 0, "")


def rows_of(run: RunFolder) -> list[dict[str, str]]:
    """Returns the rows of a run's split.csv.

    Raises:
        BadData: it is missing or damaged.
    """
    try:
        rows = read_rows(run.split_file)
    except ValueError as error:
        raise BadData(f"{run.split_file} is damaged: {error}") from None
    wanted = {
        "image",
        "group",
        "part",
        *columns("image", _NONE),
        *columns("mask", _NONE),
    }
    if not rows:
        raise BadData(
            f"{run.split_file} is missing or empty: it says which images the run was "
            "trained on"
        )
    parts = {row.get("part") for row in rows}
    if not wanted <= rows[0].keys() or not parts <= {"train", "validation", "test"}:
        raise BadData(f"{run.split_file} is damaged: it is no list of a run's images")
    return rows


def changes(pair: Pair, row: Mapping[str, str]) -> list[Problem]:
    """Returns what of the pair is not as the row of a run's split.csv says."""
    if pair.record:
        same = pair.record.fingerprint.sha256 == row["image_sha256"]
        return [] if same else [Problem(pair.record.file, "holds other records")]
    files = [(pair.image, "image")]
    if pair.mask:
        files.append((pair.mask, "mask"))
    elif Fingerprint.of_text(pair.run_lengths or "").sha256 != row["mask_sha256"]:
        return [Problem(pair.image, "has other run lengths than in the training")]
    causes = [
        (file, _change(file, *(row[name] for name in columns(kind, _NONE))))
        for file, kind in files
    ]
    return [Problem(file, cause) for file, cause in causes if cause]


def _change(path: Path, size: str, modified: str, sha256: str) -> str | None:
    files = object_files(path) if path.is_dir() else [path]
    try:
        states = [file.stat() for file in files]
        same = str(sum(state.st_size for state in states)) == size
        if same and str(max(state.st_mtime_ns for state in states)) == modified:
            return None
        same = same and _fingerprint(path, files).sha256 == sha256
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if same else "has changed since the training"


def _fingerprint(path: Path, files: Sequence[Path]) -> Fingerprint:
    if path.is_dir():
        return Fingerprint.of_files(files)
    with path.open("rb") as stream:
        return Fingerprint.of(stream)


def columns(kind: str, fingerprint: Fingerprint) -> dict[str, object]:
    """Returns the columns of split.csv by which an image or mask is known again."""
    return {
        f"{kind}_bytes": fingerprint.size,
        f"{kind}_modified": fingerprint.modified,
        f"{kind}_sha256": fingerprint.sha256,
    }


def size_columns(pair: Pair) -> dict[str, object]:
    """Returns the columns of split.csv that say how large the image is."""
    height, width = pair.size or ("", "")
    return {"height": height, "width": width}


def size_of(row: Mapping[str, str]) -> tuple[int, int] | None:
    """Returns what ``size_columns`` made of a pair's size."""
    try:
        return int(row["height"]), int(row["width"])
    except (LookupError, ValueError):
        return None


COLUMNS = ("image", "mask", "group", "part")
_TABLES = {".csv", ".json"}
_PARTS = ", ".join(filter(None, get_args(Part)))
_WANTED = (
    "expected image and mask, and if wanted group and part; `python -m keras_unet.data "
    "check DIR --output DIR` writes such a file"
)


def write_pairs(file: Path, pairs: Iterable[Pair]) -> bool:
    """Writes the file that ``find_listed`` reads, of whole paths; False if of none."""
    rows = [
        {
            "image": pair.image.absolute(),
            "mask": _absolute(pair.mask or pair.table),
            "group": pair.group,
            "part": pair.part,
        }
        for pair in pairs
    ]
    if rows:
        write_rows(file, rows)
    return bool(rows)


def _absolute(path: Path | None) -> str:
    return str(path.absolute()) if path else ""


def find_listed(file: Path) -> Found:
    """Returns the pairs that a CSV file lists, with their parts.

    A mask is an image file, a folder of one file an object, a table of run lengths
    (.csv) or COCO's annotations (.json). Paths are relative to the file's folder.

    Raises:
        BadData: the file cannot be read, or has other columns.
    """
    rows = list(_rows(file))
    if not rows:
        raise BadData(f"{file}: lists no pairs; {_WANTED}")
    problems, line_of = list[Problem](), dict[str, int]()
    good = list[tuple[str, dict[str, str], Path, Path]]()
    has_parts = any(row.get("part") for _, row in rows)
    for line, row in rows:
        place = f"line {line} ({row['image']})"
        cause = _wrong(file, row, has_parts)
        image, mask = (file.parent / str(row[name]) for name in ("image", "mask"))
        first = line_of.setdefault(os.path.realpath(image), line)
        if cause or first != line:
            cause = cause or f"names the image of line {first} once more"
            problems.append(Problem(file, cause, place))
        else:
            good.append((place, row, image, mask))
    masks = _Masks([(image, mask) for _, _, image, mask in good])
    pairs = []
    for place, row, image, mask in good:
        pair = masks.pair(image, mask)
        if pair is None:
            cause = f"names {mask}, which says nothing about this image"
            problems.append(Problem(file, cause, place))
        else:
            part = cast(Part, row.get("part") or "")
            pairs.append(replace(pair, group=row.get("group") or pair.group, part=part))
    return Found(tuple(pairs), tuple(problems), says=masks.says)


def _rows(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    if kind := kind_of(file):
        raise BadData(f"{file}: is {kind}, not a file")
    try:
        # Excel marks the start and, in half the world, parts by semicolons.
        text = file.read_text("utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise BadData(f"{file}: cannot be read ({error.strerror})") from error
    lines = text.splitlines()
    header = lines[0] if lines else ""
    delimiter = ";" if ";" in header and "," not in header else ","
    reader = csv.DictReader(lines, delimiter=delimiter)
    columns = reader.fieldnames or []
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown or not {"image", "mask"} <= set(columns):
        raise BadData(f"{file}: has the columns {header or '(none)'}; {_WANTED}")
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise BadData(f"{file}, line {reader.line_num}: {error}") from error


def _wrong(file: Path, row: dict[Any, Any], known: bool) -> str:
    """Returns what is wrong with a row, but for its files' kind."""
    if None in row or None in row.values():
        return "has more or fewer cells than the header"
    for column in ("image", "mask"):
        if not row[column]:
            return f"has no {column}"
    part = row.get("part") or ""
    if part not in get_args(Part) or (known and not part):
        found = f"the part {part}" if part else "no part, as other lines have"
        return f"has {found}; expected {_PARTS}"
    return _wrong_files(file, row)


def _wrong_files(file: Path, row: dict[Any, Any]) -> str:
    image, mask = (file.parent / row[column] for column in ("image", "mask"))
    for path in (image, mask):
        if kind := kind_of(path):
            return f"names {path}, which is {kind}, not a file"
    if not image.is_file():
        return f"names {image}, which is not there"
    if not mask.exists():
        return f"names {mask}, which is not there"
    return "names one file as image and mask" if mask == image else ""


class _Masks:
    """The masks of images; a table of many of them is read once.

    Attributes:
        says: what tables and folders answer, as ``Found.says``.
    """

    def __init__(self, rows: Sequence[tuple[Path, Path]]) -> None:
        self.says: dict[str, Any] = {}
        self._pairs: dict[tuple[str, Path], Pair] = {}
        images_of = defaultdict(list)
        for image, mask in rows:
            if mask.is_dir():
                self.says["mask_kind"] = "instances"
            elif mask.suffix.lower() in _TABLES:
                images_of[mask].append(image)
        for table, images in images_of.items():
            self._read(table, images)

    def pair(self, image: Path, mask: Path) -> Pair | None:
        """Returns the pair, if the mask says anything about the image."""
        if mask.is_dir() or mask.suffix.lower() not in _TABLES:
            return Pair(image, mask, stem_of(image))
        return self._pairs.get((os.path.realpath(image), mask))

    def _read(self, table: Path, images: Sequence[Path]) -> None:
        if table.suffix.lower() == ".csv":
            stems = defaultdict(list)
            for image in images:
                stems[stem_of(image)].append(image)
            founds = [find_run_lengths(stems, table, stem_of)]
        else:
            # Names of images may begin with those of folders.
            folders = {image.parent: [image.parent, *image.parents] for image in images}
            founds = [coco.find_annotated(table, fs) for fs in folders.values()]
        for found in founds:
            self.says |= found.says
            for pair in found.pairs:
                self._pairs[os.path.realpath(pair.image), table] = pair
