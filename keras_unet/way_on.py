"""What Ctrl-C outside of the epochs is answered with: what is there, how to go on."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator
from typing import Any

from keras_unet.run_folder import RunFolder

_AGAIN = "Give the same command again"


@contextlib.contextmanager
def on_interrupt(message: Callable[..., str], *arguments: Any) -> Iterator[None]:
    """Has Ctrl-C within the block say the message, unless it says something.

    Args:
        message: returns it; asked only then.
        arguments: of ``message``.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(*(interrupt.args or (message(*arguments),))) from None


def before_training(folder: RunFolder) -> str:
    """Returns the way on where the data were being checked."""
    return f"Nothing was written to {folder.path}. {_AGAIN}"


def within_training(folder: RunFolder, resume_command: str) -> str:
    """Returns the way on where the training was not over."""
    if folder.checkpoint.is_dir():
        return f"Go on with: {resume_command}"
    return f"Nothing is trained yet. {_AGAIN}"


def after_training(folder: RunFolder, *left: str) -> str:
    """Returns the way on where some commands were not done: evaluate, export."""
    return (
        f"The training is done, its best weights are {folder.weights_file}. "
        f"Go on with: {commands(folder, *left)}"
    )


def commands(folder: RunFolder, *names: str) -> str:
    """Returns the command lines of these commands on a run."""
    path = shlex.quote(str(folder.path))
    return ", ".join(f"python -m keras_unet.{name} {path}" for name in names)
