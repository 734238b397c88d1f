import pytest

from keras_unet.files import write_whole


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
