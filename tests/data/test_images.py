import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_unet.config import DataConfig
from keras_unet.data import images
from keras_unet.data.images import grey_levels, image_shape, opened, read_image
from keras_unet.data.masks import read_values
from keras_unet.data.pair import Pair
from keras_unet.errors import BadData

MANY = 10**6
CARVANA = Path(__file__).parents[3] / "shared/data/carvana"
BINARY = DataConfig(mask_kind="binary", foreground_above=0)
RAMP = np.arange(48, dtype=np.uint8).reshape(6, 8)
PASCAL = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 128]


def save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def read_header(path: Path, check_pixels: bool = False) -> images.Header:
    with opened(path) as file:
        return images.read_header(file, MANY, check_pixels)


def grey(path: Path, **options: object) -> Path:
    return save(Image.fromarray(RAMP), path, **options)


def indexed(ids: list[list[int]], palette: list[int], path: Path) -> Path:
    mask = Image.fromarray(np.array(ids, np.uint8))
    mask.putpalette(palette)
    return save(mask, path)


def turned(path: Path, orientation: int, image: Image.Image) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return save(image, path, exif=exif)


@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.bmp", "a.tif", "a.webp"])
def test_a_grey_image_of_each_lossless_format_keeps_its_pixels(tmp_path, name):
    options = {"lossless": True} if name == "a.webp" else {}
    image = read_image(grey(tmp_path / name, **options), 1, MANY)
    np.testing.assert_array_equal(image[..., 0], RAMP)


def test_an_lzw_tiff_keeps_its_pixels(tmp_path):
    path = grey(tmp_path / "a.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(read_image(path, 1, MANY)[..., 0], RAMP)


def test_a_jpeg_is_read_as_rgb(tmp_path):
    path = save(Image.new("RGB", (8, 6), (200, 100, 50)), tmp_path / "a.jpg")
    np.testing.assert_allclose(read_image(path, 3, MANY)[0, 0], (200, 100, 50), atol=3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_gives_the_channels_asked_for(tmp_path, mode, channels):
    path = save(Image.new(mode, (8, 6)), tmp_path / "a.png")
    assert read_image(path, channels, MANY).shape == (6, 8, channels)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_become_their_upper_eight(tmp_path, name):
    wide = Image.fromarray(np.array([[0x1234, 0xFFFF]], np.uint16))
    image = read_image(save(wide, tmp_path / name), 1, MANY)
    assert image[..., 0].tolist() == [[0x12, 0xFF]]


def test_alpha_is_dropped_and_the_colour_beneath_kept(tmp_path):
    path = save(Image.new("RGBA", (2, 2), (9, 8, 7, 0)), tmp_path / "a.png")
    assert read_image(path, 3, MANY)[0, 0].tolist() == [9, 8, 7]


def test_a_palette_with_transparent_entries_is_read_without_a_warning(tmp_path):
    image = Image.new("P", (2, 2), 1)
    image.putpalette(PASCAL)
    path = save(image, tmp_path / "a.png", transparency=b"\x00\x80")
    assert read_image(path, 3, MANY)[0, 0].tolist() == [128, 0, 0]


def test_fractions_as_an_image_are_refused(tmp_path):
    path = save(Image.new("F", (2, 2)), tmp_path / "a.tif")
    with pytest.raises(BadData, match="holds fractions; write it with 8 or 16 bits"):
        read_image(path, 1, MANY)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
def test_image_and_mask_are_turned_upright_alike(tmp_path, name, orientation):
    path = turned(tmp_path / name, orientation, Image.fromarray(RAMP))
    image = read_image(path, 1, MANY)[..., 0]
    mask = read_values(Pair(path, path, ""), DataConfig())
    np.testing.assert_array_equal(image, mask)
    assert image_shape(path, MANY) == image.shape


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_an_image_lying_on_its_side_is_stood_up(tmp_path, name):
    path = turned(tmp_path / name, 6, Image.fromarray(RAMP))
    upright = read_image(path, 1, MANY)[..., 0]
    np.testing.assert_array_equal(upright, np.rot90(RAMP, -1))


def test_the_header_says_format_and_mode_whatever_the_name_says(tmp_path):
    path = save(Image.new("RGB", (8, 6)), tmp_path / "a.png", format="JPEG")
    header = read_header(path)
    assert (header.format, header.mode, header.shape) == ("JPEG", "RGB", (6, 8))


@pytest.mark.parametrize(
    "read", [lambda p: image_shape(p, MANY), lambda p: read_image(p, 3, 9)]
)
@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"no image", "is no image"),
        (None, "is not there"),
    ],
)
def test_a_file_that_is_no_image_is_named_with_its_cause(
    tmp_path, read, content, cause
):
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadData, match=f"a.jpg: {cause}"):
        read(path)


