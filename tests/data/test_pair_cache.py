import numpy as np
import pytest

from keras_unet.data.pair_cache import DiskStore, MemoryStore, machine_memory
from keras_unet.errors import BadUsage

SHAPES = ((2, 3, 3), (2, 3))


def images(value: int) -> tuple[np.ndarray, np.ndarray]:
    image, mask = (np.full(shape, value, np.uint8) for shape in SHAPES)
    return image, mask


@pytest.fixture(params=["memory", "disk"])
def store(request, tmp_path):
    if request.param == "memory":
        return MemoryStore(4, SHAPES)
    return DiskStore(4, SHAPES, tmp_path)


def test_what_was_put_is_got_back_in_any_order(store):
    for index in (3, 0, 2):
        store.put(index, images(index))
    for index in (0, 2, 3):
        image, mask = store.get(index)
        np.testing.assert_array_equal(image, images(index)[0])
        np.testing.assert_array_equal(mask, images(index)[1])


def test_what_was_not_put_is_not_there(store):
    store.put(2, images(2))
    assert store.get(1) is None


def test_a_full_memory_keeps_only_the_first():
    store = MemoryStore(2, SHAPES)
    store.put(2, images(2))
    assert store.get(2) is None


def test_a_disk_without_room_is_refused(tmp_path):
    with pytest.raises(BadUsage, match=r"--cache disk needs .* GB in"):
        DiskStore(10**15, SHAPES, tmp_path)


def test_a_cache_on_disk_leaves_no_file_behind(tmp_path):
    DiskStore(4, SHAPES, tmp_path / "run").put(0, images(0))
    assert not list((tmp_path / "run").iterdir())


def test_the_machine_has_some_memory():
    assert machine_memory() > 2**28
