import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from keras_unet.data import images
from keras_unet.data.folders import opened
from keras_unet.data.images import find_white, image_shape, read_image, to_8_bits
from keras_unet.data.masks import read_values
from keras_unet.data.pair import Pair
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData, Undecodable

MANY = 10**6
ANY = DataConfig(max_pixels=MANY)
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
    image = read_image(grey(tmp_path / name, **options), 1, ANY)
    np.testing.assert_array_equal(image[..., 0], RAMP)


def test_an_lzw_tiff_keeps_its_pixels(tmp_path):
    path = grey(tmp_path / "a.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(read_image(path, 1, ANY)[..., 0], RAMP)


def test_a_jpeg_is_read_as_rgb(tmp_path):
    path = save(Image.new("RGB", (8, 6), (200, 100, 50)), tmp_path / "a.jpg")
    np.testing.assert_allclose(read_image(path, 3, ANY)[0, 0], (200, 100, 50), atol=3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_gives_the_channels_asked_for(tmp_path, mode, channels):
    path = save(Image.new(mode, (8, 6)), tmp_path / "a.png")
    assert read_image(path, channels, ANY).shape == (6, 8, channels)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_become_their_upper_eight(tmp_path, name):
    wide = Image.fromarray(np.array([[0x1234, 0xFFFF]], np.uint16))
    image = read_image(save(wide, tmp_path / name), 1, ANY)
    assert image[..., 0].tolist() == [[0x12, 0xFF]]


@pytest.mark.parametrize("name", ["a.png", "a.tif", "lzw.tif"])
@pytest.mark.parametrize("channels", [3, 4])
def test_all_16_bits_of_colours_are_read(tmp_path, name, channels):
    colours = np.random.default_rng(0).integers(0, 1024, (6, 8, channels))
    path = wide_colours(colours.astype(np.uint16), tmp_path / name)
    image = read_image(path, 3, DataConfig(white=1023))
    np.testing.assert_array_equal(image, colours[..., :3] >> 2)


def wide_colours(values: np.ndarray, path: Path) -> Path:
    """Writes colours of 16 bits, as Pillow cannot."""
    if path.suffix == ".png":
        height, width, channels = values.shape
        kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
        rows = values.astype(">u2").reshape(height, -1)
        chunks = [
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)),
            (b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))),
            (b"IEND", b""),
        ]
        content = b"".join(
            struct.pack(">I", len(data))
            + name
            + data
            + struct.pack(">I", zlib.crc32(name + data))
            for name, data in chunks
        )
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
        return path
    tifffile = pytest.importorskip("tifffile", reason="needs the extra tiff")
    compression = "lzw" if path.stem == "lzw" else None
    extra = ["UNASSALPHA"] if values.shape[-1] == 4 else None
    tifffile.imwrite(
        path, values, photometric="rgb", compression=compression, extrasamples=extra
    )
    return path


def test_grey_with_alpha_of_16_bits_says_that_it_is_not_read(tmp_path):
    path = wide_colours(np.ones((2, 2, 2), np.uint16), tmp_path / "a.png")
    with pytest.raises(BadData, match="grey with alpha, of 16 bits, which is not read"):
        read_image(path, 1, ANY)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_16_bits_with_0_for_white_are_refused_beside_8_that_are_turned(
    tmp_path, byteorder
):
    tifffile = pytest.importorskip("tifffile", reason="needs the extra tiff")
    for bits in (8, 16):
        values = np.full((2, 2), 2**bits - 1, f"uint{bits}")
        options = {"photometric": "miniswhite", "byteorder": byteorder}
        tifffile.imwrite(tmp_path / f"{bits}.tif", values, **options)
    assert read_image(tmp_path / "8.tif", 1, ANY).max() == 0
    with pytest.raises(BadData, match=r"16\.tif: is a TIFF .* has 0 for white"):
        read_image(tmp_path / "16.tif", 1, ANY)


def test_8_bits_are_read_as_ever_whatever_counts_as_white(tmp_path):
    image = read_image(grey(tmp_path / "a.png"), 1, DataConfig(white=1023))
    np.testing.assert_array_equal(image[..., 0], RAMP)


def test_values_below_zero_are_a_question(tmp_path):
    values = np.array([[-744, 792]], np.int32)
    path = save(Image.fromarray(values), tmp_path / "a.tif")
    with pytest.raises(
        BadData, match="signed 16 bits from about -800 to 800, as CT has"
    ):
        read_image(path, 1, ANY)


def test_alpha_is_dropped_and_the_colour_beneath_kept(tmp_path):
    path = save(Image.new("RGBA", (2, 2), (9, 8, 7, 0)), tmp_path / "a.png")
    assert read_image(path, 3, ANY)[0, 0].tolist() == [9, 8, 7]


def test_a_palette_with_transparent_entries_is_read_without_a_warning(tmp_path):
    image = Image.new("P", (2, 2), 1)
    image.putpalette(PASCAL)
    path = save(image, tmp_path / "a.png", transparency=b"\x00\x80")
    assert read_image(path, 3, ANY)[0, 0].tolist() == [128, 0, 0]


def test_fractions_as_an_image_are_refused(tmp_path):
    path = save(Image.new("F", (2, 2)), tmp_path / "a.tif")
    with pytest.raises(BadData, match="holds fractions; write it with 8 or 16 bits"):
        read_image(path, 1, ANY)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
