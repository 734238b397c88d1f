import pytest

from keras_unet.data.folders import by_stem
from keras_unet.errors import BadData


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
