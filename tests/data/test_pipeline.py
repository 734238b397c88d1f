from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_unet.config import Config, FitConfig
from keras_unet.data import pipeline, rle
from keras_unet.data.pair import Pair
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
