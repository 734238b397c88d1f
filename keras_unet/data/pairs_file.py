"""Pairs in CSV files: of --pairs, of a run's split, and Kaggle's run lengths."""

from __future__ import annotations

import csv
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, replace
from pathlib import Path, PurePosixPath
from typing import Any, cast, get_args

from keras_unet.data import coco
from keras_unet.data.folders import kind_of, normal, opened, stem_of
from keras_unet.data.objects import mask_files
from keras_unet.data.pair import Fingerprint, Found, Pair, Part, Problem, require_agreed
from keras_unet.errors import BadData
from keras_unet.files import read_rows, write_rows
from keras_unet.run_folder import RunFolder

_KNOWN_BY = {
    kind: [f"{kind}_{what}" for what in ("bytes", "modified", "sha256")]
    for kind in ("image", "mask")
}
"""Columns of split.csv by which an image or mask is known again."""


def split_row(
    pair: Pair, part: str, image: Fingerprint, mask: Fingerprint
) -> dict[str, object]:
    """Returns the row of a run's split.csv on a pair of a part."""
    height, width = pair.size or ("", "")
    return {
        "image": pair.image,
        "mask": pair.mask or "",
        "group": pair.group,
        "part": part,
        "height": height,
        "width": width,
        **dict(zip(_KNOWN_BY["image"], astuple(image), strict=True)),
        **dict(zip(_KNOWN_BY["mask"], astuple(mask), strict=True)),
    }


def size_of(row: Mapping[str, str]) -> tuple[int, int] | None:
    """Returns height and width in such a row, which older ones do not have."""
    try:
        return int(row["height"]), int(row["width"])
    except (LookupError, ValueError):
        return None


def rows_of(run: RunFolder) -> list[dict[str, str]]:
    """Returns the rows of a run's split.csv.

    Raises:
        BadData: it is missing or damaged.
    """
    try:
        rows = read_rows(run.split_file)
    except ValueError as error:
        raise BadData(f"{run.split_file} is damaged: {error}") from None
    if not rows:
        raise BadData(
            f"{run.split_file} is missing or empty: it says which images the run was "
            "trained on"
        )
    wanted = {"image", "group", "part", *_KNOWN_BY["image"], *_KNOWN_BY["mask"]}
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
        (file, _change(file, *(row[name] for name in _KNOWN_BY[kind])))
        for file, kind in files
    ]
    return [Problem(file, cause) for file, cause in causes if cause]


def _change(path: Path, size: str, modified: str, sha256: str) -> str | None:
    files = mask_files(path)
    try:
        states = [file.stat() for file in files]
        same = str(sum(state.st_size for state in states)) == size
        if same and str(max(state.st_mtime_ns for state in states)) == modified:
            return None
        if same and path.is_dir():
            same = Fingerprint.of_files(files).sha256 == sha256
        elif same:
            with path.open("rb") as stream:
                same = Fingerprint.of(stream).sha256 == sha256
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if same else "has changed since the training"


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
            "mask": mask.absolute() if (mask := pair.mask or pair.table) else "",
            "group": pair.group,
            "part": pair.part,
        }
        for pair in pairs
    ]
    if rows:
        write_rows(file, rows)
    return bool(rows)


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
        image, mask = (file.parent / str(row[name]) for name in ("image", "mask"))
        cause = _wrong(row, has_parts) or _wrong_files(image, mask)
        first = line_of.setdefault(os.path.realpath(image), line)
        if cause or first != line:
            cause = cause or f"names the image of line {first} once more"
            problems.append(Problem(file, cause, place))
        else:
            good.append((place, row, image, mask))
    pair_of, says, notes = _by_files([(image, mask) for _, _, image, mask in good])
    pairs, times = [], Counter(pair.group for pair in pair_of.values())
    for place, row, image, mask in good:
        if not (pair := pair_of.get((os.path.realpath(image), mask))):
            cause = f"names {mask}, which says nothing about this image"
            problems.append(Problem(file, cause, place))
        else:
            part = cast(Part, row.get("part") or "")
            whole = normal(Path(row["image"]).with_suffix("").as_posix())
            group = pair.group if times[pair.group] == 1 else whole
            pairs.append(replace(pair, group=row.get("group") or group, part=part))
    found = Found(tuple(pairs), tuple(problems), tuple(dict.fromkeys(notes)), says)
    return found if any(row.get("group") for _, row in rows) else found.grouped()


