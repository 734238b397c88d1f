import gc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_unet.config import Config, FitConfig, LossConfig, UNetConfig
from keras_unet.data import pipeline, rle
from keras_unet.data.layouts import find
from keras_unet.data.pair import Pair
from keras_unet.data.pair_cache import DiskStore, MemoryStore
from keras_unet.data.records import write_records
from keras_unet.data_config import AugmentConfig, DataConfig
from keras_unet.errors import BadUsage

SIZE = (16, 24)
COUNT = 10


def config(**changes: object) -> Config:
    binary = DataConfig(image_size=SIZE, mask_kind="binary", foreground_above=0)
    settings = Config(
        data=replace(binary, cache="none"),
        augment=AugmentConfig(flip="none"),
        fit=FitConfig(batch_size=3, epochs=3, seed=1),
    )
    return replace(settings, **changes)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> list[Pair]:
    """Ten images, each of a colour of its own, with a box of foreground."""
    folder = tmp_path_factory.mktemp("pairs")
    return [_pair(folder, number) for number in range(COUNT)]


def _pair(folder: Path, number: int) -> Pair:
    image = np.full((*SIZE, 3), 20 * number, np.uint8)
    mask = np.zeros(SIZE, np.uint8)
    mask[4 : 5 + number, 6:20] = 255
    Image.fromarray(image).save(folder / f"{number}.png")
    Image.fromarray(mask).save(folder / f"{number}_mask.png")
    return Pair(folder / f"{number}.png", folder / f"{number}_mask.png", str(number))


def numbers(batches: tf.data.Dataset) -> list[list[int]]:
    """Returns which images are in each batch."""
    return [
        (images.mean((1, 2, 3)) / 20).round().astype(int).tolist()
        for images, _ in batches.as_numpy_iterator()
    ]


def assert_equal_batches(first: list, second: list) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_batches_have_the_shapes_and_types_of_the_network(pairs):
    image, mask = pipeline.training_batches(pairs, config()).element_spec
    assert (image.shape.as_list(), image.dtype) == ([3, *SIZE, 3], tf.uint8)
    assert (mask.shape.as_list(), mask.dtype) == ([3, *SIZE, 1], tf.uint8)


def test_an_epoch_shows_no_image_twice(pairs):
    shown = np.array(numbers(pipeline.training_batches(pairs, config())))
    for epoch in shown.reshape(3, -1):
        assert len(set(epoch)) == 9


def test_every_epoch_has_an_order_of_its_own(pairs):
    shown = np.array(numbers(pipeline.training_batches(pairs, config())))
    assert len({tuple(epoch) for epoch in shown.reshape(3, -1).tolist()}) == 3


def test_another_seed_gives_another_order(pairs):
    other = config(fit=replace(config().fit, seed=2))
    first = numbers(pipeline.training_batches(pairs, config()))
    assert first != numbers(pipeline.training_batches(pairs, other))


def test_masks_belong_to_their_images(pairs):
    for images, masks in pipeline.training_batches(pairs, config()):
        for image, mask in zip(images.numpy(), masks.numpy(), strict=True):
            number = int(image.mean() / 20)
            assert mask.sum() == (1 + number) * 14


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 9))
def test_from_any_step_on_the_batches_are_the_same(pairs, first_step):
    changing = config(augment=AugmentConfig(flip="both", noise=0.1))
    whole = list(pipeline.training_batches(pairs, changing).as_numpy_iterator())
    rest = pipeline.training_batches(pairs, changing, first_step).as_numpy_iterator()
    assert_equal_batches(whole[first_step:], list(rest))


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_a_cache_changes_nothing(pairs, cache, tmp_path):
    cached = replace(config().data, cache=cache)
    with_cache = config(data=cached, output=tmp_path)
    assert_equal_batches(
        list(pipeline.training_batches(pairs, config()).as_numpy_iterator()),
        list(pipeline.training_batches(pairs, with_cache).as_numpy_iterator()),
    )


def test_a_cached_image_is_not_read_again(tmp_path):
    pairs = [_pair(tmp_path, number) for number in range(3)]
    in_memory = config(data=replace(config().data, cache="memory"))
    batches = pipeline.validation_batches(pairs, in_memory)
    first = numbers(batches)
    for pair in pairs:
        pair.image.unlink()
    assert numbers(batches) == first


