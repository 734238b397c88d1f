import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from unprivileged import open_copy

from keras_unet.files import (
    as_type,
    read_json,
    read_rows,
    remove_leftovers,
    unfinished_name,
    write_json,
    write_new,
    write_rows,
    write_whole,
)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    file = tmp_path / "state.npz"
    file.write_text("old")

    def fail_half_way():
        with write_whole(file) as aside:
            aside.write_text("ne")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail_half_way()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [
        ("state.npz", "old")
    ]


def test_a_folder_replaces_a_folder(tmp_path):
    target = tmp_path / "1"
    for text in ("first", "second"):
        with write_whole(target) as aside:
            aside.mkdir()
            (aside / "file").write_text(text)
    assert (target / "file").read_text() == "second"


def test_a_file_takes_no_folder_s_place(tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    (folder / "a.png").write_text("mask")
    with pytest.raises(IsADirectoryError, match="masks"), write_whole(folder) as file:
        file.write_text("rows")
    assert [path.name for path in tmp_path.rglob("*")] == ["masks", "a.png"]


def test_rows_come_back_whatever_their_names_are(tmp_path):
    rows = [
        {"image": 'é 🚗,"x".png', "part": "test"},
        {"image": "\udce9.png", "part": ""},
    ]
    write_rows(tmp_path / "rows.csv", rows)
    assert read_rows(tmp_path / "rows.csv") == rows


def test_without_a_file_there_are_no_rows(tmp_path):
    assert read_rows(tmp_path / "rows.csv") == []


def test_a_new_folder_appears_when_it_is_complete(tmp_path):
    with write_new(tmp_path / "new") as aside:
        (aside / "a").write_text("1")
        assert not (tmp_path / "new").exists()
    assert (tmp_path / "new" / "a").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_new_folder_takes_no_other_ones_place(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine").write_text("1")
    with pytest.raises(OSError, match="new"), write_new(tmp_path / "new"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert (tmp_path / "new" / "mine").is_file()


def test_what_an_interrupted_exchange_left_goes_with_the_next_one(tmp_path):
    (tmp_path / ".replaced-a").mkdir()
    with write_whole(tmp_path / "a") as aside:
        aside.mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_is_written_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    happened = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (happened.append("flush"), fsync(fd)))
    monkeypatch.setattr(
        Path, "replace", lambda a, b: (happened.append("rename"), replace(a, b))
    )
    with write_whole(tmp_path / "a") as aside:
        aside.write_text("1")
    assert happened == ["flush", "rename", "flush"]


@pytest.fixture(scope="module")
def ended():
    """The name of what a process that is gone has not finished."""
    code = (
        "from keras_unet.files import unfinished_name; print(unfinished_name('a', 'b'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return done.stdout.strip()


def of_another_host(name):
    kind, _, rest = name.split("-", 2)
    return f"{kind}-{'0' * 8}-{rest}"


@pytest.mark.skipif(os.name == "nt", reason="Windows does not tell who is gone")
def test_only_what_processes_that_are_gone_left_is_removed(tmp_path, ended):
    kind, host, _, rest = ended.split("-", 3)
    gone = [ended, f"{kind}-{host}-{os.getpid()}-{rest}"]
    stay = [unfinished_name("a", "b"), of_another_host(ended), ".writing-1-notes"]
    for name in gone + stay:
        (tmp_path / name).mkdir()
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(stay)


def test_of_another_machine_a_day_old_is_gone(tmp_path, ended):
    file = tmp_path / of_another_host(ended)
    file.write_text("half")
    os.utime(file, (0, 0))
    remove_leftovers(tmp_path)
    assert not file.exists()


def test_what_another_user_left_unfinished_stops_nothing(tmp_path, ended):
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / ended).write_text("half")
    shared.chmod(0o555)
    with open_copy(shared) as copy:
        remove_leftovers(copy)
        assert (copy / ended).exists()


@dataclass(frozen=True)
class Inner:
    name: str
    kind: Literal["a", "b"] = "a"
    place: Path | None = None


@dataclass(frozen=True)
class Outer:
    count: int
    share: float
    size: tuple[int, int]
    rows: tuple[Inner, ...] = ()

    def __post_init__(self):
        if self.count < 1:
            raise ValueError("count must be 1 or more")


GOOD = {"count": 1, "share": 2, "size": [3, 4], "rows": [{"name": "x", "place": "y"}]}


def test_what_fits_is_made_of_the_types():
    found = as_type(GOOD, Outer)
    assert found == Outer(1, 2.0, (3, 4), (Inner("x", "a", Path("y")),))


def test_what_is_written_as_json_comes_back(tmp_path):
    inner = Inner("é", "b", Path("y\udcff"))
    write_json(tmp_path / "inner.json", asdict(inner))
    assert read_json(tmp_path / "inner.json", Inner) == inner
    assert "é" in (tmp_path / "inner.json").read_text("utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": "1"}, "count: expected int, found str"),
        ({"count": True}, "count: expected int, found bool"),
        ({"count": 0}, "count must be 1 or more"),
        ({"share": None}, "share: expected float, found null"),
        ({"size": [1]}, "size: expected array of length 2, found 1"),
        ({"rows": [{"name": "x", "kind": "c"}]}, "kind: expected one of a, b, found"),
        ({"rows": [{"name": "x", "place": 3}]}, "place: expected str, found int"),
        ({"rows": [{"name": "x", "z": 1}]}, r"rows\[0\]\.z: is unknown here"),
        ({"rows": 3}, "rows: expected array, found int"),
        ({"more": 1}, "more: is unknown here"),
    ],
)
def test_what_does_not_fit_is_told_with_its_key(change, message):
    with pytest.raises(ValueError, match=message):
        as_type(GOOD | change, Outer)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is no JSON"),
        (b"\xff\xfe{", "is no JSON"),
        (b"[1]", "expected object, found array"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"a":' * 100_000, "is nested too deeply"),
        (b'{"count": 1%s}' % (b"0" * 5000), "is no JSON"),
    ],
)
def test_a_file_is_named_with_what_is_wrong_in_it(tmp_path, text, message):
    file = tmp_path / "config.json"
    file.write_bytes(text)
    with pytest.raises(ValueError, match=rf"config\.json: {message}"):
        read_json(file, dict[str, Any])
