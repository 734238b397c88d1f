import os

import pytest

from keras_unet.data.opening import Undecodable, Unreadable, opened


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
