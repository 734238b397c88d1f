import functools
import sqlite3
from pathlib import Path

import pytest

from keras_unet.data.look_cache import LookCache


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "keras_unet"


def test_what_is_kept_is_there_for_the_next_command():
    with LookCache() as memory:
        memory.keep("a", [1, {"b": None}])
    with LookCache() as memory:
        assert memory.get("a") == [1, {"b": None}]
        assert memory.get("b") is None


def test_what_is_kept_again_replaces_what_was_there():
    with LookCache() as memory:
        memory.keep("a", 1)
        memory.keep("a", 2)
        assert memory.get("a") == 2


def test_a_damaged_file_is_made_anew(cache):
    with LookCache() as memory:
        memory.keep("a", 1)
    (file,) = cache.iterdir()
    file.write_bytes(b"no database" * 1000)
    with LookCache() as memory:
        memory.keep("b", 2)
    with LookCache() as memory:
        memory.keep("c", 3)
        assert (memory.get("a"), memory.get("c")) == (None, 3)


def test_where_nothing_can_be_kept_nothing_is_remembered(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with LookCache() as memory:
        memory.keep("a", 1)
        assert memory.get("a") is None


def test_two_processes_may_write_at_once(cache):
    with LookCache() as memory:
        memory.keep("a", 1)
        (file,) = cache.iterdir()
        other = sqlite3.connect(file)
        other.execute("REPLACE INTO looks VALUES ('b', '2')")
        other.commit()
        other.close()
        memory.keep("c", 3)
        assert memory.get("b") == 2


def test_without_a_home_nothing_is_remembered(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")

    def homeless():
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", homeless)
    with LookCache() as memory:
        memory.keep("a", 1)
        assert memory.get("a") is None


def test_a_file_that_another_process_holds_stays_its_own(cache, monkeypatch):
    with LookCache() as memory:
        memory.keep("a", 1)
    (file,) = cache.iterdir()
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    really = sqlite3.connect
    quick = functools.partial(really, timeout=0.1)
    monkeypatch.setattr(sqlite3, "connect", quick)
    with LookCache() as memory:
        assert memory.get("a") is None
    other.close()
    with LookCache() as memory:
        assert memory.get("a") == 1
