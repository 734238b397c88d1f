"""Folders that are closed to the tests, even where root runs them."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keras_unet.config import Config
from keras_unet.console import parse


@contextmanager
def open_copy(root: Path) -> Iterator[Path]:
    """Gives a copy of ``root`` where folders without permissions are closed to us.

    Beside it lies ``ours``, which may be written to.
    """
    if not hasattr(os, "geteuid"):
        pytest.skip("this system has other permissions")
    # What it imports late may lie in a folder that is closed to us then.
    parse(Config, [])
    # Not in tmp_path, whose parents are closed to all but their owner.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        copy = Path(shutil.copytree(root, Path(folder) / "set"))
        (Path(folder) / "ours").mkdir()
        (Path(folder) / "ours").chmod(0o777)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            yield copy
        finally:
            os.seteuid(user)
            for path in [copy, *copy.iterdir()]:
                path.chmod(0o755)


def close(path: Path) -> None:
    """Takes all permissions from ``path``."""
    user = os.geteuid()
    os.seteuid(path.stat().st_uid)
    path.chmod(0)
    os.seteuid(user)


def as_python_3_14(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has pathlib see nothing where it may not look, as it does from 3.14 on."""
    for name, test in [
        ("exists", os.path.exists),
        ("is_dir", os.path.isdir),
        ("is_file", os.path.isfile),
    ]:
        monkeypatch.setattr(Path, name, lambda path, test=test: test(path))
