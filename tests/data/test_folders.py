import os
import socket

import pytest

from keras_unet.data.folders import (
    by_stem,
    list_files,
    opened,
)
from keras_unet.errors import BadData, Undecodable, Unreadable


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(BadData, match="gone: there is no such folder"):
        by_stem(tmp_path / "gone")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(BadData, match="holds no images"):
        by_stem(tmp_path)


def test_a_file_in_place_of_a_folder_is_refused(tmp_path):
    (tmp_path / "a").write_text("x")
    with pytest.raises(BadData, match="is a file, not a folder"):
        by_stem(tmp_path / "a")


def test_a_folder_below_a_file_is_missing(tmp_path):
    (tmp_path / "a").write_text("x")
    with pytest.raises(BadData, match="a/b: there is no such folder"):
        by_stem(tmp_path / "a/b")


def test_a_link_in_a_circle_stays_in_the_list_so_that_it_is_reported(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "a.png")
    assert list(by_stem(tmp_path)) == ["a"]


def test_a_broken_link_stays_in_the_list_so_that_it_is_reported(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    assert list(by_stem(tmp_path)) == ["a"]


def test_subfolders_are_looked_into_where_that_is_wanted(tmp_path):
    (tmp_path / "x/.hidden").mkdir(parents=True)
    for name in ("a.png", "x/a.png", "x/.hidden/b.png", "x/notes.txt"):
        (tmp_path / name).touch()
    assert list(by_stem(tmp_path)) == ["a"]
    assert list_files(tmp_path)[0] == [tmp_path / "a.png", tmp_path / "x/a.png"]


def test_a_link_to_a_folder_above_is_followed_once(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x/a.png").touch()
    (tmp_path / "x/up").symlink_to(tmp_path)
    assert list_files(tmp_path)[0] == [tmp_path / "x/a.png"]


def test_pipes_and_sockets_are_named_and_links_are_files(tmp_path, monkeypatch):
    (tmp_path / "a.png").touch()
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    os.mkfifo(tmp_path / "c.png")
    # The name of a socket may not be long.
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("d.png")
        files, problems = list_files(tmp_path)
    assert [file.name for file in files] == ["a.png", "b.png"]
    assert [(problem.file.name, problem.cause) for problem in problems] == [
        ("c.png", "is a pipe (FIFO), not a file"),
        ("d.png", "is a socket, not a file"),
    ]


def test_what_is_wrong_with_the_content_gets_the_files_name(tmp_path):
    file = tmp_path / "a.png"
    file.write_bytes(b"x")
    with pytest.raises(Unreadable, match=r"a\.png: is odd"), opened(file):
        raise Undecodable("is odd")


def test_a_folder_is_said_to_be_none(tmp_path):
    with pytest.raises(Unreadable, match="cannot be opened"), opened(tmp_path):
        pass


def test_file_and_cause_are_kept_apart(tmp_path):
    with pytest.raises(Unreadable) as caught, opened(tmp_path / "gone.png"):
        pass
    assert caught.value.file == tmp_path / "gone.png"
    assert caught.value.cause == "is not there"


def test_a_pipe_is_named_and_never_opened(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with (
        pytest.raises(Unreadable, match=r"a\.png: is a pipe \(FIFO\), not a file"),
        opened(tmp_path / "a.png"),
    ):
        pass
