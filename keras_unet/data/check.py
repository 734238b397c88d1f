"""One pass over all pairs: what they hold, and every file that cannot be used."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_unet.console import Progress, silent
from keras_unet.data.class_list import find_class_list
from keras_unet.data.look import Look, LookCache, Seen, look_at, white_of
from keras_unet.data.mask_coding import Coding, find_coding
from keras_unet.data.mask_values import MaskValues, Stats
from keras_unet.data.masks import class_shares, shown
from keras_unet.data.pair import Fingerprint, Found, Pair, Problem
from keras_unet.data.pieces import about_squeezing
from keras_unet.data.records_index import about_enlarging
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData

_RESOLVED = (
    *("class_values", "class_names", "mask_kind", "foreground_above"),
    *("ignore_values", "mask_reading", "white"),
)
"""Fields of the config that a report tells."""
_NEARLY_ALL = 0.95
"""Share of a border that shows which of two classes is around the other."""


@dataclass(frozen=True)
class Row:
    """A usable pair and the share of each class among its pixels that count."""

    pair: Pair
    image: Look
    mask: Look
    shares: tuple[float, ...]

    @property
    def fingerprints(self) -> tuple[Fingerprint, Fingerprint]:
        """Of the image and of the mask, or of the record that holds both."""
        if self.pair.record:
            return self.pair.record.fingerprint, Fingerprint(0, 0, "")
        return self.image.fingerprint, self.mask.fingerprint

    @property
    def foreground(self) -> float:
        """Share of all that is not class 0."""
        return sum(self.shares[1:])


@dataclass(frozen=True)
class Report:
    """What a pass over the pairs found.

    Attributes:
        rows: the usable pairs.
        problems: every file that cannot be used, with its cause.
        notes: what is worth a line on the screen.
        notices: the files behind the notes.
        duplicates: images of the same content.
        resolved: the config with what mask values mean.
    """

    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    notices: tuple[Problem, ...]
    duplicates: tuple[tuple[Path, ...], ...]
    resolved: DataConfig

    def table(self) -> dict[str, str]:
        """Returns what is to be shown, by heading."""
        if not self.rows:
            return {"pairs": "0"}
        shares = np.array([row.shares for row in self.rows]).mean(axis=0).tolist()
        return {
            "pairs": str(len(self.rows)),
            "groups": str(len({row.pair.group for row in self.rows})),
            "sizes": _tally(_size(row.image) for row in self.rows),
            "images": _tally(_kind(row.image) for row in self.rows),
            "masks": _tally(_kind(row.mask) for row in self.rows),
            "mask values": self.notes[0].removeprefix("mask values: "),
            "pixels": ", ".join(
                f"{name} {100 * share:.1f} %"
                for name, share in zip(self.resolved.class_names, shares, strict=True)
            ),
            "foreground by image": _spread([row.foreground for row in self.rows]),
            "duplicates": str(sum(len(files) - 1 for files in self.duplicates)),
        }

    def to_json(self) -> dict[str, Any]:
        """Returns all of the report as what ``json.dump`` takes."""
        return {
            "table": self.table(),
            "problems": [_line(problem) for problem in self.problems],
            "notices": [_line(notice) for notice in self.notices],
            "notes": self.notes,
            "duplicates": [[str(file) for file in files] for files in self.duplicates],
            **{name: getattr(self.resolved, name) for name in _RESOLVED},
            "pairs": [
                {
                    "image": str(row.pair.image),
                    "group": row.pair.group,
                    "size": _size(row.image),
                    "foreground": row.foreground,
                }
                for row in self.rows
            ],
        }

    def extremes(self, count: int) -> list[Pair]:
        """Returns pairs from the least to the most foreground, evenly spread."""
        ordered = sorted(self.rows, key=lambda row: row.foreground)
        places = np.linspace(0, len(ordered) - 1, min(count, len(ordered)))
        return [ordered[round(place)].pair for place in places]


def _tally(things: Iterable[str]) -> str:
    counts = Counter(things).most_common()
    shown = ", ".join(f"{thing} ({count})" for thing, count in counts[:4])
    return shown + (f" and {len(counts) - 4} others" if len(counts) > 4 else "")


def _size(look: Look) -> str:
    return look.header.size if look.header else ""


def _kind(look: Look) -> str:
    header = look.header
    return f"{header.format} {header.mode}" if header else "run lengths"


def _spread(shares: list[float]) -> str:
    low, middle, high = (100 * float(f(shares)) for f in (min, np.median, max))
    return f"{low:.1f} % to {high:.1f} %, median {middle:.1f} %"


def _line(problem: Problem) -> dict[str, str]:
    return {name: str(value) for name, value in vars(problem).items()}


def check_data(
    found: Found, data: DataConfig, classes: int = 1, progress: Progress = silent
) -> Report:
    """Returns what is in the pairs' files, which of them cannot be used, and why.

    Args:
        found: the pairs, and what makes no pair.
        data: what is known of the masks' values; the rest is found.
        classes: logits of the network; from 2 on, more classes are a problem.
        progress: is told after each pair how many are done, and of how many.

    Raises:
        BadData: as by ``Found.settle``.
        BadUsage: what ``data`` says of the masks contradicts itself.
    """
    data = found.settle(data)
    every = list(_look_at_all(found.every, data, progress))
    problems = [*found.problems, *(one for seen in every for one in seen.problems)]
    whole = [seen for seen in every if not seen.problems]
    folder = data.data or data.masks or data.pairs or Path()
    coding, rows = Coding(data, "mask values: unknown"), list[Row]()
    try:
        if whole:
            files = [_mask_file(seen.pair) for seen in whole]
            beside = dict.fromkeys(file.parent for file in files)
            above = (place.parent for place in beside)
            # COCO names its classes itself, in a file that may be called labels.json.
            known = data.class_values and data.class_names
            names = None if known else find_class_list([*beside, folder, *above])
            values = [s.mask.values for s in whole if s.mask and s.mask.values]
            _refuse_negatives(values, data)
            coding = find_coding(values, data, files, names)
            rows, unknown = _rows(whole, coding.data)
            problems += unknown + _beyond(rows, coding.data, classes)
            problems += _one_class(rows, coding.data, folder)
    except BadData as error:
        problems.append(Problem(folder, str(error)))
    white, about_white = white_of(every, data)
    duplicates = _duplicates(every)
    notices = tuple(notice for seen in every for notice in seen.notices)
    return Report(
        rows=tuple(rows),
        problems=tuple(problems),
        notes=(
            coding.reason,
            *found.notes,
            *coding.notes,
            *about_white,
            *_about_borders(rows, coding.data),
            *_notes(rows, notices, duplicates),
            *about_enlarging(found.every, data.image_size),
            *about_squeezing([(r.pair, r.image.header) for r in rows], coding.data),
        ),
        notices=notices,
        duplicates=duplicates,
        resolved=replace(coding.data, white=white),
    )


def _look_at_all(
    pairs: Sequence[Pair], data: DataConfig, progress: Progress
) -> Iterator[Seen]:
    # Pillow lets other threads run while it decodes.
    threads = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    with closing(LookCache()) as cache:
        looks = threads.map(lambda pair: look_at(pair, data, cache), pairs)
        try:
            for done, seen in enumerate(looks, 1):
                progress(done, len(pairs))
                yield seen
        finally:
            # After Ctrl-C nobody waits for the rest.
            threads.shutdown(cancel_futures=True)


def _refuse_negatives(masks: Sequence[MaskValues], data: DataConfig) -> None:
    """Refuses masks that mean one thing as seen, another as stored, unless it is said.

    Raises:
        BadData: it is not, or other masks of the set are the usual way round.
    """
    kind = "TIFF whose 0 is white (from arrays of bool, or by ImageJ's inverting LUT)"
    count = sum(mask.negative for mask in masks)
    if 0 < count < len(masks):
        raise BadData(
            f"{count} masks are {kind}, and {len(masks) - count} are not, so that one "
            "value may mean two things: write all masks of the set in one way"
        )
    values = sorted({v for mask in masks for v in mask.readings[mask.own].counts})
    said = data.class_values or data.foreground_above is not None
    if count and len(values) > 1 and not said:
        raise BadData(
            f"the masks are {kind}: black and white as seen are the reverse of what is "
            "stored. If the background is seen black: --class-values "
            f"{shown(values, data)}. If it is seen white: --class-values "
            f"{shown(values[::-1], data)}"
        )


def _rows(whole: Iterable[Seen], data: DataConfig) -> tuple[list[Row], list[Problem]]:
    rows, problems = [], []
    for seen in whole:
        try:
            shares = _shares(seen, data)
        except BadData as error:
            problems.append(Problem(_mask_file(seen.pair), str(error)))
        else:
            if seen.image and seen.mask:
                rows.append(Row(seen.pair, seen.image, seen.mask, shares))
    return rows, problems


def _shares(seen: Seen, data: DataConfig) -> tuple[float, ...]:
    """Returns the share of each class among the pixels that are not ignored."""
    stats = _stats(seen.mask, data)
    return class_shares(stats.counts if stats else {}, data)


def _stats(mask: Look | None, data: DataConfig) -> Stats | None:
    return mask.values.under(data.mask_reading) if mask and mask.values else None


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
    cause = f"every pixel of every mask is {only}, so nothing can be learnt"
    if only == data.class_names[0]:
        cause = "no mask has any foreground, so nothing can be learnt"
    return [Problem(folder, cause)]


def _mask_file(pair: Pair) -> Path:
    return pair.mask or pair.image


def _duplicates(every: Iterable[Seen]) -> tuple[tuple[Path, ...], ...]:
    same = defaultdict(list)
    for seen in every:
        if seen.image:
            same[seen.image.fingerprint.sha256].append(seen.pair.image)
    return tuple(tuple(files) for files in same.values() if len(files) > 1)


def _about_borders(rows: Sequence[Row], data: DataConfig) -> list[str]:
    """Returns the note on masks whose borders are the reverse of all others'."""
    two = len(data.class_names) == 2
    known = [row for row in rows if two and 0 < row.foreground < 1]
    stats = filter(None, (_stats(row.mask, data) for row in known))
    shares = np.array([class_shares(s.border, data) for s in stats] or [(1.0, 0.0)])
    # A border that is ignored all over is as all others.
    filled = np.abs(shares[:, 1] - (shares[:, 1].mean() > 0.5)) * shares.any(1)
    odd = filled > _NEARLY_ALL
    if not odd.any() or filled[~odd].mean() > 1 - _NEARLY_ALL:
        return []
    return [
        f"{odd.sum()} of {len(rows)} masks have on their borders what is within the "
        f"others ({_mask_file(known[int(odd.argmax())].pair).name}): are they inverted?"
    ]


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
