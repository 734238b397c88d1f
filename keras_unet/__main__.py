"""Command: lists the commands, or runs the one that is named first."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

COMMANDS = {
    "data": ("keras_unet.data.__main__", "check, draw, download or record images"),
    "train": ("keras_unet.train", "train on images and masks, score, draw and export"),
    "evaluate": ("keras_unet.evaluate", "score a run, on its own images or on others"),
    "predict": ("keras_unet.predict", "write the masks of images"),
    "export": (
        "keras_unet.export.__main__",
        "write for servers, phones, browsers",
    ),
}
"""The module of each command, and what it does."""


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the status of the command that the first word names.

    Without words, or with --help, it lists the commands.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in COMMANDS:
        run = importlib.import_module(COMMANDS[words[0]][0]).main
        status: int = run(words[1:])
        return status
    asked = not words or words[0] in ("-h", "--help")
    if not asked:
        print(f"error: there is no command {words[0]}", file=sys.stderr)
    for name, (_, what) in COMMANDS.items():
        print(f"python -m keras_unet.{name:<10}{what}")
    print("\nEach has --help. To begin: python -m keras_unet.train")
    return 0 if asked else 2


if __name__ == "__main__":
    sys.exit(main())
