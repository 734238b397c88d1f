import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_unet.data import resize
from keras_unet.data.images import read_image
from keras_unet.data.resize import (
    read_at_own_size,
    read_resized,
    resize_image,
    resize_rows,
)
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData

SIDES = st.integers(1, 40)
SIZES = st.tuples(SIDES, SIDES)


def noise(size: tuple[int, int], channels: int = 3) -> np.ndarray:
    values = np.random.default_rng(0).integers(0, 256, (*size, channels))
    return values.astype(np.uint8)


def test_shrinking_by_two_averages_four_pixels():
    image = noise((6, 8)).astype(np.float32)
    means = image.reshape(3, 2, 4, 2, 3).mean((1, 3))
    np.testing.assert_allclose(resize_image(image, (3, 4)), means, atol=1e-3)


def test_an_image_of_the_size_already_is_itself_as_float32():
    image = noise((5, 7))
    resized = resize_image(image, (5, 7))
    assert resized.dtype == tf.float32
    np.testing.assert_array_equal(resized, image)


@settings(deadline=None, max_examples=40)
@given(SIZES, SIZES)
def test_an_image_of_one_colour_keeps_it_at_every_size(old, new):
    image = np.full((*old, 3), (0, 100, 255), np.uint8)
    resized = resize_image(image, new)
    # TensorFlow adds up the shares of an area in float32: 255 · 2⁻²³ a sum.
    np.testing.assert_allclose(
        resized, np.broadcast_to(image[0, 0], (*new, 3)), atol=64 * 255 * 2**-23
    )


@settings(deadline=None, max_examples=40)
@given(SIZES, SIZES)
def test_no_value_leaves_the_range_of_the_image(old, new):
    image = noise(old)
    resized = np.asarray(resize_image(image, new))
    assert image.min() - 1e-3 <= resized.min() <= resized.max() <= image.max() + 1e-3


@pytest.mark.parametrize("size", [(3, 4), (3, 30), (20, 30)])
def test_a_graph_that_does_not_know_the_size_gives_the_same(size):
    unknown = tf.TensorSpec((None, None, None), tf.uint8)
    in_graph = tf.function(lambda x: resize_image(x, size), input_signature=[unknown])
    image = noise((9, 11))
    np.testing.assert_array_equal(in_graph(image), resize_image(image, size))


def test_a_batch_is_resized_image_by_image():
    images = np.stack([noise((9, 11)), 255 - noise((9, 11))])
    each = [resize_image(image, (4, 20)) for image in images]
    np.testing.assert_allclose(resize_image(images, (4, 20)), each, atol=1e-4)


@settings(deadline=None, max_examples=60)
@given(SIZES, SIZES, st.floats(0, 1), st.floats(0, 1))
def test_some_rows_are_those_of_the_whole_image(old, new, begin, share):
    image = noise(old)
    first = int(begin * (new[0] - 1))
    last = first + 1 + int(share * (new[0] - first - 1))
    wanted = resize_image(image, new)[first:last]
    for array in (image, tf.constant(image)):
        rows = resize_rows(array, new, first, last)
        np.testing.assert_allclose(rows, wanted, atol=0.01)


TURNED = Image.Exif()
TURNED[0x0112] = 6
FILES = [
    ("a.jpg", "RGB", {"subsampling": 0}),
    ("a.jpg", "RGB", {"subsampling": 1}),
    ("a.jpg", "RGB", {"subsampling": 2, "progressive": True}),
    ("a.jpg", "RGB", {"exif": TURNED}),
    ("a.jpg", "L", {}),
    ("a.jpg", "CMYK", {}),
    ("a.png", "RGB", {}),
    ("a.png", "RGB", {"exif": TURNED}),
    ("a.png", "RGB", {"transparency": (1, 2, 3)}),
    ("a.png", "RGBA", {}),
    ("a.png", "L", {}),
    ("a.png", "LA", {}),
    ("a.png", "P", {}),
    ("a.png", "1", {}),
    ("a.png", "I;16", {}),
]


@pytest.mark.parametrize(("name", "mode", "how"), FILES)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_has_the_same_pixels_read_fast(tmp_path, name, mode, how, channels):
    file = tmp_path / name
    image = Image.fromarray(noise((61, 83), channels=4), "RGBA")
    if mode.startswith("I"):
        image = Image.fromarray(noise((61, 83), 1)[..., 0] * np.uint16(256))
    elif mode != "RGBA":
        image = image.convert("LA" if mode == "LA" else "RGB").convert(mode)
    image.save(file, **how)
    data = DataConfig()
    np.testing.assert_array_equal(
        read_at_own_size(file, channels, data), read_image(file, channels, data)
    )


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_a_file_cut_short_is_refused_in_the_same_words(tmp_path, name):
    """Pillow's: it is asked whatever TensorFlow refuses, such as large JPEGs."""
    file = tmp_path / name
    Image.fromarray(noise((61, 83))).save(file)
    file.write_bytes(file.read_bytes()[:2000])
    causes = []
    for read in (read_image, read_at_own_size, read_resized):
        with pytest.raises(BadData, match="truncated") as caught:
            read(file, 3, DataConfig())
        causes.append(str(caught.value))
    assert len(set(causes)) == 1


def random_probability(size, classes):
    rng = np.random.default_rng(0)
    probability = rng.random((*size, classes), np.float32)
    return probability / probability.sum(-1, keepdims=True)


# The large ones take several strips.
SIZES = [
    ((48, 64), (60, 90), 2),
    ((48, 64), (48, 64), 3),
    ((64, 64), (31, 17), 2),
    ((32, 48), (2999, 1777), 2),
    ((32, 48), (1001, 3333), 5),
    ((3, 2), (1, 1), 2),
]


@pytest.mark.parametrize(("small", "size", "classes"), SIZES)
@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_strips_are_tensorflow_s_resized_image_to_the_bit(small, size, classes, rows):
    probability = random_probability(small, classes)
    wanted = tf.image.resize(probability, size).numpy()
    cuts = [slice(top, top + rows) for top in range(0, small[0], rows)]
    stream = ((cut, probability[cut]) for cut in cuts)
    for strips in (
        resize.strips(probability, size),
        resize.resampled(stream, small[0], size),
    ):
        came = np.full((*size, classes), np.nan, np.float32)
        for place, strip in strips:
            assert strip.size <= max(resize.STRIP, size[1] * classes)
            came[place] = strip
        np.testing.assert_array_equal(came, wanted)