def _rows(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    if kind := kind_of(file):
        raise BadData(f"{file}: is {kind}, not a file")
    try:
        # Excel marks the start and, in half the world, parts by semicolons.
        text = file.read_text("utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise BadData(f"{file}: cannot be read ({error.strerror})") from error
    if "\0" in text:
        raise BadData(f"{file}: holds NUL characters, and is no text in UTF-8")
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


def _wrong(row: dict[Any, Any], known: bool) -> str:
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
    return ""


def _wrong_files(image: Path, mask: Path) -> str:
    for path in (image, mask):
        if kind := kind_of(path):
            return f"names {path}, which is {kind}, not a file"
    if not image.is_file() or not mask.exists():
        gone = mask if image.is_file() else image
        return f"names {gone}, which is not there"
    return "names one file as image and mask" if mask == image else ""


def _by_files(
    rows: Iterable[tuple[Path, Path]],
) -> tuple[dict[tuple[str, Path], Pair], dict[str, Any], list[str]]:
    """Returns the pairs by image and mask, what tables, read once, answer, and say."""
    says, pairs, notes = dict[str, Any](), dict[tuple[str, Path], Pair](), list[str]()
    images_of = defaultdict(list)
    for image, mask in rows:
        if mask.is_dir():
            says["mask_kind"] = "instances"
        elif mask.suffix.lower() in _TABLES:
            images_of[mask].append(image)
            continue
        pairs[os.path.realpath(image), mask] = Pair(image, mask, stem_of(image))
    for table, images in images_of.items():
        for found in _read(table, images):
            require_agreed(says, found.says, table)
            says |= found.says
            notes += found.notes
            for pair in found.every:
                pairs[os.path.realpath(pair.image), table] = pair
    return pairs, says, notes


def _read(table: Path, images: Iterable[Path]) -> list[Found]:
    if table.suffix.lower() == ".csv":
        stems = defaultdict(list)
        for image in images:
            stems[stem_of(image)].append(image)
        return [find_run_lengths(stems, table)]
    # Names of images may begin with those of folders.
    folders = {image.parent: [[f] for f in image.parents] for image in images}
    return [coco.find_annotated(table, *places) for places in folders.values()]


_SHOWN = 30  # Letters of a table's line.
_NAMES = {"img", "image", "id", "imageid", "image_id", "image_name", "name", "filename"}
_OF_OBJECTS = {"encodedpixels", "encoded_pixels"}
"""Headings of tables in which each row is an object; others have a row an image."""
_RUNS = {"rle_mask", "rle", "mask", "run_lengths", "encoding", *_OF_OBJECTS}
_EMPTY = {"", "-1", "nan"}


def is_table(file: Path) -> bool:
    """Returns whether a CSV file's header is that of a table of run lengths."""
    with opened(file) as stream:
        line = stream.readline(1000).decode("utf-8-sig", errors="replace")
    if file.name == "train_masks.csv" and line.count(",") == 1:
        return True
    words = {*_headings(line)}
    return bool(words & _NAMES and words & (_RUNS - {"mask"}))


def _headings(line: str) -> list[str]:
    return [word.strip('" \r\n').lower() for word in line.split(",")]


def find_run_lengths(images: Mapping[str, list[Path]], table: Path) -> Found:
    """Returns the pairs of images whose masks are run lengths in ``table``.

    Several rows for one image are its objects, if the heading is EncodedPixels.

    Args:
        images: the image files by stem, at least one.
        table: a header, then ``<image>,<runs>``, such as Kaggle's train_masks.csv.

    Raises:
        BadData: the table cannot be read.
    """
    rows, problems = _read_table(table, images)
    pairs = []
    for stem, paths in sorted(images.items()):
        if len(paths) > 1:
            problems.append(Problem(paths[0], f"has the same name as {paths[1].name}"))
        elif stem in rows:
            runs = "\n".join(rows[stem])
            pairs.append(Pair(paths[0], None, stem_of(paths[0]), runs, table=table))
        else:
            problems.append(Problem(paths[0], f"has no row in {table}"))
    folder = next(iter(images.values()))[0].parent
    problems += [
        Problem(table, f"has no image in {folder}", f"row {stem}")
        for stem in sorted(rows.keys() - images.keys())
    ]
    several = any(len(runs) > 1 for runs in rows.values())
    says = {"mask_kind": "instances"} if several else {}
    return Found(tuple(pairs), tuple(problems), says=says)


def _read_table(
    table: Path, images: Mapping[str, list[Path]]
) -> tuple[dict[str, list[str]], list[Problem]]:
    try:
        lines = table.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(f"{table}: cannot be read ({error})") from error
    turned, of_objects = _read_header(table, lines[0] if lines else "")
    rows: dict[str, list[str]] = {}
    problems = []
    for number, line in enumerate(lines[1:], 2):
        cells = line.partition(",")[:: -1 if turned else 1]
        name, comma, runs = (cell.strip('" ') for cell in cells)
        # An id may have dots, and a.jpg_2 is not all of a.jpg.
        path = PurePosixPath(name := normal(name))
        whole = name in images or not path.suffix[1:].isalnum()
        stem = path.name if whole else path.stem
        place = f"line {number} ({line[:_SHOWN]})"
        runs = "" if runs.lower() in _EMPTY else runs
        if not comma:
            problems.append(Problem(table, "has no comma", place))
        elif stem in rows and not (of_objects and runs and all(rows[stem])):
            problems.append(Problem(table, "is one more for the same image", place))
        else:
            rows.setdefault(stem, []).append(runs)
    return rows, problems


def _read_header(table: Path, line: str) -> tuple[bool, bool]:
    """Returns whether the runs come first, and whether each row is an object."""
    words = _headings(line)
    if len(words) < 2 or words[1][:1].isdigit():
        raise BadData(f"{table}: must begin with a header such as img,rle_mask")
    if len(words) > 2 or "class" in words[0] or "label" in words[0]:
        raise BadData(
            f"{table}: has the columns {line}; expected two, an image and its run "
            "lengths, such as img,rle_mask. A table of several classes is not read: "
            "write the masks as image files"
        )
    return words[0] in _RUNS and words[1] in _NAMES, bool(_OF_OBJECTS & {*words})
