from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_unet.data.gif import read_long_strings
from keras_unet.data.nearest import nearest_pixels

CARVANA = Path(__file__).parents[3] / "shared/data/carvana/train_masks"
PALETTE = [0, 0, 0, 255, 255, 255, 200, 10, 10, 0, 0, 90]

boxes = st.lists(
    st.tuples(
        st.integers(0, 590),
        st.integers(0, 790),
        st.integers(5, 300),
        st.integers(5, 300),
        st.integers(0, 3),
    ),
    max_size=3,
)


def save(pixels: np.ndarray, path: Path, **options: object) -> Path:
    image = Image.fromarray(pixels)
    image.putpalette(PALETTE)
    image.save(path, **{"interlace": 0, **options})
    return path


def pillows(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def read(path: Path) -> Image.Image | None:
    with Image.open(path) as image:
        return read_long_strings(image)


@settings(deadline=None, max_examples=25)
@given(boxes)
def test_pixels_and_palette_are_those_that_pillow_reads(tmp_path_factory, drawn):
    pixels = np.zeros((600, 800), np.uint8)
    for row, column, height, width, value in drawn:
        pixels[row : row + height, column : column + width] = value
    path = save(pixels, tmp_path_factory.mktemp("gif") / "mask.gif")
    picture = read(path)
    assume(picture is not None)
    np.testing.assert_array_equal(picture, pillows(path))
    assert picture.getpalette()[:12] == pillows(path).getpalette()[:12]


def test_of_a_sampled_picture_there_are_the_nearest_pixels(tmp_path):
    pixels = np.repeat(np.arange(600) // 200, 800).reshape(600, 800).astype(np.uint8)
    path = save(pixels, tmp_path / "mask.gif")
    with Image.open(path) as image:
        picture = read_long_strings(image, (60, 80))
    np.testing.assert_array_equal(picture, nearest_pixels(pixels, (60, 80)))


def test_a_palette_without_colours_is_applied(tmp_path):
    pixels = np.zeros((1200, 1600), np.uint8)
    pixels[100:400, 50:500], pixels[450:] = 1, 2
    image = Image.fromarray(pixels)
    image.putpalette([9, 9, 9, 255, 255, 255, 80, 80, 80])
    image.save(tmp_path / "mask.gif", interlace=0)
    picture = read(tmp_path / "mask.gif")
    assert picture.mode == "L"
    np.testing.assert_array_equal(picture, np.array([9, 255, 80], np.uint8)[pixels])


def test_pictures_of_short_strings_are_left_to_pillow(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 4, (60, 80)).astype(np.uint8)
    assert read(save(pixels, tmp_path / "noise.gif")) is None


def test_interlaced_pictures_are_left_to_pillow(tmp_path):
    pixels = np.zeros((600, 800), np.uint8)
    assert read(save(pixels, tmp_path / "other.gif", interlace=1)) is None


def test_a_cut_file_is_left_to_pillow_which_names_what_is_wrong(tmp_path):
    pixels = np.zeros((600, 800), np.uint8)
    pixels[100:400, 50:500] = 1
    path = save(pixels, tmp_path / "cut.gif")
    path.write_bytes(path.read_bytes()[:-200])
    assert read(path) is None


def test_other_formats_are_left_to_pillow(tmp_path):
    assert read(save(np.zeros((600, 800), np.uint8), tmp_path / "mask.png")) is None


@pytest.mark.real_data
@pytest.mark.skipif(not CARVANA.is_dir(), reason=f"needs {CARVANA}")
def test_carvanas_masks_are_read_this_way_and_right():
    for path in sorted(CARVANA.iterdir())[::40]:
        np.testing.assert_array_equal(read(path), pillows(path).convert("L"))