def test_validation_shows_every_image_once_and_in_order(pairs):
    shown = numbers(pipeline.validation_batches(pairs, config()))
    assert shown == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]


def test_the_pairs_of_a_step_are_those_of_its_batch(pairs):
    shown = numbers(pipeline.training_batches(pairs, config()))
    for step, batch in enumerate(shown):
        named = pipeline.pairs_of_step(pairs, config(), step)
        assert [int(pair.image.stem) for pair in named] == batch


def test_more_pairs_in_a_batch_than_there_are_is_refused(pairs):
    with pytest.raises(BadUsage, match="--batch-size 3 is more than the 2"):
        pipeline.training_batches(pairs[:2], config())


def test_a_file_that_breaks_is_named(tmp_path):
    pairs = [_pair(tmp_path, number) for number in range(3)]
    pairs[1].image.write_bytes(b"no image")
    with pytest.raises(tf.errors.OpError) as caught:
        list(pipeline.validation_batches(pairs, config()))
    error = pipeline.reading_error(caught.value)
    assert str(error).startswith(f"{pairs[1].image}: ")


def test_other_errors_are_none_of_reading():
    error = tf.errors.InternalError(None, None, "something else")
    assert pipeline.reading_error(error) is None


def test_masks_may_be_run_lengths(pairs):
    mask = np.asarray(Image.open(pairs[4].mask)) // 255
    runs = replace(pairs[4], mask=None, run_lengths=rle.encode(mask))
    _, masks = next(iter(pipeline.validation_batches([runs], config())))
    np.testing.assert_array_equal(masks[0, ..., 0], mask)


def photograph(height: int, width: int) -> Image.Image:
    row, column = np.mgrid[:height, :width]
    waves = np.stack([row / 3, column / 2, (row + column) / 5], -1) * (256 / height)
    return Image.fromarray((127 + 100 * np.sin(waves / 10)).astype(np.uint8))


def test_a_jpeg_decoded_smaller_looks_like_the_whole_one_made_smaller(tmp_path):
    photograph(256, 380).save(tmp_path / "a.jpg", quality=95)
    whole = np.asarray(Image.open(tmp_path / "a.jpg"))
    area = whole.reshape(64, 4, 95, 4, 3).mean((1, 3))
    small = config(data=replace(config().data, image_size=(64, 96)))
    Image.new("L", (380, 256)).save(tmp_path / "mask.png")
    pair = Pair(tmp_path / "a.jpg", tmp_path / "mask.png", "a")
    images, _ = next(iter(pipeline.validation_batches([pair], small)))
    assert abs(images[0].numpy()[:, :48] - area[:, :48]).mean() < 3


