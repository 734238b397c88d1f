"""One pass over all pairs: what they hold, and every file that cannot be used."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from keras_unet.config import IGNORE, DataConfig
from keras_unet.data import record_index
from keras_unet.data.coding import Coding, find_coding
from keras_unet.data.decode import to_class_ids
from keras_unet.data.findings import Report, Row
from keras_unet.data.found import Problem
from keras_unet.data.pair import Pair
from keras_unet.data.survey import Seen, survey
from keras_unet.errors import BadData

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
    for folder in sorted({pair.record.file.parent for pair in pairs if pair.record}):
        written = record_index.image_size(folder)
        if written[0] < size[0] or written[1] < size[1]:
            old, new = (
                f"--image-size {height} {width}" for height, width in (written, size)
            )
            yield (
                f"{folder}: its records were written with {old}, and training with "
                f"{new} enlarges them: write them again with {new}"
            )
