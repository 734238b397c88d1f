"""What Ctrl-C outside of the epochs is answered with: how to go on."""

from __future__ import annotations

import contextlib
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


def from_training_on(folder: RunFolder, resume_command: str) -> str:
    """Returns the way on where the run was being trained, scored or exported."""
    if folder.checkpoint.is_dir():
        return f"Go on with: {resume_command}"
    return f"Nothing is trained yet. {_AGAIN}"
