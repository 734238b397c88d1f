import io

import numpy as np
import pytest
import tiny_run
from PIL import Image

from keras_unet.export import client


def mask_in(file):
    return np.asarray(Image.open(file))


def test_the_client_turns_an_image_that_lies_on_its_side(tmp_path):
    upright = Image.fromarray(tiny_run.make_image(0)[0])
    exif = Image.Exif()
    exif[client.ORIENTATION] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "p.png", exif=exif)
    sent = mask_in(io.BytesIO(client.upright(tmp_path / "p.png")))
    np.testing.assert_array_equal(sent, np.asarray(upright))


def test_the_client_sends_an_upright_jpeg_as_it_is(tmp_path):
    Image.fromarray(tiny_run.make_image(0)[0]).save(tmp_path / "p.jpg")
    assert client.upright(tmp_path / "p.jpg") == (tmp_path / "p.jpg").read_bytes()


@pytest.mark.parametrize("name", ["p.webp", "p.gif", "p.bmp", "p.tif"])
@pytest.mark.parametrize("mode", ["RGB", "P", "L", "1"])
def test_the_client_turns_formats_the_server_cannot_read_into_png(tmp_path, name, mode):
    Image.fromarray(tiny_run.make_image(0)[0]).convert(mode).save(tmp_path / name)
    sent = client.upright(tmp_path / name)
    assert sent.startswith(b"\x89PNG")
    with Image.open(tmp_path / name) as image:
        wanted = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(mask_in(io.BytesIO(sent)), wanted)


@pytest.mark.parametrize("order", "<>")
def test_the_client_keeps_all_16_bits(tmp_path, order):
    tifffile = pytest.importorskip("tifffile", reason="needs the extra tiff")
    deep = np.arange(60_000, dtype=np.uint16).reshape(200, 300)
    tifffile.imwrite(tmp_path / "p.tif", deep, byteorder=order)
    sent = client.upright(tmp_path / "p.tif")
    np.testing.assert_array_equal(mask_in(io.BytesIO(sent)), deep)


def test_colours_of_16_bits_that_pillow_cuts_to_8_are_not_sent(tmp_path):
    tifffile = pytest.importorskip("tifffile", reason="needs the extra tiff")
    deep = np.full((9, 9, 3), 3184, np.uint16)
    tifffile.imwrite(tmp_path / "p.tif", deep, photometric="rgb")
    with pytest.raises(OSError, match=r"p\.tif has colours of 16 bits"):
        client.upright(tmp_path / "p.tif")
