import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from keras_unet.data.images import image_shape, read_image
from keras_unet.data.masks import read_values
from keras_unet.data.pair import Pair
from keras_unet.data.pillow import grey_levels
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData
from keras_unet.export import client, tflite_client

ANY = DataConfig()
RAMP = np.arange(48, dtype=np.uint8).reshape(6, 8)


def with_late_exif(path, orientation):
    """Puts EXIF data behind the pixels of a PNG."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = b"eXIf" + data
    chunk = struct.pack(">I", len(data)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    content = path.read_bytes()
    path.write_bytes(content[:-12] + chunk + content[-12:])
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_behind_the_pixels_of_a_png_counts_nowhere(tmp_path, orientation):
    Image.fromarray(RAMP).save(tmp_path / "a.png")
    file = with_late_exif(tmp_path / "a.png", orientation)
    assert image_shape(file, 48) == (6, 8)
    np.testing.assert_array_equal(read_image(file, 1, ANY)[..., 0], RAMP)
    np.testing.assert_array_equal(read_values(Pair(file, file, ""), ANY), RAMP)
    np.testing.assert_array_equal(tflite_client.read(file)[..., 0], RAMP)
    assert client.upright(file) == file.read_bytes()


@pytest.mark.parametrize(
    ("brands", "name"),
    [
        (b"heic\0\0\0\0mif1heic", "a HEIC image"),
        (b"mif1\0\0\0\0mif1heic", "a HEIC image"),
        (b"avif\0\0\0\0avifmif1", "an AVIF image"),
        (b"mif1\0\0\0\0mif1avif", "an AVIF image"),
    ],
)
def test_what_phones_write_is_named_with_what_to_do(tmp_path, brands, name):
    file = tmp_path / "a.heic"
    file.write_bytes(struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + bytes(99))
    with pytest.raises(BadData, match=f"is {name}, .* convert it to JPEG or PNG"):
        read_image(file, 3, ANY)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "lzw.tif", "a.gif", "a.webp"])
def test_pillows_limit_is_never_heard_of_whatever_other_threads_do(tmp_path, name):
    options = {"compression": "tiff_lzw"} if name == "lzw.tif" else {}
    Image.fromarray(RAMP).save(tmp_path / name, **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        readers = [
            threading.Thread(
                target=lambda: [read_image(tmp_path / name, 1, ANY) for _ in range(20)]
            )
            for _ in range(4)
        ]
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, 30
        try:
            for reader in readers:
                reader.start()
            for reader in readers:
                reader.join()
            assert Image.MAX_IMAGE_PIXELS == 30
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    assert [str(warning.message) for warning in caught] == []


@pytest.mark.parametrize("name", ["a.tif", "lzw.tif", "a.webp", "a.gif"])
def test_max_pixels_may_be_larger_than_pillows_limit(tmp_path, monkeypatch, name):
    options = {"compression": "tiff_lzw"} if name == "lzw.tif" else {}
    Image.fromarray(RAMP).save(tmp_path / name, **options)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3)
    assert read_image(tmp_path / name, 1, DataConfig(max_pixels=48)).shape == (6, 8, 1)


def test_of_greys_there_is_a_level_for_every_index():
    levels = grey_levels(bytes([7, 7, 7, 250, 250, 250]))
    assert len(levels) == 256
    assert list(levels[:2]) == [7, 250]


@pytest.mark.parametrize("palette", [b"", bytes([0, 0, 0, 1, 2, 3])])
def test_without_greys_alone_there_are_no_levels(palette):
    assert grey_levels(palette) is None
