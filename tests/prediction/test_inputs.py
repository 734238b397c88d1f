from pathlib import Path

import pytest
from bright_run import draw, square
from unprivileged import as_python_3_14, close, open_copy

from keras_unet.errors import BadData
from keras_unet.prediction.inputs import list_inputs


@pytest.fixture
def images(tmp_path):
    for name in ("a", "b"):
        draw(tmp_path / "in" / f"{name}.png", square())
    return tmp_path / "in"


def places(*inputs, output=None):
    return [one.place.as_posix() for one in list_inputs(inputs, output)[0]]


def test_an_image_named_twice_is_listed_once(images):
    draw(images / "x" / "c.png", square())
    assert places(images, images / "a.png", images / "x") == [
        "a.png",
        "b.png",
        "x/c.png",
    ]


def test_hidden_files_and_folders_and_what_is_no_image_are_left_out(images):
    for name in (".git/c.png", ".c.png", "x/.d.png", "x/notes.txt"):
        (images / name).parent.mkdir(exist_ok=True)
        (images / name).write_text("")
    assert places(images) == ["a.png", "b.png"]


def test_a_folder_that_links_to_its_parent_is_looked_into_once(images):
    (images / "x").symlink_to(images, target_is_directory=True)
    assert places(images) == ["a.png", "b.png"]


def test_a_linked_folder_is_looked_into(images, tmp_path):
    draw(tmp_path / "elsewhere" / "c.png", square())
    (images / "x").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert places(images) == ["a.png", "b.png", "x/c.png"]


def test_the_output_is_passed_over_however_it_is_written(images):
    draw(images / "out" / "a.png", square())
    assert places(images, output=images / "out") == ["a.png", "b.png"]
    assert places(images, output=images / ".." / "in" / "out") == ["a.png", "b.png"]


@pytest.mark.parametrize("python", ["own", "3.14"])
@pytest.mark.parametrize("name", ["", "a.png"])
def test_an_input_that_may_not_be_looked_at_is_said_so(
    images, monkeypatch, python, name
):
    if python == "3.14":
        as_python_3_14(monkeypatch)
    with open_copy(images) as copy:
        close(copy)
        with pytest.raises(BadData, match=f"set/?{name}: may not be read"):
            list_inputs([copy / name])


def test_a_folder_within_that_may_not_be_looked_at_is_named(images):
    draw(images / "x" / "c.png", square())
    with open_copy(images) as copy:
        close(copy / "x")
        files, failed = list_inputs([copy])
    assert [one.place for one in files] == [Path("a.png"), Path("b.png")]
    assert [str(error) for error in failed] == [
        f"{copy / 'x'}: may not be read (no permission)"
    ]
