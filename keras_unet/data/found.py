"""What a look at the disk brought: pairs, and files with what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_unet.data.pair import Pair

_SHOWN = 20


@dataclass(frozen=True)
class Problem:
    """A file and one readable line on what is the matter with it."""

    file: Path
    cause: str

    def __str__(self) -> str:
        return f"{self.file}: {self.cause}"


@dataclass(frozen=True)
class Found:
    """The pairs of a folder, sorted by name, and the files that make none."""

    pairs: tuple[Pair, ...]
    problems: tuple[Problem, ...] = ()


def listing(problems: Sequence[Problem]) -> str:
    """Returns the problems as one message, of very many only the first."""
    if len(problems) == 1:
        return str(problems[0])
    lines = [f"{len(problems)} things are wrong with the data:"]
    lines += [f"  {problem}" for problem in problems[:_SHOWN]]
    if len(problems) > _SHOWN:
        lines.append(
            f"  … and {len(problems) - _SHOWN} more; "
            "python -m keras_unet.data check lists them all"
        )
    return "\n".join(lines)
