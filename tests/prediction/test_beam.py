"""The exported network over a file pattern on Apache Beam's embedded runner."""

import csv
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from bright_run import draw, load, make_run
from PIL import Image

from keras_unet.errors import BadData
from keras_unet.export.saved_model import write_saved_model
from keras_unet.predict import main as predict
from keras_unet.prediction import beam
from keras_unet.prediction.weights_file import load_network

# Beside beam, whose import warns, the tests' own process stays as it is.
needs_beam = pytest.mark.skipif(
    find_spec("apache_beam") is None, reason="needs the extra beam"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    values = {"mask_kind": "classes", "class_values": (9, 7)}
    run = make_run(tmp_path_factory.mktemp("run"), classes=2, **values)
    write_saved_model(load_network(run), run.load_config(), run.saved_model / "1")
    return run


def on_beam(*words):
    command = [sys.executable, "-m", "keras_unet.prediction.beam", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rows_of(file):
    with file.open(newline="") as stream:
        return list(csv.reader(stream))


def make_images(folder, count=64):
    """Writes JPEGs and PNGs in two folders, some of which EXIF turns."""
    rng = np.random.default_rng(0)
    for index in range(count):
        shape = rng.integers(1, 60, 2)
        mask = (rng.random(shape) < 0.3).astype(np.uint8)
        place = folder / ("a" if index % 3 else "b/c") / f"{index:02}"
        if index % 4 == 3:
            draw(place.with_suffix(".png"), mask)
            continue
        draw(place.with_suffix(".bmp"), mask)
        exif = Image.Exif()
        exif[0x0112] = 6 if index % 4 else 1
        with Image.open(place.with_suffix(".bmp")) as image:
            image.save(place.with_suffix(".jpg"), quality=90, exif=exif)
        place.with_suffix(".bmp").unlink()


@needs_beam
@pytest.mark.slow
@pytest.mark.process
def test_masks_and_submission_are_those_of_predict(run, tmp_path):
    images, out, wanted = (tmp_path / name for name in ("in", "out", "wanted"))
    make_images(images)
    broken = images / "a" / "broken.jpg"
    broken.write_bytes(b"no image")
    cut = images / "a" / "cut.jpg"
    cut.write_bytes((images / "a" / "01.jpg").read_bytes()[:-200])
    words = ["--submission", tmp_path / "wanted.csv"]
    words = [run.path, images, "--output", wanted, *words]
    assert predict([*map(str, words)]) == 1
    words = ["--output", out, "--submission", tmp_path / "out.csv"]
    done = on_beam(run.path, images / "**", *words)
    assert done.returncode == 1
    assert f"64 masks in {out}" in done.stdout
    failed = [row[0] for row in rows_of(out / "failed.csv")]
    assert failed == ["file", str(broken), str(cut)]
    assert f"error: {broken}: " in done.stderr
    masks = [file.relative_to(wanted) for file in sorted(wanted.rglob("*.png"))]
    assert [file.relative_to(out) for file in sorted(out.rglob("*.png"))] == masks
    assert len(masks) == 64
    for name in masks:
        np.testing.assert_array_equal(load(out / name), load(wanted / name))
    assert (tmp_path / "out.csv").read_text() == (tmp_path / "wanted.csv").read_text()


@needs_beam
@pytest.mark.process
@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--sumbission", "x.csv"], 2, "--sumbission: neither a flag of this command"),
        (["--output", "in"], 2, "car.png would be written over"),
    ],
)
def test_wrong_flags_are_told_before_any_work(run, tmp_path, words, status, message):
    draw(tmp_path / "in" / "car.png", np.ones((4, 4), np.uint8))
    words = [str(tmp_path / word) if word == "in" else word for word in words]
    done = on_beam(
        run.path, tmp_path / "in/*.png", "--output", tmp_path / "out", *words
    )
    assert done.returncode == status
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


@needs_beam
@pytest.mark.process
def test_a_pattern_of_no_file_is_named(run, tmp_path):
    done = on_beam(run.path, tmp_path / "*.png", "--output", tmp_path / "out")
    assert done.returncode == 1
    assert "*.png: there is no such file" in done.stderr


def test_the_newest_model_of_a_run_is_found(tmp_path):
    run = make_run(tmp_path / "run")
    for version in ("2", "10"):
        file = run.saved_model / version / "saved_model.pb"
        file.parent.mkdir(parents=True)
        file.touch()
    newest = str(run.saved_model / "10")
    for place in (run.path, run.saved_model, run.saved_model / "10"):
        model, config = beam.find_model(str(place))
        assert model == newest
        assert config == run.load_config()
    assert beam.find_model("gs://cars/saved_model/1") == (
        "gs://cars/saved_model/1",
        None,
    )


def test_a_run_without_a_model_is_told_how_to_make_one(tmp_path):
    run = make_run(tmp_path / "run")
    with pytest.raises(BadData, match=r"export .* --formats saved_model"):
        beam.find_model(str(run.path))


def test_run_lengths_of_a_model_alone_are_a_question(capsys):
    if find_spec("apache_beam") is None:
        pytest.skip("needs the extra beam")
    words = ["gs://cars/1", "*.png", "--output", "out", "--submission", "x.csv"]
    assert beam.main(words) == 2
    assert "--run-lengths rows or columns" in capsys.readouterr().err


@pytest.mark.skipif(find_spec("apache_beam") is not None, reason="Beam is there")
def test_without_beam_the_extra_is_named(capsys):
    assert beam.main(["run", "*.png", "--output", "out"]) == 2
    assert "keras-unet-studio[beam]" in capsys.readouterr().err


def test_help_loads_neither_beam_nor_tensorflow():
    code = (
        "import sys, keras_unet.prediction.beam as entry\n"
        "try: entry.main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit('tensorflow' in sys.modules or 'apache_beam' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
