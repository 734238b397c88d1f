"""What every command does at its end: one readable message and a status."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tyro

from keras_unet.errors import BadData, BadUsage

_T = TypeVar("_T")


def parse(kind: Callable[..., _T], argv: Sequence[str] | None, **options: Any) -> _T:
    """Returns what ``tyro`` makes of the command line; a wrong one ends with status 2.

    Args:
        kind: dataclass or function whose arguments are the flags.
        argv: words after the command's name; None takes them from the shell.
        options: further arguments of ``tyro.cli``.
    """
    return tyro.cli(kind, args=argv, **options)


def run_verb(verb: Callable[[], int | None]) -> int:
    """Returns the status of ``verb``, turning what a user can cause into a message.

    0 is done, 1 is wrong data, 2 wrong usage, 130 an interrupt (Ctrl-C).
    """
    quieten_tensorflow()
    try:
        return verb() or 0
    except (BadUsage, BadData) as error:
        print(f"error: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def quieten_tensorflow() -> None:
    """Silences TensorFlow's start-up chatter; has no effect once it is imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
