from dataclasses import replace

import numpy as np
import pytest

from keras_unet.config import Config
from keras_unet.data import pair_cache
from keras_unet.data.pair_cache import (
    DiskStore,
    MemoryStore,
    SpilledStore,
    cache_line,
    machine_memory,
)
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadUsage

SIZES = np.array([[2, 3], [5, 1], [1, 1], [4, 7]])


def images(index: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(index)
    image = rng.integers(256, size=(*SIZES[index], 3), dtype=np.uint8)
    return image, image[..., 0] // 2


@pytest.fixture(params=["memory", "disk", "both"])
def store(request, tmp_path):
    if request.param == "memory":
        return MemoryStore(SIZES, 3)
    if request.param == "disk":
        return DiskStore(SIZES, 3, tmp_path)
    return SpilledStore(MemoryStore(SIZES[:2], 3), 2, DiskStore(SIZES[2:], 3, tmp_path))


def test_what_was_put_is_got_back_in_any_order(store):
    for index in (3, 0, 2):
        store.put(index, images(index))
    for index in (0, 2, 3):
        image, mask = store.get(index)
        np.testing.assert_array_equal(image, images(index)[0])
        np.testing.assert_array_equal(mask, images(index)[1])


def test_rows_are_got_alone(store):
    store.put(3, images(3))
    image, mask = store.get(3, slice(1, 3))
    np.testing.assert_array_equal(image, images(3)[0][1:3])
    np.testing.assert_array_equal(mask, images(3)[1][1:3])


def test_masks_may_have_a_plane_of_weights(tmp_path):
    for store in (MemoryStore(SIZES, 3, 2), DiskStore(SIZES, 3, tmp_path, 2)):
        image, mask = images(3)
        store.put(3, (image, np.stack([mask, mask + 1], -1)))
        found, planes = store.get(3, slice(1, 3))
        np.testing.assert_array_equal(found, image[1:3])
        np.testing.assert_array_equal(planes[..., 1], mask[1:3] + 1)


def test_what_was_not_put_is_not_there(store):
    store.put(2, images(2))
    assert store.get(1) is None


def test_a_full_memory_keeps_only_the_first():
    store = MemoryStore(SIZES[:2], 3)
    store.put(2, images(2))
    assert store.get(2) is None


def test_a_disk_without_room_is_refused(tmp_path):
    with pytest.raises(BadUsage, match=r"the cache needs .* GB in"):
        DiskStore(np.full((1, 2), 10**8), 3, tmp_path)


def test_a_cache_on_disk_leaves_no_file_behind(tmp_path):
    DiskStore(SIZES, 3, tmp_path / "run").put(0, images(0))
    assert not list((tmp_path / "run").iterdir())


def test_the_machine_has_some_memory():
    assert machine_memory() > 2**28


@pytest.mark.parametrize(
    ("own", "file"),
    [
        ("0::/", "memory.max"),
        ("0::/job/step", "job/memory.max"),
        ("4:cpu,memory:/job/step\n0::/", "memory/job/step/memory.limit_in_bytes"),
        ("4:memory:/docker/a", "memory/memory.limit_in_bytes"),
    ],
)
def test_memory_is_what_the_groups_of_the_process_leave_it(
    tmp_path, monkeypatch, own, file
):
    (tmp_path / "own").write_text(f"{own}\n")
    for limit, place in [("max", tmp_path / "memory.max"), ("4096", tmp_path / file)]:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{limit}\n")
    monkeypatch.setattr(pair_cache, "_GROUPS", tmp_path)
    monkeypatch.setattr(pair_cache, "_OWN_GROUPS", tmp_path / "own")
    assert machine_memory() == 4096


def test_what_is_kept_where_is_said_in_a_line(tmp_path):
    whole = Config(output=tmp_path)
    pieces = replace(whole, data=DataConfig(tile_size=(16, 16)))
    small, large = np.full((100, 2), 1000), np.full((100, 2), 10**6)
    assert cache_line(small, whole) == "400 MB of memory"
    assert "images, which fill 30%" in cache_line(large, whole)
    assert cache_line(small, pieces) == "400 MB of memory"
    assert f"400,000,000 MB on disk, in {tmp_path}" in cache_line(large, pieces)
