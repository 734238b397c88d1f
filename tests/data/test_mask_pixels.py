import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from keras_unet.data.images import Undecodable
from keras_unet.data.mask_pixels import (
    MaskPixels,
    count_values,
    look_at_mask,
    nearest_pixels,
)
from keras_unet.data_config import DataConfig


def saved(image: Image.Image, kind: str, **options: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file


def test_each_pixel_of_a_mask_is_the_one_nearest_to_its_middle():
    mask = np.arange(6, dtype=np.uint8)[None]
    assert nearest_pixels(mask, (1, 2)).tolist() == [[1, 4]]
    assert nearest_pixels(mask[:, :2], (1, 4)).tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize(
    ("mode", "readings"),
    [
        ("1", ["levels"]),
        ("L", ["levels"]),
        ("I;16", ["levels"]),
        ("F", ["levels"]),
        ("LA", ["levels", "alpha"]),
        ("RGB", ["levels", "colours"]),
        ("RGBA", ["levels", "colours", "alpha"]),
        ("CMYK", ["levels", "colours"]),
    ],
)
def test_a_file_can_be_read_in_all_ways_that_its_pixels_have(mode, readings):
    assert MaskPixels(Image.new(mode, (2, 2))).readings() == readings


def test_a_palette_has_indices_and_colours():
    mask = Image.fromarray(np.array([[0, 1]], np.uint8))
    mask.putpalette([0, 0, 0, 0x12, 0x34, 0x56])
    pixels = MaskPixels(mask)
    assert pixels.readings() == ["indices", "colours"]
    assert pixels.values("indices").tolist() == [[0, 1]]
    assert pixels.values("colours").tolist() == [[0, 0x123456]]


def test_what_alpha_hides_counts_as_black():
    mask = Image.fromarray(np.array([[[9, 8, 7, 0], [9, 8, 7, 1]]], np.uint8))
    assert MaskPixels(mask).values("colours").tolist() == [[0, 0x090807]]
    assert MaskPixels(mask).values("alpha").tolist() == [[0, 1]]


@pytest.mark.parametrize("size", [None, (1, 2), (2, 4)])
def test_alpha_hides_grey_at_any_size(size):
    mask = Image.fromarray(np.array([[[9, 0], [9, 1]]], np.uint8), "LA")
    values = MaskPixels(mask, size).values("levels")
    assert values[0].tolist() == ([0, 0, 9, 9] if size == (2, 4) else [0, 9])
    assert values.dtype == np.uint8


@pytest.mark.parametrize("reading", ["levels", "indices", "alpha"])
def test_colours_have_no_other_reading(reading):
    with pytest.raises(Undecodable, match=r"holds colours|has no alpha channel"):
        MaskPixels(Image.new("RGB", (1, 1), (1, 2, 3))).values(reading)


@pytest.mark.parametrize(
    ("kind", "options", "lossy"),
    [
        ("JPEG", {}, True),
        ("WEBP", {}, True),
        ("WEBP", {"lossless": True}, False),
        ("TIFF", {"compression": "jpeg"}, True),
        ("TIFF", {"compression": "tiff_lzw"}, False),
        ("PNG", {}, False),
    ],
)
def test_a_look_tells_whether_the_file_keeps_values(kind, options, lossy):
    file = saved(Image.new("RGB", (16, 16), (255, 255, 255)), kind, **options)
    assert look_at_mask(file, DataConfig()).lossy == lossy


@given(
    arrays.arrays(
        st.sampled_from([np.uint8, np.int32]),
        arrays.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=9),
        elements=st.integers(0, 5),
    )
)
def test_every_pixel_is_counted_once(mask):
    stats = count_values(mask)
    assert stats.counts == {v: int((mask == v).sum()) for v in np.unique(mask).tolist()}
    assert sum(stats.border.values()) == 2 * sum(mask.shape) - 4


def test_pixels_of_a_line_are_not_flat():
    mask = np.zeros((30, 30), np.uint8)
    mask[10], mask[20:28, 5:25] = 1, 2
    stats = count_values(mask)
    assert stats.flat.get(1, 0) == 0
    assert stats.flat[2] == 7 * 19


@pytest.mark.parametrize("kind", [np.uint8, np.int32])
def test_pieces_of_each_value_are_counted_and_specks_left_out(kind):
    mask = np.zeros((40, 40), kind)
    mask[2:12, 2:12] = mask[20:30, 20:30] = 3
    mask[2:12, 20:30], mask[35, 35] = 7, 7
    assert count_values(mask).pieces == {0: 1, 3: 2, 7: 1}