def test_a_photograph_taken_upright_is_turned_as_its_exif_data_say(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    row, column = np.mgrid[: SIZE[0], : SIZE[1]]
    ramp = Image.fromarray((row * 12 + column * 2).astype(np.uint8))
    turned = ramp.transpose(Image.Transpose.ROTATE_90)
    turned.save(tmp_path / "a.jpg", exif=exif, quality=100)
    Image.new("L", SIZE[::-1]).save(tmp_path / "mask.png")
    pair = Pair(tmp_path / "a.jpg", tmp_path / "mask.png", "a")
    images, _ = next(iter(pipeline.validation_batches([pair], config())))
    np.testing.assert_allclose(images[0, ..., 0], np.asarray(ramp), atol=4)


def cells_pair(folder: Path, size: tuple[int, int] = (20, 30)) -> Pair:
    """Two cells that touch and one apart, each as bright as its number."""
    cells = np.zeros(size, np.uint8)
    cells[3:12, 2:10], cells[3:12, 10:20], cells[14:18, 4:20] = 1, 2, 3
    Image.fromarray(np.repeat(cells[..., None] * 60, 3, -1)).save(folder / "a.png")
    Image.fromarray(cells).save(folder / "a_mask.png")
    return Pair(folder / "a.png", folder / "a_mask.png", "a")


def weighing(**data: object) -> Config:
    instances = {"mask_kind": "instances", "mask_reading": "levels"}
    settings = config(fit=FitConfig(batch_size=1, epochs=2))
    data = {**instances, "image_size": (20, 30), "cache": "memory", **data}
    loss = LossConfig(weight_map=True)
    return replace(settings, data=replace(settings.data, **data), loss=loss)


def test_weights_part_cells_that_touch_and_are_largest_there(tmp_path):
    batches = pipeline.training_batches([cells_pair(tmp_path)], weighing())
    _, masks, weights = next(iter(batches))
    mask, weight = masks[0, ..., 0].numpy(), weights[0, ..., 0].numpy()
    assert mask[5].tolist() == [0, 0, *[1] * 7, 0, 0, *[1] * 9, *[0] * 10]
    assert weight.dtype == np.float32
    assert weight[5, 9] > 8
    assert weight.max() == pytest.approx(weight[5, 9], rel=0.05)
    assert weight[mask == 1] == pytest.approx(300 / mask.sum(), rel=0.012)


def test_pieces_of_a_binary_mask_have_borders_too(tmp_path):
    binary = weighing(mask_kind="binary")
    _, mask, weights = next(
        iter(pipeline.training_batches([cells_pair(tmp_path)], binary))
    )
    assert mask.numpy().sum() == 9 * 18 + 4 * 16
    assert weights.numpy()[0, 12:14, 8, 0].min() > 5


@pytest.mark.parametrize("tiles", [None, (16, 16)])
@pytest.mark.parametrize("cache", ["none", "disk"])
def test_weights_move_with_their_mask_whatever_the_cache(tmp_path, tiles, cache):
    pairs = [cells_pair(tmp_path)]
    moving = AugmentConfig(flip="both", rotation_degrees=90, elastic_pixels=2)
    settings = replace(
        weighing(tile_size=tiles), augment=moving, model=UNetConfig(depth=2)
    )
    other = replace(settings.data, cache=cache)
    first = list(pipeline.training_batches(pairs, settings).as_numpy_iterator())
    rest = replace(settings, data=other, output=tmp_path / "run")
    again = list(pipeline.training_batches(pairs, rest).as_numpy_iterator())
    for one, two in zip(first, again, strict=True):
        for here, there in zip(one, two, strict=True):
            np.testing.assert_array_equal(here, there)
    _, mask, weight = first[0]
    assert len(np.unique(weight[mask == 1])) == 1
    assert weight[mask == 0].max() > 3


def test_with_weights_images_and_validation_are_as_without(tmp_path):
    pairs, settings = [cells_pair(tmp_path)], weighing()
    settings = replace(settings, augment=AugmentConfig(rotation_degrees=90))
    without = replace(settings, loss=LossConfig())
    batches = pipeline.training_batches(pairs, settings).as_numpy_iterator()
    others = pipeline.training_batches(pairs, without).as_numpy_iterator()
    np.testing.assert_array_equal(next(batches)[0], next(others)[0])
    assert len(next(iter(pipeline.validation_batches(pairs, settings)))) == 2


def test_ids_in_records_are_cells_as_in_files(tmp_path):
    pair, settings = cells_pair(tmp_path), weighing()
    write_records([pair], settings.data, tmp_path / "records", "png")
    recorded = find(DataConfig(data=tmp_path / "records")).pairs
    here, there = (
        next(pipeline.training_batches(pairs, settings).as_numpy_iterator())
        for pairs in ([pair], recorded)
    )
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("cache", ["memory", "disk"])
@pytest.mark.parametrize("tile_size", [None, (16, 16)])
def test_a_cache_goes_with_its_batches(pairs, tmp_path, cache, tile_size):
    def stores() -> int:
        gc.collect()
        return sum(
            isinstance(one, (MemoryStore, DiskStore)) for one in gc.get_objects()
        )

    before = stores()
    data = replace(config().data, cache=cache, tile_size=tile_size)
    kept = config(data=data, output=tmp_path / "run", model=UNetConfig(depth=1))
    batches = (
        pipeline.training_batches(pairs, kept),
        pipeline.validation_batches(pairs, kept),
    )
    for one in batches:
        assert len(list(one.take(2))) == 2
    assert stores() == before + 2
    del batches, one
    assert stores() == before
