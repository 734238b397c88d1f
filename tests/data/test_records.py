from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_unet.config import Config, FitConfig
from keras_unet.data import pipeline, records, records_index
from keras_unet.data.pair import Pair
from keras_unet.data.records_index import find_recorded
from keras_unet.data_config import AugmentConfig, DataConfig
from keras_unet.errors import BadData, BadUsage


def row(index, **changes):
    first, *others = index["records"]
    return index | {"records": [first | changes, *others]}


SIZE = (16, 24)
DATA = DataConfig(image_size=SIZE, mask_kind="binary", foreground_above=0, cache="none")
CONFIG = Config(
    data=DATA,
    augment=AugmentConfig(flip="horizontal"),
    fit=FitConfig(batch_size=2, epochs=2),
)


@pytest.fixture
def pairs(tmp_path) -> list[Pair]:
    (tmp_path / "files").mkdir()
    return [_pair(tmp_path / "files", number) for number in range(5)]


def _pair(folder: Path, number: int) -> Pair:
    row, column = np.mgrid[:32, :48]
    image = np.stack([row * 4, column * 4, row + column + 20 * number], -1)
    mask = (row - 16) ** 2 + (column - 20) ** 2 < (5 + number) ** 2
    Image.fromarray(image.astype(np.uint8)).save(folder / f"{number}.png")
    Image.fromarray(255 * mask.astype(np.uint8)).save(folder / f"{number}_mask.png")
    image, mask = folder / f"{number}.png", folder / f"{number}_mask.png"
    return Pair(image, mask, f"group {number // 2}")


def batches(pairs: list[Pair], config: Config = CONFIG) -> list:
    return list(pipeline.training_batches(pairs, config).as_numpy_iterator())


@pytest.mark.parametrize("coding", ["png", "raw"])
def test_from_records_without_loss_training_gets_the_very_same_batches(
    pairs, tmp_path, coding
):
    records.write_records(pairs, DATA, tmp_path / "out", coding)
    kept = find_recorded(tmp_path / "out").pairs
    for one, other in zip(batches(pairs), batches(kept), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_from_jpeg_coded_records_masks_are_exact_and_images_close(pairs, tmp_path):
    records.write_records(pairs, DATA, tmp_path / "out", "jpeg")
    kept = find_recorded(tmp_path / "out").pairs
    for one, other in zip(batches(pairs), batches(kept), strict=True):
        assert abs(one[0].astype(int) - other[0]).mean() < 5
        np.testing.assert_array_equal(one[1], other[1])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [SIZE, (1, 24), (16, 1)])
def test_raw_records_of_colours_are_read_in_grey_too(pairs, tmp_path, channels, size):
    data = replace(DATA, image_size=size)
    records.write_records(pairs, data, tmp_path / "out", "raw")
    kept = find_recorded(tmp_path / "out").pairs[0].record
    image, _ = records.read_record(kept, channels)
    assert image.shape == (*size, channels)


def test_each_record_keeps_source_and_group(pairs, tmp_path):
    records.write_records(pairs, DATA, tmp_path / "out")
    kept = find_recorded(tmp_path / "out").pairs
    assert [replace(pair, record=None) for pair in kept] == pairs


def test_the_sources_may_be_gone(pairs, tmp_path):
    records.write_records(pairs, DATA, tmp_path / "out")
    for pair in pairs:
        pair.image.unlink()
        pair.mask.unlink()
    assert len(batches(find_recorded(tmp_path / "out").pairs)) == 4


def test_any_reader_of_tfrecords_can_read_them(pairs, tmp_path):
    records.write_records(pairs, DATA, tmp_path / "out")
    files = sorted(map(str, (tmp_path / "out").glob("*.tfrecord")))
    examples = [
        tf.train.Example.FromString(content.numpy()).features.feature
        for content in tf.data.TFRecordDataset(files)
    ]
    assert [list(e["size"].int64_list.value) for e in examples] == [[32, 48]] * 5
    assert examples[3]["source"].bytes_list.value[0].decode() == str(pairs[3].image)


def test_colours_of_masks_survive(pairs, tmp_path):
    colours = np.random.default_rng(0).choice(np.uint8([0, 90, 255]), (32, 48, 3))
    Image.fromarray(colours).save(pairs[0].mask)
    own_size = replace(DATA, image_size=(32, 48))
    records.write_records(pairs[:1], own_size, tmp_path / "out")
    record = find_recorded(tmp_path / "out").pairs[0].record
    _, values = records.read_record(record, 3)
    red, green, blue = colours.astype(int).transpose(2, 0, 1)
    np.testing.assert_array_equal(values, red << 16 | green << 8 | blue)


def test_grey_images_are_kept_grey_and_given_as_wanted(pairs, tmp_path):
    Image.open(pairs[0].image).convert("L").save(pairs[0].image)
    records.write_records(pairs[:1], DATA, tmp_path / "out", "png")
    record = find_recorded(tmp_path / "out").pairs[0].record
    grey, _ = records.read_record(record, 1)
    colour, _ = records.read_record(record, 3)
    np.testing.assert_array_equal(np.repeat(grey, 3, -1), colour)


def test_training_at_another_size_resizes_them(pairs, tmp_path):
    records.write_records(pairs, DATA, tmp_path / "out")
    small = replace(CONFIG, data=replace(DATA, image_size=(8, 30)))
    images, masks = batches(find_recorded(tmp_path / "out").pairs, small)[0]
    assert images.shape == (2, 8, 30, 3)
    assert masks.shape == (2, 8, 30, 1)


def test_a_folder_that_exists_is_refused(pairs, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(BadUsage, match=r"--output .*out exists"):
        records.write_records(pairs, DATA, tmp_path / "out")


def test_an_image_that_cannot_be_read_leaves_nothing_half_written(pairs, tmp_path):
    pairs[3].image.write_bytes(b"no image")
    with pytest.raises(BadData, match=r"3\.png"):
        records.write_records(pairs, DATA, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["files"]


def test_a_changed_byte_is_found_and_its_file_named(pairs, tmp_path):
    records.write_records(pairs, DATA, tmp_path / "out")
    record = find_recorded(tmp_path / "out").pairs[2].record
    content = bytearray(record.file.read_bytes())
    content[record.offset + record.length // 2] ^= 1
    record.file.write_bytes(content)
    with pytest.raises(BadData, match=r"pairs-00000\.tfrecord: is damaged"):
        records.read_record(record, 3)


def test_records_of_16_bits_keep_what_counted_as_white(tmp_path):
    for name, bits in [("a", 10), ("b", 12)]:
        folder = tmp_path / name
        folder.mkdir()
        values = np.full((4, 6), 2**bits - 1, np.uint16)
        Image.fromarray(values).save(folder / "i.png")
        Image.fromarray(np.eye(4, 6, dtype=np.uint8)).save(folder / "m.png")
        pair = Pair(folder / "i.png", folder / "m.png", name)
        data = DataConfig(image_size=(4, 6))
        records.write_records([pair], data, folder / "records", "png")
    first, second = (tmp_path / name / "records" for name in "ab")
    (pair,) = find_recorded(first).pairs
    image, _ = records.read_record(pair.record, 1)
    assert set(image.flat) == {255}
    assert records_index.white_of([first], None) == 1023
    with pytest.raises(BadUsage, match="written with --white 4095, not 1023"):
        records_index.white_of([first, second], None)
