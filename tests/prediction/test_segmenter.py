import functools
import io
import itertools
import threading

import numpy as np
import pytest
import random_run
import tensorflow as tf
from bright_run import draw, make_run, square
from PIL import Image

from keras_unet.config import Config, PredictConfig, UNetConfig
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData, BadUsage
from keras_unet.export.saved_model import write_saved_model
from keras_unet.model.unet import build_unet
from keras_unet.predict import main
from keras_unet.prediction.segmenter import (
    BATCH,
    MOST_PIXELS,
    READERS,
    Segmenter,
    batches,
    class_names,
    class_values,
    describe_values,
    read_ahead,
)
from keras_unet.prediction.weights_file import load_network


def classes(*values, **data):
    return {"mask_kind": "classes", "class_values": values, **data}


RGB = classes(0x000000, 0x0000FF, 0x00FF00, mask_reading="colours")
CODINGS = [
    ("binary", {"mask_kind": "binary"}, 1, [0, 255], "L"),
    ("instances", {"mask_kind": "instances"}, 2, [0, 255], "L"),
    (
        "black and a colour",
        {"mask_kind": "binary", "mask_reading": "colours"},
        *(1, [0, 255], "L"),
    ),
    (
        "cells in colours, and borders",
        {"mask_kind": "instances", "mask_reading": "colours", "targets": "borders"},
        *(3, [0, 1, 2], "L"),
    ),
    ("two classes", classes(7, 9), 2, [7, 9], "L"),
    ("levels", classes(0, 128, 255), 3, [0, 128, 255], "L"),
    ("ids with gaps", classes(1, 4, 33, ignore_values=(255,)), 3, [1, 4, 33], "L"),
    ("wide ids", classes(0, 300, 65535), 3, [0, 300, 65535], "I;16"),
    ("colours", classes(0, 0x800000, 0xC08040), 3, [0, 0x800000, 0xC08040], "RGB"),
    ("dark colours", RGB, 3, [0x000000, 0x0000FF, 0x00FF00], "RGB"),
]


def written(run, image, folder):
    assert main([str(run.path), str(image), "--output", str(folder)]) == 0
    return Image.open(folder / f"{image.stem}.png")


def served(run, image, folder):
    write_saved_model(load_network(run), run.load_config(), folder)
    answer = tf.saved_model.load(str(folder)).signatures["serving_default"]
    found = answer(image_bytes=tf.constant([image.read_bytes()]))
    return Image.open(io.BytesIO(found["mask_png_bytes"][0].numpy()))


@pytest.mark.parametrize(
    ("data", "count", "values", "mode"),
    [coding[1:] for coding in CODINGS],
    ids=[coding[0] for coding in CODINGS],
)
def test_predict_and_the_saved_model_write_the_values_of_the_users_masks(
    tmp_path, data, count, values, mode
):
    run = make_run(tmp_path / "run", classes=count, **data)
    truth = square()
    truth[4:12, 4:9] = max(count, 2) - 1
    draw(tmp_path / "a.png", truth, levels=(20, 127, 240) if count == 3 else (20, 240))
    wanted = np.array(values)[truth]
    if mode == "RGB":
        wanted = np.stack([wanted >> 16, wanted >> 8 & 255, wanted & 255], -1)
    for mask in (
        written(run, tmp_path / "a.png", tmp_path / "out"),
        served(run, tmp_path / "a.png", tmp_path / "1"),
    ):
        assert mask.mode == mode
        np.testing.assert_array_equal(np.asarray(mask), wanted)


