import os
import subprocess
import sys

import numpy as np
import pytest
from bright_run import SIZE, draw, load, make_run, square
from PIL import Image

from keras_unet.errors import BadUsage
from keras_unet.predict import main
from keras_unet.prediction.files import Wanted, check_names, segment
from keras_unet.prediction.inputs import Input, list_inputs
from keras_unet.prediction.segmenter import Segmenter


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


def named(file):
    return Input(file, file.relative_to(file.parent))


def test_progress_counts_the_images_that_failed(run, images, tmp_path):
    (images / "z.png").write_bytes(b"no image")
    files, _ = list_inputs([images])
    seen = []
    failed = segment(
        *(run, Segmenter(run), files, Wanted(tmp_path / "out")),
        lambda *counts: seen.append(counts),
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert [error.file.name for error in failed] == ["z.png"]


@pytest.mark.skipif(os.name == "nt", reason="Windows counts a path's signs instead")
def test_names_may_be_as_long_as_disks_take_and_those_too_long_fail_alone(
    run, images, tmp_path, capsys
):
    long, longest = "胞" * 80, "x" * 251
    for name in (long, longest):
        draw(images / f"{name}.png", square())
    to = ["--output", tmp_path / "out"]
    assert predict(run, images, *to) == 0
    assert predict(run, images, *to, "--overlay") == 1
    made = {path.name for path in (tmp_path / "out").glob("*.jpg")}
    assert made == {f"{name}_overlay.jpg" for name in ("a", "b", long)}
    said = (tmp_path / "out" / "failed.csv").read_text("utf-8")
    assert f"{longest}_overlay.jpg is too long a name for this disk" in said
    assert "1 failed" in capsys.readouterr().out


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
    files = [named(tmp_path / "x" / "A.jpg"), named(tmp_path / "y" / "a.jpg")]
    with pytest.raises(BadUsage, match="would both be written"):
        check_names(files, Wanted(tmp_path / "out"))


def test_probabilities_of_several_classes_are_not_written_over_an_input(tmp_path):
    files = [named(tmp_path / "a.png"), named(tmp_path / "a_probability_2.png")]
    wanted = Wanted(tmp_path, probabilities=True)
    with pytest.raises(BadUsage, match="would be written over"):
        check_names([files[1]], wanted, classes=3)
    elsewhere = Wanted(tmp_path / "out", probabilities=True)
    with pytest.raises(BadUsage, match="would both be written"):
        check_names(files, elsewhere, classes=3)


def test_masks_of_images_in_folders_lie_in_folders_of_the_same_names(
    run, images, tmp_path
):
    for place in ("a.png", "x/a.png", "x/y/b.png"):
        draw(images / place, square(shift=2))
    table = tmp_path / "submission.csv"
    out = tmp_path / "out"
    words = ["--output", out, "--overlay", "--probabilities", "--submission", table]
    assert predict(run, images, *words) == 0
    written = sorted(file.relative_to(out).as_posix() for file in out.rglob("*.png"))
    masks = ["a.png", "b.png", "x/a.png", "x/y/b.png"]
    assert [name for name in written if "_" not in name] == masks
    assert (out / "x/y/b_overlay.jpg").is_file()
    assert (out / "x/y/b_probability.png").is_file()
    assert [line.split(",")[0] for line in table.read_text().splitlines()[1:]] == masks


def test_an_output_within_the_input_is_not_taken_for_images(run, images):
    for _ in range(2):
        assert predict(run, images, "--output", images / "masks") == 0
        assert len(list((images / "masks").rglob("*.png"))) == 2


def test_two_images_of_one_name_in_two_inputs_are_refused(
    run, images, tmp_path, capsys
):
    draw(images / "x" / "c.png", square())
    draw(images / "y" / "c.png", square())
    inputs = [images / "x", images / "y"]
    assert predict(run, *inputs, "--output", tmp_path / "out") == 2
    assert "would both be written" in capsys.readouterr().err
    assert predict(run, images, "--output", tmp_path / "out") == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_pipes_are_named_and_the_others_are_done(run, images, tmp_path, capsys):
    os.mkfifo(images / "c.png")
    (images / "d.png").symlink_to(images / "c.png")
    inputs = [images, "/dev/zero"]
    assert predict(run, *inputs, "--output", tmp_path / "out") == 1
    assert capsys.readouterr().err.splitlines() == [
        f"error: {path}: is a pipe, socket or device, not a file"
        for path in [images / "c.png", images / "d.png", "/dev/zero"]
    ]
    assert {file.stem for file in (tmp_path / "out").glob("*.png")} == {"a", "b"}


def test_a_run_in_tiles_writes_the_same_masks_of_large_and_small_images(tmp_path):
    run = make_run(tmp_path / "run", resolution=1.0, tile_size=SIZE)
    large = np.kron(square(), np.ones((5, 4), np.uint8))
    draw(tmp_path / "in" / "a.png", large)
    draw(tmp_path / "in" / "b.png", square())
    (tmp_path / "in" / "c.png").write_bytes(b"no image")
    words = ["--output", tmp_path / "out", "--overlay", "--probabilities"]
    assert predict(run, tmp_path / "in", *words) == 1
    np.testing.assert_array_equal(load(tmp_path / "out" / "a.png"), large * 255)
    np.testing.assert_array_equal(load(tmp_path / "out" / "b.png"), square() * 255)
    assert (load(tmp_path / "out" / "a_probability.png") > 32767).sum() == large.sum()


def test_images_are_read_and_masks_written_beside_the_network(run, tmp_path):
    for number in range(40):
        draw(tmp_path / "in" / f"{number}.png", square(shift=number % 9))
    (tmp_path / "in" / "7.png").write_bytes(b"no image")
    assert predict(run, tmp_path / "in", "--output", tmp_path / "out") == 1
    for number in set(range(40)) - {7}:
        wanted = square(shift=number % 9) * 255
        np.testing.assert_array_equal(load(tmp_path / "out" / f"{number}.png"), wanted)


PEAK = """
import re, sys
from keras_unet.predict import main
status = main(sys.argv[1:])
# Not getrusage: its peak is that of the tests' process, if that is higher.
print(status, re.search("VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted otherwise")
@pytest.mark.parametrize(
    ("size", "data"),
    [
        # Of so many pixels that the copies of a file would count.
        ((8000, 8000), {}),
        ((6000, 6000), {"resolution": 0.25, "tile_size": (256, 256)}),
        # As wide as the largest that is promised.
        ((20_000, 900), {"resolution": 1.0, "tile_size": (512, 512)}),
    ],
)
def test_large_images_take_the_memory_of_one_of_them_and_a_gigabyte(
    tmp_path, size, data
):
    run = make_run(tmp_path / "run", **data)
    pixels = size[0] * size[1]
    bright = np.random.default_rng(0).integers(192, 256, (500, 500, 3), np.uint8)
    repeated = np.resize(bright, (size[1], size[0], 3))
    (tmp_path / "in").mkdir()
    # As noise would be, the file is as large as its pixels.
    Image.fromarray(repeated).save(tmp_path / "in" / "a.png", compress_level=0)
    os.link(tmp_path / "in" / "a.png", tmp_path / "in" / "b.png")
    words = [run.path, tmp_path / "in", "--output", tmp_path / "out"]
    command = [sys.executable, "-c", PEAK, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    status, kilobytes = done.stdout.split()[-2:]
    assert status == "0"
    assert int(kilobytes) * 1024 < 4 * pixels + 2**30
    assert load(tmp_path / "out" / "b.png").min() == 255