@pytest.mark.parametrize(
    "name", ["a.jpg", "a.png", "a.gif", "a.bmp", "a.tif", "a.webp"]
)
def test_a_truncated_file_is_refused(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = save(Image.fromarray(noise), tmp_path / name)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(BadData, match="damaged"):
        read_image(path, 3, MANY)


def test_a_truncated_jpeg_is_found_without_decoding_it_in_full(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = save(Image.fromarray(noise), tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(BadData, match="truncated"):
        read_header(path, check_pixels=True)


def test_an_image_over_the_limit_is_refused(tmp_path):
    with pytest.raises(
        BadData, match="8×6 pixels are more than --max-pixels 47 allows"
    ):
        read_image(grey(tmp_path / "a.png"), 1, 47)


def test_the_limit_and_not_pillows_decides(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3)
    assert read_image(grey(tmp_path / "a.png"), 1, 48).shape == (6, 8, 1)


def test_a_file_of_several_images_is_refused(tmp_path):
    path = grey(
        tmp_path / "a.tif", save_all=True, append_images=[Image.new("L", (8, 6))]
    )
    with pytest.raises(BadData, match="holds 2 images; write one file for each"):
        read_image(path, 1, MANY)


def test_a_broken_link_is_called_one(tmp_path):
    link = tmp_path / "a.png"
    link.symlink_to(tmp_path / "gone.png")
    with pytest.raises(BadData, match=r"a\.png: is a broken link"):
        read_image(link, 1, MANY)


@pytest.fixture
def somebody_else() -> Iterator[None]:
    if not hasattr(os, "geteuid"):
        pytest.skip("this system has no users to change to")
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield
    if root:
        os.seteuid(0)


def test_a_file_without_permission_is_refused(tmp_path, request):
    path = grey(tmp_path / "a.png")
    path.chmod(0)
    request.getfixturevalue("somebody_else")
    with pytest.raises(BadData, match=r"may not be read \(no permission\)"):
        read_image(path, 1, MANY)


@pytest.mark.parametrize("suffix", ["gif", "png"])
def test_a_palette_mask_cut_anywhere_is_unreadable_and_named(tmp_path, suffix):
    mask = Image.fromarray(np.random.default_rng(0).integers(0, 2, (40, 60), "uint8"))
    mask.putpalette([0, 0, 0, 255, 255, 255])
    whole = tmp_path / f"whole.{suffix}"
    mask.save(whole)
    content = whole.read_bytes()
    file = tmp_path / f"cut.{suffix}"
    for end in range(0, len(content) - 20, 7):
        file.write_bytes(content[:end])
        with pytest.raises(BadData, match=rf"cut\.{suffix}"):
            read_header(file, check_pixels=True)


def test_of_greys_there_is_a_level_for_every_index():
    levels = grey_levels(bytes([7, 7, 7, 250, 250, 250]))
    assert len(levels) == 256
    assert list(levels[:2]) == [7, 250]


@pytest.mark.parametrize("palette", [b"", bytes([0, 0, 0, 1, 2, 3])])
def test_without_greys_alone_there_are_no_levels(palette):
    assert grey_levels(palette) is None
