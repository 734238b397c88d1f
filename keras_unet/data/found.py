"""What a look at the disk brought: pairs, and files with what is wrong with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_unet.data.pair import Pair

_CAUSES = 20
_FILES = 3
_ALL = (
    "python -m keras_unet.data check, given the same data and --output DIR, lists all "
    "of them in DIR/report.json"
)


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


def listing(problems: Sequence[Problem], where: str = _ALL) -> str:
    """Returns the problems as one message: a line for each cause, the frequent first.

    Args:
        problems: at least one.
        where: what tells all of them, said where the message leaves some out.
    """
    if len(problems) == 1:
        return str(problems[0])
    files_of = defaultdict(list)
    for problem in problems:
        files_of[problem.cause].append(problem.file)
    by_cause = sorted(files_of.items(), key=lambda item: -len(item[1]))
    lines = [f"{len(problems)} things are wrong with the data:"]
    lines += [f"  {_line(cause, files)}" for cause, files in by_cause[:_CAUSES]]
    if len(by_cause) > _CAUSES:
        lines.append(f"  … and {len(by_cause) - _CAUSES} more causes")
    if len(by_cause) > _CAUSES or len(by_cause[0][1]) > _FILES:
        lines.append(where)
    return "\n".join(lines)


def _line(cause: str, files: Sequence[Path]) -> str:
    if len(files) == 1:
        return f"{files[0]}: {cause}"
    near = files[0].parent
    names = [file.name if file.parent == near else str(file) for file in files[1:]]
    more = ", …" if len(files) > _FILES else ""
    named = ", ".join([str(files[0]), *names[: _FILES - 1]])
    return f"{cause} ({len(files)} files): {named}{more}"
