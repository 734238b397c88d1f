import json
from pathlib import Path

import pytest

from keras_unet.data import record_index
from keras_unet.data.pair import Pair
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
        record_index.row_of(pair, file, offset, content)
        for pair, offset, content in zip(pairs, (4, 11), (b"one", b"two"), strict=True)
    ]
    record_index.write_index(tmp_path, (20, 30), "png", rows)
    return tmp_path


def test_pairs_come_back_with_their_groups_and_masks(folder):
    first, second = record_index.find(folder).pairs
    assert (first.image, first.mask) == (folder / "a.jpg", folder / "a.png")
    assert (second.group, second.run_lengths) == ("van", "1 5")


def test_a_record_lies_where_the_index_says(folder):
    record = record_index.find(folder).pairs[1].record
    content = record.file.read_bytes()
    assert content[record.offset : record.offset + record.length] == b"two"


def test_the_index_has_the_size_of_the_pictures(folder):
    assert record_index.image_size(folder) == (20, 30)


def test_a_missing_file_is_named(folder):
    (folder / "pairs.tfrecord").unlink()
    with pytest.raises(BadData, match=r"pairs\.tfrecord: is missing"):
        record_index.find(folder)


@pytest.mark.parametrize("text", ["", "{}", json.dumps({"records": [{"file": "a"}]})])
def test_a_damaged_index_is_refused(tmp_path, text):
    (tmp_path / "records.json").write_text(text)
    with pytest.raises(BadData, match=r"records\.json: is damaged"):
        record_index.find(tmp_path)


def test_an_index_that_cannot_be_opened_is_not_called_damaged(tmp_path):
    (tmp_path / "records.json").mkdir()
    with pytest.raises(BadData, match=r"records\.json: cannot be read"):
        record_index.find(tmp_path)
