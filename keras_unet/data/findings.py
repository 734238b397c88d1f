"""What a pass over all pairs found, as a table, as JSON and as lines to be said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_unet.config import DataConfig
from keras_unet.data.images import Header
from keras_unet.data.pair import Pair, Problem


@dataclass(frozen=True)
class Row:
    """A usable pair and the share of each class among its pixels that count."""

    pair: Pair
    image: Header
    mask: Header | None
    shares: tuple[float, ...]

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
        names, shares = self.resolved.class_names, self.class_shares()
        return {
            "pairs": str(len(self.rows)),
            "groups": str(len({row.pair.group for row in self.rows})),
            "sizes": _tally(_size(row.image) for row in self.rows),
            "images": _tally(_kind(row.image) for row in self.rows),
            "masks": _tally(_kind(row.mask) for row in self.rows),
            "mask values": self.notes[0].removeprefix("mask values: "),
            "pixels": ", ".join(
                f"{name} {100 * share:.1f} %"
                for name, share in zip(names, shares, strict=True)
            ),
            "foreground by picture": _spread([row.foreground for row in self.rows]),
            "duplicates": str(sum(len(files) - 1 for files in self.duplicates)),
        }

    def class_shares(self) -> list[float]:
        """Returns the mean share of each class."""
        classes = len(self.resolved.class_names)
        shares = np.array([row.shares for row in self.rows]).reshape(-1, classes)
        return [float(share) for share in shares.mean(axis=0)]

    def to_json(self) -> dict[str, Any]:
        """Returns all of the report as what ``json.dump`` takes."""
        return {
            "table": self.table(),
            "problems": [_line(problem) for problem in self.problems],
            "notices": [_line(notice) for notice in self.notices],
            "notes": list(self.notes),
            "duplicates": [[str(file) for file in files] for files in self.duplicates],
            "class_values": list(self.resolved.class_values),
            "class_names": list(self.resolved.class_names),
            "mask_kind": self.resolved.mask_kind,
            "foreground_above": self.resolved.foreground_above,
            "ignore_value": self.resolved.ignore_value,
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


def _size(header: Header) -> str:
    return f"{header.shape[1]}×{header.shape[0]}"


def _kind(header: Header | None) -> str:
    return f"{header.format} {header.mode}" if header else "run lengths"


def _spread(shares: list[float]) -> str:
    low, middle, high = (100 * float(f(shares)) for f in (min, np.median, max))
    return f"{low:.1f} % to {high:.1f} %, median {middle:.1f} %"


def _line(problem: Problem) -> dict[str, str]:
    return {
        "file": str(problem.file),
        "part": problem.part,
        "cause": problem.cause,
    }
