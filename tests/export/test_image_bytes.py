import dataclasses
import io

import numpy as np
import pytest
import tensorflow as tf
import tiny_run
from PIL import Image

from keras_unet.export.saved_model import write_saved_model
from keras_unet.prediction.segmenter import load_network

MAX_PIXELS = 20_000


def exported(run, folder):
    write_saved_model(load_network(run), run.load_config(), folder / "1")
    return tf.saved_model.load(str(folder / "1"))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return exported(tiny_run.trained(), tmp_path_factory.mktemp("saved_model"))


def encoded(image, kind, **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def masks_of(loaded, *images):
    found = loaded.signatures["serving_default"](image_bytes=tf.constant(images))
    files = found["mask_png_bytes"].numpy()
    return [np.asarray(Image.open(io.BytesIO(file))) for file in files]


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    run = tiny_run.trained()
    config = run.load_config()
    data = dataclasses.replace(config.data, max_pixels=MAX_PIXELS)
    folder = tmp_path_factory.mktemp("strict") / "1"
    write_saved_model(load_network(run), dataclasses.replace(config, data=data), folder)
    return tf.saved_model.load(str(folder))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "JPEG"])
def test_an_image_above_the_pixel_limit_is_named_by_its_position(strict, kind):
    small, large = np.zeros((10, 10, 3), np.uint8), np.zeros((101, 200, 3), np.uint8)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"above 20000.*\n?.*1"):
        masks_of(strict, encoded(small, kind), encoded(large, kind))


def test_a_gif_whose_frame_is_larger_than_its_header_says_is_refused(strict):
    content = bytearray(encoded(np.zeros((300, 300, 3), np.uint8), "GIF"))
    content[6:10] = b"\x0a\x00\x0a\x00"
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"above 20000"):
        masks_of(strict, bytes(content))


def test_the_frames_of_a_gif_count_together(strict):
    frames = [Image.fromarray(tiny_run.make_image(seed)[0]) for seed in range(4)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"above 20000"):
        masks_of(strict, file.getvalue())


@pytest.mark.parametrize("length", range(10, 40, 3))
def test_a_gif_that_ends_anywhere_fails_and_nothing_hangs(strict, length):
    content = encoded(tiny_run.make_image(0)[0], "GIF")[:length]
    with pytest.raises(tf.errors.InvalidArgumentError):
        masks_of(strict, content)