@pytest.mark.parametrize("value", [-1, 0x1000000])
def test_a_value_that_fits_no_png_is_refused_before_anything_is_written(
    tmp_path, capsys, value
):
    run = make_run(tmp_path / "run", classes=2, **classes(0, value))
    draw(tmp_path / "a.png", square())
    words = [str(run.path), str(tmp_path / "a.png"), "--output", str(tmp_path / "out")]
    assert main(words) == 1
    assert "fit no PNG" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"mask_kind": "binary"}, "grey in 8 bits, 0 background, 255 foreground"),
        (
            classes(0, 300, class_names=("wall", "car")),
            "grey in 16 bits, 0 wall, 300 car",
        ),
        (
            classes(0, 0xFF8000, class_names=("wall", "car")),
            "RGB, 0x000000 wall, 0xff8000 car",
        ),
    ],
)
def test_values_in_words_have_the_names_of_their_classes(data, words):
    config = Config(data=DataConfig(**data), model=UNetConfig(classes=2))
    assert describe_values(config) == words


def test_a_run_without_class_values_numbers_its_classes():
    assert class_values(Config(model=UNetConfig(classes=4))).tolist() == [0, 1, 2, 3]


def test_values_are_named_in_the_message(tmp_path):
    data = DataConfig(**classes(0, 1 << 24))
    with pytest.raises(BadData, match="0x1000000"):
        class_values(Config(data=data, model=UNetConfig(classes=2)))


@pytest.mark.parametrize(
    ("classes", "given", "names"),
    [
        (1, (), ("background", "foreground")),
        (1, ("wall", "car"), ("wall", "car")),
        (3, (), ("0", "1", "2")),
        (3, ("sky", "wall", "car"), ("sky", "wall", "car")),
    ],
)
def test_every_channel_of_the_probability_has_a_name(classes, given, names):
    data, model = DataConfig(class_names=given), UNetConfig(classes=classes)
    assert class_names(Config(data=data, model=model)) == names


def read_beforehand(sizes):
    """Returns, for each item when its turn comes, how many later ones were begun."""
    begun, lock = [], threading.Lock()

    def read(number):
        with lock:
            begun.append(number)
        return number

    numbers = range(len(sizes))
    ahead = read_ahead(numbers, read, lambda number: sizes[number])
    return [max(begun) - number for number in ahead]


def test_a_few_small_items_are_read_beforehand():
    assert max(read_beforehand([1] * 20)) <= BATCH + READERS


def test_nothing_is_read_beside_a_large_item():
    assert read_beforehand([MOST_PIXELS] * 4) == [0, 0, 0, 0]
    assert read_beforehand([1, MOST_PIXELS, 1])[1] == 0


def test_items_are_read_in_their_order_and_fail_when_their_turn_comes():
    def read(number):
        if number == 3:
            raise ValueError(number)
        return number

    ahead = read_ahead(range(5), read)
    assert [next(ahead) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="3"):
        next(ahead)


def test_batches_end_with_their_number_or_with_their_pixels():
    assert list(batches("abcde", 2)) == [["a", "b"], ["c", "d"], ["e"]]
    sizes = [1, MOST_PIXELS, 1, 1, 1, MOST_PIXELS + 1]
    found = list(batches(sizes, 4, lambda size: size))
    assert found == [[1, MOST_PIXELS], [1, 1, 1, MOST_PIXELS + 1]]


def test_a_run_can_be_given_by_its_folder(tmp_path):
    run = make_run(tmp_path / "run")
    assert Segmenter(str(run.path)).config == Segmenter(run).config


@pytest.mark.parametrize("data", [{"image_size": (40, 48)}, {"resolution": 1.0}])
@pytest.mark.parametrize("classes", [1, 2])
def test_foreground_is_what_is_more_probable_than_the_threshold(
    tmp_path, data, classes
):
    run = random_run.make_run(tmp_path, data=data, classes=classes)
    image = random_run.noise((40, 48))
    probability = Segmenter(run).probability(image)
    np.testing.assert_array_equal(
        Segmenter(run).decide(probability), probability.argmax(-1)
    )
    middle = float(np.median(probability[..., 1]))
    for threshold in (0.3, 0.7, middle):
        mask = Segmenter(run, PredictConfig(threshold)).decide(probability)
        wanted = probability[..., 1] > np.float32(threshold)
        np.testing.assert_array_equal(mask, wanted)
    assert 0.4 < mask.mean() < 0.6


