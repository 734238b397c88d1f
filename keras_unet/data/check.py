"""One pass over all pairs: what they hold, and every file that cannot be used."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_unet.config import IGNORE, DataConfig
from keras_unet.data.findings import Report, Row
from keras_unet.data.images import Header, Unreadable, read_header, read_image
from keras_unet.data.mask_values import (
    Coding,
    Kind,
    MaskValues,
    count_values,
    find_coding,
)
from keras_unet.data.masks import GREY_STEP, read_values, to_class_ids
from keras_unet.data.pair import Pair, Problem, Record
from keras_unet.errors import BadData
from keras_unet.types import Values

Progress = Callable[[int, int], None]


def check_pairs(
    pairs: Sequence[Pair],
    data: DataConfig,
    classes: int = 1,
    progress: Progress | None = None,
) -> Report:
    """Returns what is in the pairs' files and which of them cannot be used.

    Args:
        pairs: as ``find_pairs`` returns them.
        data: what is known of the masks' values; the rest is found.
        classes: logits of the network; from 2 on, more classes are a problem.
        progress: is told after each pair how many are done, and of how many.

    Raises:
        BadUsage: what ``data`` says of the masks contradicts itself.
    """
    every = list(_survey_all(pairs, data.max_pixels, progress))
    problems = [problem for seen in every for problem in seen.problems]
    whole = [seen for seen in every if not seen.problems]
    folder = data.data or data.masks or Path()
    coding, rows = Coding(data, "mask values: unknown"), list[Row]()
    try:
        if whole:
            coding = find_coding([seen.values for seen in whole if seen.values], data)
            rows, unknown = _rows(whole, coding.data)
            problems += unknown + _beyond(rows, coding.data, classes)
            problems += _one_class(rows, coding.data, folder)
    except BadData as error:
        problems.append(Problem(folder, str(error)))
    duplicates = _duplicates(every)
    notices = tuple(notice for seen in every for notice in seen.notices)
    return Report(
        rows=tuple(rows),
        problems=tuple(problems),
        notes=(
            coding.reason,
            *_notes(rows, notices, duplicates),
            *_enlarged(pairs, data.image_size),
        ),
        notices=notices,
        duplicates=duplicates,
        resolved=coding.data,
    )


def _survey_all(
    pairs: Sequence[Pair], max_pixels: int, progress: Progress | None
) -> Iterator[Seen]:
    # Pillow lets other threads run while it decodes.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        looks = threads.map(lambda pair: survey(pair, max_pixels), pairs)
        for done, seen in enumerate(looks, 1):
            if progress:
                progress(done, len(pairs))
            yield seen


def _rows(whole: Iterable[Seen], data: DataConfig) -> tuple[list[Row], list[Problem]]:
    rows, problems = [], []
    for seen in whole:
        try:
            shares = _shares(seen, data)
        except BadData as error:
            problems.append(Problem(_mask_file(seen.pair), str(error)))
        else:
            if seen.image:
                rows.append(Row(seen.pair, seen.image, seen.mask, shares))
    return rows, problems


def _shares(seen: Seen, data: DataConfig) -> tuple[float, ...]:
    """Returns the share of each class among the pixels that are not ignored."""
    counts = seen.values.counts if seen.values else {}
    ids = to_class_ids(np.array([*counts], np.int32), data)
    pixels = np.bincount(ids, [*counts.values()], IGNORE + 1)[: len(data.class_names)]
    return tuple((pixels / max(1, pixels.sum())).tolist())


def _beyond(rows: Iterable[Row], data: DataConfig, classes: int) -> list[Problem]:
    if classes < 2 or len(data.class_names) <= classes:
        return []
    problems = []
    for row in rows:
        beyond = [name for name, share in _named(row, data)[classes:] if share]
        if beyond:
            cause = f"shows {', '.join(beyond)}, beyond the {classes} of --classes"
            problems.append(Problem(_mask_file(row.pair), cause))
    return problems


def _named(row: Row, data: DataConfig) -> list[tuple[str, float]]:
    return list(zip(data.class_names, row.shares, strict=True))


def _one_class(rows: Sequence[Row], data: DataConfig, folder: Path) -> list[Problem]:
    present = {name for row in rows for name, share in _named(row, data) if share}
    if len(present) > 1 or not rows:
        return []
    only = present.pop() if present else "ignored"
    if only == data.class_names[0]:
        return [Problem(folder, "no mask has any foreground, so nothing can be learnt")]
    cause = f"every pixel of every mask is {only}, so nothing can be learnt"
    return [Problem(folder, cause)]


def _mask_file(pair: Pair) -> Path:
    return pair.mask or pair.image


def _duplicates(every: Iterable[Seen]) -> tuple[tuple[Path, ...], ...]:
    same = defaultdict(list)
    for seen in every:
        if seen.digest:
            same[seen.digest].append(seen.pair.image)
    return tuple(tuple(files) for files in same.values() if len(files) > 1)


def _notes(
    rows: Sequence[Row],
    notices: Sequence[Problem],
    duplicates: Sequence[Sequence[Path]],
) -> list[str]:
    notes = []
    empty = sum(row.foreground == 0 for row in rows)
    if empty:
        notes.append(f"{empty} of {len(rows)} masks have no foreground")
    if duplicates:
        first = " = ".join(file.name for file in duplicates[0][:2])
        copies = sum(len(files) - 1 for files in duplicates)
        notes.append(
            f"{copies} images are copies of others ({first}); in different groups they "
            "may come to lie on both sides of a split"
        )
    alike = defaultdict(list)
    for notice in notices:
        alike[notice.cause].append(notice.file)
    for cause, files in alike.items():
        more = f" (and {len(files) - 1} others)" if len(files) > 1 else ""
        notes.append(f"{files[0]}{more}: {cause}")
    return notes


def _enlarged(pairs: Sequence[Pair], size: tuple[int, int]) -> Iterator[str]:
    """Yields what is to be said of records that are smaller than ``size``."""
    folders = sorted({pair.record.file.parent for pair in pairs if pair.record})
    if not folders:
        return
    from keras_unet.data import records

    for folder in folders:
        written = records.image_size(folder)
        if written[0] < size[0] or written[1] < size[1]:
            old, new = (
                f"--image-size {height} {width}" for height, width in (written, size)
            )
            yield (
                f"{folder}: its records were written with {old}, and training with "
                f"{new} enlarges them: write them again with {new}"
            )


_FORMAT_OF = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **dict.fromkeys((".bmp", ".dib"), "BMP"),
    **{".png": "PNG", ".gif": "GIF", ".webp": "WEBP"},
}


@dataclass(frozen=True)
class Seen:
    """What a look at one pair found.

    Attributes:
        pair: the pair.
        image: the image's header; None where it cannot be read.
        mask: the mask's header; None for run lengths, too.
        values: the mask's values; None where it cannot be read.
        digest: of the image file's content.
        problems: why the pair cannot be used; empty where it can.
        notices: what is odd about it and does no harm.
    """

    pair: Pair
    image: Header | None = None
    mask: Header | None = None
    values: MaskValues | None = None
    digest: str = ""
    problems: tuple[Problem, ...] = ()
    notices: tuple[Problem, ...] = ()


def survey(pair: Pair, max_pixels: int) -> Seen:
    """Returns what is in the files of ``pair``, all pixels read."""
    if pair.record and not all(f.is_file() for f in (pair.image, pair.mask) if f):
        return _survey_record(pair, pair.record)
    problems = []
    image = mask = values = None
    digest = ""
    try:
        image = read_header(pair.image, max_pixels, check_pixels=True)
        digest = hashlib.sha256(pair.image.read_bytes()).hexdigest()
        notices = _about_image(pair.image, image, max_pixels)
    except Unreadable as error:
        problems, notices = [Problem(error.file, error.cause)], []
    try:
        if pair.mask is not None:
            mask = read_header(pair.mask, max_pixels)
            notices += _about_name(pair.mask, mask)
        if pair.mask is not None or image is not None:
            pixels = read_values(pair, max_pixels)
            values = count_values(pixels, _kind(mask))
    except Unreadable as error:
        problems.append(Problem(error.file, error.cause))
    if image and mask:
        problems += _about_sizes(pair, image, mask)
        notices += _about_turns(pair, image, mask)
    return Seen(pair, image, mask, values, digest, tuple(problems), tuple(notices))


def _survey_record(pair: Pair, record: Record) -> Seen:
    # Behind it is TensorFlow, which a look at files can do without.
    from keras_unet.data import records

    try:
        image, pixels = records.read_record(record, 3)
    except BadData as error:
        cause = str(error).removeprefix(f"{record.file}: ")
        return Seen(pair, problems=(Problem(record.file, cause),))
    return Seen(
        pair,
        Header("record", "RGB", image.shape[:2], 1, False),
        values=count_values(pixels, _kind_of_values(pixels)),
        digest=hashlib.sha256(image.tobytes()).hexdigest(),
        notices=(Problem(pair.image, "is gone: it can be trained on, not scored"),),
    )


def _kind_of_values(pixels: Values) -> Kind:
    if pixels.dtype == np.uint8:
        return "grey"
    return "colour" if pixels.max() >= GREY_STEP else "wide"


def _kind(mask: Header | None) -> Kind:
    if mask is None:
        return "runs"
    if mask.indexed:
        return "palette"
    if mask.mode[0] in "IF":
        return "wide"
    return "grey" if mask.mode in ("1", "L", "LA", "La", "P") else "colour"


def _about_image(file: Path, image: Header, max_pixels: int) -> list[Problem]:
    if not image.mode.startswith("I"):
        return _about_name(file, image)
    brightest = int(read_image(file, 1, max_pixels).max())
    if brightest > 15:
        return _about_name(file, image)
    cause = "uses only the darkest sixteenth of its 16 bits; scale it up to be seen"
    return [*_about_name(file, image), Problem(file, cause)]


def _about_name(file: Path, header: Header) -> list[Problem]:
    named = _FORMAT_OF.get(file.suffix.lower(), header.format)
    found = "JPEG" if header.format == "MPO" else header.format
    if named == found:
        return []
    return [Problem(file, f"is a {found} file called {file.suffix}; read as {found}")]


def _about_sizes(pair: Pair, image: Header, mask: Header) -> list[Problem]:
    if image.shape == mask.shape:
        return []
    turned = ""
    if image.orientation != mask.orientation:
        turned = (
            f" (turned upright as EXIF says: orientation {mask.orientation} "
            f"against {image.orientation})"
        )
    # Without the image's name: pairs of the same two sizes have the same cause.
    cause = f"is {_size(mask)}, its image {_size(image)}{turned}"
    return [Problem(pair.mask or pair.image, cause)]


def _about_turns(pair: Pair, image: Header, mask: Header) -> list[Problem]:
    if image.orientation == mask.orientation or image.shape != mask.shape:
        return []
    cause = (
        f"has EXIF orientation {image.orientation}, its mask {mask.orientation}; "
        "each is turned as its own says: look whether they agree"
    )
    return [Problem(pair.image, cause)]


def _size(header: Header) -> str:
    return f"{header.shape[1]}×{header.shape[0]}"
