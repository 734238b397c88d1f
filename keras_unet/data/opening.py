"""A file that is opened, whatever lies in it, and what is said where it cannot be."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from keras_unet.data.folders import kind_of
from keras_unet.errors import BadData

BROKEN = (
    *(OSError, SyntaxError, ValueError, TypeError, EOFError, IndexError),
    *(struct.error, ArithmeticError),
)
"""What decoders raise at a damaged file."""


class Undecodable(Exception):  # noqa: N818, the name says it
    """What is wrong with a file's content, without the file's name."""


def damaged(error: Exception) -> Undecodable:
    """Returns what is said of a file at which a decoder raised ``error``."""
    return Undecodable(f"is truncated or damaged ({error})")


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


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Gives the open file; what is wrong with it or its content gets its name.

    Raises:
        Unreadable: the file is missing or forbidden, or what is done with it within
            the block raises Undecodable.
    """
    if kind := kind_of(path):
        raise Unreadable(path, f"is {kind}, not a file")
    try:
        # Given a name, Pillow 13 maps the file and reads turned TIFF images wrongly.
        file = path.open("rb")
    except PermissionError as error:
        raise Unreadable(path, "may not be read (no permission)") from error
    except FileNotFoundError as error:
        cause = "is a broken link" if path.is_symlink() else "is not there"
        raise Unreadable(path, cause) from error
    except OSError as error:
        raise Unreadable(path, f"cannot be opened ({error.strerror})") from error
    with file:
        try:
            yield file
        except Undecodable as error:
            raise Unreadable(path, str(error)) from error
        except OSError as error:
            raise Unreadable(path, f"cannot be read ({error.strerror})") from error