def upside_down(image):
    return image[::-1]


def left_to_right(image):
    return image[:, ::-1]


def transposed(image):
    return image.swapaxes(0, 1)


@pytest.mark.parametrize(
    ("flip", "turn", "size", "tiled", "flips"),
    [
        ("none", 180.0, (64, 64), False, []),
        ("horizontal", 180.0, (64, 64), False, [left_to_right]),
        ("vertical", 0.0, (64, 48), True, [upside_down]),
        ("both", 89.0, (64, 64), False, [upside_down, left_to_right]),
        ("both", 180.0, (64, 48), True, [upside_down, left_to_right]),
        ("both", 180.0, (64, 48), False, [upside_down, left_to_right]),
        ("both", 90.0, (64, 64), True, [upside_down, left_to_right, transposed]),
        ("both", 90.0, (64, 64), False, [upside_down, left_to_right, transposed]),
    ],
)
def test_flips_are_those_of_the_training_and_their_mean_counts(
    tmp_path, flip, turn, size, tiled, flips
):
    # Tiles as large as the image, so that the border is that of the whole image.
    tiles = {"resolution": 1.0, "tile_size": size}
    data = tiles if tiled else {"image_size": size}
    run = random_run.make_run(tmp_path, data=data, flip=flip, turn=turn)
    segmenter, image = Segmenter(run), random_run.noise(size)
    wanted = []
    for some in itertools.product(*[(False, True)] * len(flips)):
        taken = list(itertools.compress(flips, some))
        form = functools.reduce(lambda one, flip: flip(one), taken, image)
        found = segmenter.probability(np.ascontiguousarray(form))
        wanted.append(functools.reduce(lambda one, flip: flip(one), taken[::-1], found))
    assert len(wanted) == 2 ** len(flips)
    flipping = Segmenter(run, PredictConfig(test_time_flips=True))
    mean = flipping.probability(image)
    np.testing.assert_allclose(mean, np.mean(wanted, 0), atol=1e-5)
    assert bool(flips) != np.allclose(mean, wanted[0], atol=1e-5)


def test_a_tiled_run_makes_the_strips_one_after_the_other(tmp_path):
    data = {"resolution": 1.0, "tile_size": (32, 32), "tile_overlap": 0.5}
    segmenter = Segmenter(random_run.make_run(tmp_path, data=data))
    images = [random_run.noise((90, 40)), random_run.noise((50, 70), seed=1)]
    together = [next(strips) for strips in segmenter.strips(images)]
    assert [rows for rows, _ in together] == [slice(0, 16), slice(0, 16)]
    for image, (rows, first) in zip(images, together, strict=True):
        np.testing.assert_array_equal(segmenter.probability(image)[rows], first)


def test_a_network_without_a_run_is_segmented_with_as_that_of_a_run(tmp_path):
    run = make_run(tmp_path / "run")
    image = np.random.default_rng(0).integers(0, 256, (30, 50, 3)).astype("uint8")
    alone = Segmenter.of(load_network(run), run.load_config())
    found = alone.probability(image)
    np.testing.assert_array_equal(found, Segmenter(run).probability(image))


def test_a_network_whose_mask_is_smaller_than_its_image_is_refused():
    model = UNetConfig(filters=2, depth=1, padding="valid")
    config = Config(data=DataConfig(image_size=(20, 20)), model=model)
    segmenter = Segmenter.of(build_unet(model), config)
    with pytest.raises(BadUsage, match="must keep its images' size"):
        segmenter.probability(np.zeros((20, 20, 3), np.uint8))


def test_a_network_of_other_classes_than_the_config_is_refused(tmp_path):
    run = make_run(tmp_path / "run")
    config = Config(model=UNetConfig(classes=3))
    with pytest.raises(
        BadUsage, match=r"expected channels and classes \(3, 3\), found"
    ):
        Segmenter.of(load_network(run), config)