def test_image_and_mask_are_turned_upright_alike(tmp_path, name, orientation):
    path = turned(tmp_path / name, orientation, Image.fromarray(RAMP))
    image = read_image(path, 1, ANY)[..., 0]
    mask = read_values(Pair(path, path, ""), ANY)
    np.testing.assert_array_equal(image, mask)
    assert image_shape(path, MANY) == image.shape


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_an_image_lying_on_its_side_is_stood_up(tmp_path, name):
    path = turned(tmp_path / name, 6, Image.fromarray(RAMP))
    upright = read_image(path, 1, ANY)[..., 0]
    np.testing.assert_array_equal(upright, np.rot90(RAMP, -1))


def test_the_header_says_format_and_mode_whatever_the_name_says(tmp_path):
    path = save(Image.new("RGB", (8, 6)), tmp_path / "a.png", format="JPEG")
    header = read_header(path)
    assert (header.format, header.mode, header.shape) == ("JPEG", "RGB", (6, 8))


@pytest.mark.parametrize(
    "read", [lambda p: image_shape(p, MANY), lambda p: read_image(p, 3, ANY)]
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
        read_image(path, 3, ANY)


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
        read_image(grey(tmp_path / "a.png"), 1, DataConfig(max_pixels=47))


def test_the_limit_and_not_pillows_decides(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3)
    assert read_image(grey(tmp_path / "a.png"), 1, DataConfig(max_pixels=48)).shape == (
        6,
        8,
        1,
    )


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.jpg", {"subsampling": 0}),
        ("a.jpg", {"subsampling": 2, "progressive": True}),
        ("a.tif", {}),
        ("a.tif", {"compression": "tiff_lzw"}),
        ("a.tif", {"compression": "jpeg"}),
        ("a.png", {}),
    ],
)
def test_a_large_image_has_the_same_pixels_decoded_without_pillow(
    tmp_path, monkeypatch, name, how
):
    pytest.importorskip("imagecodecs", reason="needs the extra tiff")
    noise = np.random.default_rng(0).integers(0, 256, (61, 83, 3), np.uint8)
    file = save(Image.fromarray(noise), tmp_path / name, **how)
    wanted = read_image(file, 3, DataConfig())
    monkeypatch.setattr(images, "LARGE", 0)
    if name != "a.png":
        monkeypatch.delattr(images, "_in_strips")
    np.testing.assert_array_equal(read_image(file, 3, DataConfig()), wanted)


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_a_large_image_that_is_cut_short_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr(images, "LARGE", 0)
    file = save(Image.effect_noise((261, 183), 50).convert("RGB"), tmp_path / name)
    file.write_bytes(file.read_bytes()[:-2000])
    with pytest.raises(BadData, match="truncated"):
        read_image(file, 3, DataConfig())


def test_a_file_of_several_images_is_refused(tmp_path):
    path = grey(
        tmp_path / "a.tif", save_all=True, append_images=[Image.new("L", (8, 6))]
    )
    with pytest.raises(BadData, match="holds 2 images; write one file for each"):
        read_image(path, 1, ANY)


def test_a_broken_link_is_called_one(tmp_path):
    link = tmp_path / "a.png"
    link.symlink_to(tmp_path / "gone.png")
    with pytest.raises(BadData, match=r"a\.png: is a broken link"):
        read_image(link, 1, ANY)


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
        read_image(path, 1, ANY)


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


ALL = np.arange(65536).astype(np.uint16)


@pytest.mark.parametrize("bits", range(8, 17))
def test_of_k_bits_the_upper_eight_are_kept(bits):
    values = ALL[: 2**bits]
    np.testing.assert_array_equal(to_8_bits(values, 2**bits - 1), values >> (bits - 8))


@given(st.integers(255, 65535))
def test_white_and_all_above_become_255_and_nothing_falls(white):
    levels = to_8_bits(ALL, white)
    assert levels[0] == 0
    assert set(levels[white:]) == {255}
    assert (np.diff(levels.astype(int)) >= 0).all()


def test_without_a_white_all_16_bits_count():
    assert to_8_bits(ALL[0x9234:0x9235], None).tolist() == [0x92]


def test_without_a_white_fewer_bits_are_a_question():
    with pytest.raises(Undecodable, match="--white 8191, or --white 65535"):
        to_8_bits(ALL[0x1234:0x1235], None)


def test_8_bits_stay_as_they_are():
    values = np.array([0, 7, 255], np.uint8)
    assert to_8_bits(values, 1023) is values


@pytest.mark.parametrize(
    ("brightest", "white"),
    [([3, 200], 255), ([256, 900], 1023), ([1024], 2047), ([40000], 65535)],
)
def test_white_is_the_largest_of_the_bits_that_are_used(brightest, white):
    assert find_white(brightest, None)[0] == white


def test_the_bits_that_are_used_are_said():
    assert find_white([900, 3], None)[1] == [
        "images: 16 bits of which 10 are used: 1023 counts as white (--white)"
    ]
    assert find_white([60000], None)[1] == []


def test_a_hot_pixel_beside_dark_images_is_said():
    white, notes = find_white([4000, 65535, 3900], None)
    assert white == 65535
    assert notes == [
        "images: 16 bits of which 16 are used: 65535 counts as white, but the median "
        "image's brightest pixel has 4000: --white 4095 would show it"
    ]


def test_what_the_user_says_stands_and_what_is_brighter_is_said():
    white, notes = find_white([900, 2000], 1000)
    assert white == 1000
    assert notes == [
        "images: 1 of 16 bits have values above --white 1000 (2000), which become "
        "white too"
    ]


def test_without_16_bits_there_is_nothing_to_find():
    assert find_white([], None) == (None, [])
