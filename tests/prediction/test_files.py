import os

import pytest
from bright_run import draw, load, make_run, square
from PIL import Image
from unprivileged import as_python_3_14, close, open_copy

from keras_unet.errors import BadData, BadUsage
from keras_unet.predict import main
from keras_unet.prediction.files import Wanted, check_names, list_files, segment


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def images(tmp_path):
    for name in ("a", "b"):
        draw(tmp_path / "in" / f"{name}.png", square(shift=ord(name) - ord("a")))
    return tmp_path / "in"


def predict(run, *words):
    return main([str(run.path), *map(str, words)])


def test_progress_counts_the_images_that_failed(run, images, tmp_path):
    (images / "z.png").write_bytes(b"no image")
    inputs = [images, tmp_path / "gone.png"]
    seen = []
    segment(run, inputs, Wanted(tmp_path / "out"), lambda *counts: seen.append(counts))
    assert seen[-1] == (4, 4)


def test_two_images_with_one_output_are_refused_before_any_work(
    run, images, tmp_path, capsys
):
    Image.fromarray(load(images / "a.png")).save(images / "a.bmp")
    assert predict(run, images, "--output", tmp_path / "out") == 2
    message = capsys.readouterr().err
    assert "a.bmp" in message
    assert "a.png" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name != "nt", reason="other systems tell A from a")
def test_on_windows_names_that_differ_in_case_alone_are_one_output(tmp_path):
    files = [tmp_path / "x" / "A.jpg", tmp_path / "y" / "a.jpg"]
    with pytest.raises(BadUsage, match="would both be written"):
        check_names(files, Wanted(tmp_path / "out"))


def test_an_image_named_twice_is_segmented_once(images):
    files, _ = list_files([images, images / "a.png"])
    assert len(files) == 2


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
            list_files([copy / name])


def test_no_input_is_wrong_usage(run, tmp_path):
    with pytest.raises(BadUsage, match="INPUT"):
        segment(run, [], Wanted(tmp_path / "out"))


def test_probabilities_of_several_classes_are_not_written_over_an_input(tmp_path):
    files = [tmp_path / "a.png", tmp_path / "a_probability_2.png"]
    wanted = Wanted(tmp_path, probabilities=True)
    with pytest.raises(BadUsage, match="would be written over"):
        check_names([files[1]], wanted, classes=3)
    elsewhere = Wanted(tmp_path / "out", probabilities=True)
    with pytest.raises(BadUsage, match="would both be written"):
        check_names(files, elsewhere, classes=3)
