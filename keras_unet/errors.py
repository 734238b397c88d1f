"""The errors that a user can cause, being told to stop, and taking a flag's value."""

from __future__ import annotations

import math
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class BadUsage(ValueError):  # noqa: N818, the name says it
    """Wrong flags, or a run folder in the way: the command ends with status 2."""

    status = 2


class BadData(ValueError):  # noqa: N818, the name says it
    """Something read from disk is wrong: the command ends with status 1."""

    status = 1


class Undecodable(Exception):  # noqa: N818, the name says it
    """What is wrong with a file's content, without the file's name."""


class Unreadable(BadData):
    """A file that cannot be used.

    Attributes:
        file: the file.
        cause: what is wrong with it, without its name.
    """

    def __init__(self, file: Path, cause: str) -> None:
        """Keeps file and cause apart, for lists of many of them."""
        super().__init__(f"{file}: {cause}")
        self.file, self.cause = file, cause

    def __reduce__(self) -> tuple[type, tuple[Path, str]]:
        """Lets it out of another process."""
        return type(self), (self.file, self.cause)


class Terminated(KeyboardInterrupt):
    """SIGTERM: all ends as with Ctrl-C, and the command with status 143."""


def flag_of(name: str) -> str:
    """Returns the flag of a config's field."""
    return "--" + name.replace("_", "-")


def flags_in(words: Sequence[str]) -> set[str]:
    """Returns the flags of a command line, as ``flag_of`` writes them."""
    return {word.partition("=")[0].replace("_", "-") for word in words}


def quoted(path: Path | str) -> str:
    """Returns a path as the command lines of this system take it."""
    if os.name == "nt":
        plain = re.fullmatch(r"[\w.:\\/-]+", str(path))
        return str(path) if plain else f'"{path}"'
    return shlex.quote(str(path))


def as_paths(config: Any, *names: str) -> None:
    """Makes paths of a frozen config's fields that a program gave as text."""
    for name in names:
        if isinstance(value := getattr(config, name), str):
            object.__setattr__(config, name, Path(value))


def require(holds: bool, name: str, wanted: str, config: Any) -> None:
    """Refuses a field's value in ``config`` that is not as wanted.

    Raises:
        BadUsage: names the flag, what it must be, and what it is.
    """
    if not holds:
        came = getattr(config, name)
        came = " ".join(map(str, came)) if isinstance(came, tuple) else came
        raise BadUsage(f"{flag_of(name)} must be {wanted}, not {came}")


def require_positive(config: Any, name: str) -> None:
    """Refuses what is not above 0 and finite, as ``require`` does."""
    holds = 0 < getattr(config, name) < math.inf
    require(holds, name, "above 0 and finite", config)


def require_between(config: Any, name: str, low: float, high: float) -> None:
    """Refuses what is below ``low`` or above ``high``, as ``require`` does."""
    wanted = f"{low:g} to {high:.10g}"
    if high == math.inf:
        wanted = f"{low:g} or more" + ", and finite" * isinstance(low, float)
    value = getattr(config, name)
    require(low <= value <= high and value < math.inf, name, wanted, config)


def make_output(folder: Path) -> None:
    """Makes the folder that --output names, before the work that would be lost.

    Raises:
        BadUsage: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = f"cannot be made ({error.strerror})"
        raise BadUsage(f"--output {folder}: {why}") from None
