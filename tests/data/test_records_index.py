import json
from pathlib import Path

import pytest

from keras_unet.data import records_index
from keras_unet.data.pair import Pair
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two records of three bytes, behind four bytes each, and their index."""
    file = tmp_path / "pairs.tfrecord"
    file.write_bytes(b"----one----two")
    pairs = [
        Pair(tmp_path / "a.jpg", tmp_path / "a.png", "car"),
        Pair(tmp_path / "b.jpg", None, "van", run_lengths="1 5"),
    ]
    rows = [
        records_index.row_of(pair, file, offset, content)
        for pair, offset, content in zip(pairs, (4, 11), (b"one", b"two"), strict=True)
    ]
    data = DataConfig(image_size=(20, 30))
    records_index.write_index(tmp_path, data, "png", rows, {})
    return tmp_path


def test_pairs_come_back_with_their_groups_and_masks(folder):
    first, second = records_index.find_recorded(folder).pairs
    assert (first.image, first.mask) == (folder / "a.jpg", folder / "a.png")
    assert (second.group, second.run_lengths) == ("van", "1 5")


def test_a_record_lies_where_the_index_says(folder):
    record = records_index.find_recorded(folder).pairs[1].record
    content = record.file.read_bytes()
    assert content[record.offset : record.offset + record.length] == b"two"


def test_the_index_has_the_size_of_the_images(folder):
    assert records_index.read_index(folder).image_size == (20, 30)


def test_a_missing_file_is_named(folder):
    (folder / "pairs.tfrecord").unlink()
    with pytest.raises(BadData, match=r"pairs\.tfrecord: is missing"):
        records_index.find_recorded(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index: {}, "missing required field"),
        (lambda index: index | {"format": 2}, "format must be up to 1, not 2"),
        (lambda index: index | {"image_size": [0, 3]}, "image_size must be 1 or more"),
        (lambda index: index | {"colour": 1}, "colour: is unknown here"),
        (
            lambda index: index | {"records": {}},
            "records: expected array, found object",
        ),
        (lambda index: row(index, file="../a"), "'../a'"),
        (lambda index: row(index, file="/etc/passwd"), "file must be a name in this"),
        (lambda index: row(index, file=".."), "file must be a name in this"),
        (lambda index: row(index, offset=-1), "0 or more"),
        (lambda index: row(index, length="9"), r"records\[0\]\.length: expected int"),
        (lambda index: row(index, length=2**60), r"pairs\.tfrecord: is cut off"),
    ],
)
def test_a_damaged_index_is_refused_with_its_key(folder, change, message):
    file = folder / "records.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(BadData, match=rf"{message}.*; write the records again"):
        records_index.find_recorded(folder)


def row(index, **changes):
    first, *others = index["records"]
    return index | {"records": [first | changes, *others]}


def test_an_index_that_cannot_be_opened_is_not_called_damaged(tmp_path):
    (tmp_path / "records.json").mkdir()
    with pytest.raises(BadData, match=r"records\.json: cannot be read"):
        records_index.find_recorded(tmp_path)
