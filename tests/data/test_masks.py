import numpy as np
import pytest
from PIL import Image

from keras_unet.config import DataConfig
from keras_unet.data.masks import nearest_pixels, read_mask
from keras_unet.data.pair import Pair
from keras_unet.errors import BadData

DATA = DataConfig(mask_kind="classes", class_values=(0, 9))


def save(pixels: list[list[int]], path):
    Image.fromarray(np.array(pixels, np.uint8)).save(path)
    return path


def test_a_mask_file_becomes_class_ids(tmp_path):
    mask = save([[0, 9, 9]], tmp_path / "m.png")
    assert read_mask(Pair(mask, mask, "g"), DATA).tolist() == [[0, 1, 1]]


def test_run_lengths_become_class_ids_of_the_images_size(tmp_path):
    image = save([[5, 5, 5], [5, 5, 5]], tmp_path / "i.png")
    data = DataConfig(mask_kind="binary", foreground_above=0)
    assert read_mask(Pair(image, None, "g", "2 3"), data).tolist() == [
        [0, 1, 1],
        [1, 0, 0],
    ]


def test_wrong_run_lengths_name_their_image(tmp_path):
    image = save([[5, 5]], tmp_path / "i.png")
    with pytest.raises(BadData, match=r"i\.png: its mask: .*inside the 1×2 picture"):
        read_mask(Pair(image, None, "g", "1 9"), DATA)


def test_an_unknown_value_names_its_file(tmp_path):
    mask = save([[0, 7]], tmp_path / "m.png")
    with pytest.raises(BadData, match=r"m\.png: unknown mask value 7"):
        read_mask(Pair(mask, mask, "g"), DATA)


def test_a_smaller_mask_is_made_of_its_nearest_pixels(tmp_path):
    mask = save([[0, 0, 9, 9], [0, 0, 9, 9]], tmp_path / "m.png")
    assert read_mask(Pair(mask, mask, "g"), DATA, (1, 2)).tolist() == [[0, 1]]


def test_run_lengths_are_read_at_another_size_too(tmp_path):
    image = save([[5, 5, 5, 5], [5, 5, 5, 5]], tmp_path / "i.png")
    data = DataConfig(mask_kind="binary", foreground_above=0)
    pair = Pair(image, None, "g", "3 2 7 2")
    assert read_mask(pair, data, (1, 2)).tolist() == [[0, 1]]


def test_a_pair_without_any_mask_is_named(tmp_path):
    image = save([[5, 5]], tmp_path / "i.png")
    with pytest.raises(BadData, match=r"i\.png: has neither a mask file nor run"):
        read_mask(Pair(image, None, "g"), DATA)


def test_each_pixel_of_a_mask_is_the_one_nearest_to_its_middle():
    mask = np.arange(6, dtype=np.uint8)[None]
    assert nearest_pixels(mask, (1, 2)).tolist() == [[1, 4]]
    assert nearest_pixels(mask[:, :2], (1, 4)).tolist() == [[0, 0, 1, 1]]
