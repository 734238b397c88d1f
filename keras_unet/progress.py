"""A progress bar for work on many files."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

Progress = Callable[[int, int], None]
"""Takes how many are done and how many there are in all."""


def silent(done: int, total: int) -> None:
    """Shows nothing."""


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """Yields a function that moves a bar on stderr, with the time left.

    Where stderr is no terminal, nothing is shown.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Console(file=sys.stderr)
    shown = console.is_terminal
    with Progress(*columns, console=console, disable=not shown) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
