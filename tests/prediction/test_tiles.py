import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from random_run import make_run, noise, vary

from keras_unet.config import Config, UNetConfig
from keras_unet.data.resize import resize_image
from keras_unet.data_config import DataConfig
from keras_unet.model.layers import MirrorBorder, padded_size
from keras_unet.model.unet import build_network, build_unet, receptive_radius
from keras_unet.prediction.segmenter import Segmenter, probability_of
from keras_unet.prediction.tiles import Tiler, tile_network, tilings


def cut(side, overlap, **model):
    """Returns how an axis is cut."""
    data = DataConfig(tile_size=(side, side), tile_overlap=overlap)
    return tilings(Config(data=data, model=UNetConfig(**model)))[0]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 700),
    st.integers(1, 9),
    st.floats(0, 0.75),
    st.sampled_from([(1, "same", 1), (2, "same", 1), (1, "same", 2), (2, "valid", 1)]),
)
def test_every_pixel_is_covered_and_weights_sum_to_one(size, tiles, overlap, network):
    depth, padding, stem = network
    step = 2 ** (depth + stem - 1)
    axis = cut(tiles * step, overlap, depth=depth, padding=padding, stem_stride=stem)
    starts, weights = axis.starts(size).numpy(), axis.weights(size).numpy()
    assert (starts % step == 0).all()
    padded = max(padded_size(size, depth + stem - 1, padding), axis.tile)
    assert starts[-1] == padded - axis.tile
    total = np.zeros(padded - 2 * axis.margin)
    for start, weight in zip(starts, weights, strict=True):
        total[start : start + axis.predicted] += weight
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert weights.min() >= 0
    offset = int(axis.offset(size))
    assert 0 <= offset <= len(total) - size


@given(st.integers(1, 300), st.integers(0, 3))
def test_a_tile_holds_the_pixels_that_the_networks_border_mirrors(size, place):
    axis = cut(16, 0.5, depth=3)
    row = np.arange(size, dtype="float32").reshape((1, size, 1, 1))
    border = np.asarray(MirrorBorder(3, "same")(row))[0, :, 0, 0]
    if len(border) >= 16:
        start = axis.starts(size)[min(place, len(axis.starts(size)) - 1)]
        found = axis.pixels(size, start).numpy()
        np.testing.assert_array_equal(found, border[start : start + 16])


def test_the_overlap_is_a_share_of_the_tile_to_the_next_multiple():
    assert [cut(256, share, depth=4).stride for share in (0, 0.25, 0.4, 0.75)] == [
        256,
        192,
        160,
        64,
    ]
    assert cut(16, 0.75, depth=4).stride == 16


def test_where_the_overlap_covers_the_receptive_field_tile_borders_count_nothing():
    axis = cut(256, 0.75, depth=4)
    radius = receptive_radius(UNetConfig())
    assert axis.blind == radius
    weights = axis.weights(700).numpy()
    assert not weights[1:, :radius].any()
    assert not weights[:-1, -radius:].any()
    assert weights[0, 0] == weights[-1, -1] == 1
    assert cut(256, 0.5, depth=4).blind == 0


@pytest.mark.parametrize(
    "model",
    [
        {"depth": 1},
        {"depth": 2},
        {"depth": 2, "upsampling": "bilinear"},
        {"depth": 1, "stem_stride": 2},
        {"depth": 2, "stem_stride": 2, "upsampling": "bilinear"},
    ],
)
def test_predictions_further_from_a_tiles_end_look_at_nothing_beyond_it(model):
    config = UNetConfig(filters=1, dropout=0.0, **model)
    network = build_network(config)
    for layer in network.layers:
        layer.set_weights([np.ones_like(w) for w in layer.get_weights()])
    line = tf.Variable(tf.random.stateless_uniform((1, 256, 8, 3), [1, 2]) * 255)
    with tf.GradientTape() as tape:
        logits = tf.reduce_sum(network(line), (0, 2, 3))
    looked = np.abs(tape.jacobian(logits, line)[:, 0]).sum((2, 3)) > 0
    # A tile that ends at 128, and one that begins there.
    before, after = looked[:128, 128:].any(1), looked[128:, :128].any(1)
    radius, cell = receptive_radius(config), 2 ** (config.depth + config.stem_stride)
    for blind in (before[::-1], after):
        assert not blind[radius:].any()
        # Pooling looks at one pixel of a cell, not always at its outermost.
        assert blind[radius - cell : radius].any()


def test_the_papers_network_looks_about_as_far_as_its_border_is_wide():
    assert receptive_radius(UNetConfig()) == 94
    assert cut(256, 0.75, depth=4).blind == 94


def whole(network, image):
    """Returns the probability by the network at a time."""
    return np.asarray(probability_of(network, image[None].astype("float32"))[0])


def by_tiles(network, config, image):
    """Returns the probability tile by tile, and the rows of each strip."""
    part = tile_network(network)
    tiler = Tiler(
        lambda images: probability_of(part, images),
        config.model.classes,
        *tilings(config),
    )
    found = list(tiler.strips(image))
    return np.concatenate([one for _, one in found]), [rows for rows, _ in found]


COVERED = [
    ((64, 96), 0.75, {"depth": 2}),
    ((32, 48), 0.6, {"depth": 1, "classes": 3}),
    ((32, 32), 0.75, {"depth": 1, "upsampling": "bilinear", "normalization": "batch"}),
    ((96, 96), 0.7, {"depth": 1, "stem_stride": 2}),
    ((32, 16), 0.3, {"depth": 2, "padding": "valid"}),
    ((32, 48), 0.0, {"depth": 1, "padding": "valid", "classes": 4}),
]


@pytest.mark.parametrize(("tile", "overlap", "model"), COVERED)
@pytest.mark.parametrize("size", [(131, 233), (97, 99), (64, 200), (128, 96)])
def test_tiled_and_whole_prediction_agree(tile, overlap, model, size):
    size = tuple(map(max, size, tile))
    config = Config(
        data=DataConfig(tile_size=tile, tile_overlap=overlap),
        model=UNetConfig(**{"filters": 2, "dropout": 0.0} | model),
    )
    network = build_network(config.model)
    vary(network)
    image = noise(size)
    wanted = whole(network, image)
    assert np.ptp(wanted[..., 1]) > 0.02
    found, rows = by_tiles(network, config, image)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert [r.start for r in rows] == [0, *(r.stop for r in rows[:-1])]
    assert len(rows) > (size[0] > tile[0])


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (7, 3), (31, 16), (20, 100)])
def test_valid_tiles_of_small_images_agree_too(size):
    model = UNetConfig(filters=2, depth=2, dropout=0.0, padding="valid")
    config = Config(data=DataConfig(tile_size=(32, 32)), model=model)
    network = build_network(model)
    vary(network)
    image = noise(size)
    found, _ = by_tiles(network, config, image)
    np.testing.assert_allclose(found, whole(network, image), atol=1e-4)


def test_valid_tiles_are_the_papers():
    config = Config(
        data=DataConfig(tile_size=(384, 384)),
        model=UNetConfig(padding="valid"),
    )
    axis = tilings(config)[0]
    # 572 in, 388 out; the stride is what the poolings divide.
    assert (axis.tile, axis.predicted, axis.stride) == (572, 388, 384)
    assert set(np.unique(axis.weights(1000))) == {0.0, 1.0}


def test_the_networks_of_tiles_share_the_weights():
    config = UNetConfig(filters=2, depth=1, padding="valid", dropout=0.0)
    network = build_network(config)
    core, papers = tile_network(network), build_unet(config)
    vary(network)
    papers.set_weights(network.get_weights())
    image = noise((40, 40))[None].astype("float32")
    np.testing.assert_allclose(core(image), papers(image), atol=1e-6)
    same = build_network(UNetConfig(filters=2, depth=1))
    assert tile_network(same) is same


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (33, 5), (64, 64), (70, 30)])
def test_images_smaller_than_a_tile_are_mirrored(tmp_path, size):
    data = {"resolution": 1.0, "tile_size": (64, 64)}
    segmenter = Segmenter(make_run(tmp_path, data=data))
    image = noise(size)
    probability = segmenter.probability(image)
    assert probability.shape == (*size, 2)
    np.testing.assert_allclose(probability.sum(-1), 1, atol=1e-6)
    if max(size) <= 64:
        border = [(0, 64 - side) for side in size]
        border = [(b // 2, b - b // 2) for _, b in border]
        mode = "symmetric" if 1 in size else "reflect"
        padded = np.pad(image, [*border, (0, 0)], mode if min(size) > 1 else "edge")
        (top, _), (left, _) = border
        wanted = whole(segmenter.network, padded)
        wanted = wanted[top : top + size[0], left : left + size[1]]
        np.testing.assert_allclose(probability, wanted, atol=1e-5)


def test_tiles_go_to_the_network_in_batches_of_one_shape_and_it_is_traced_once():
    shapes, axis = [], cut(128, 0.25, depth=1)

    def predict(images):
        shapes.append(images.shape.as_list())
        tf.debugging.assert_less_equal(tf.shape(images)[0], 16)
        grey = tf.reduce_mean(images, -1, keepdims=True) / 255
        return tf.concat([1 - grey, grey], -1)

    tiler = Tiler(predict, 1, axis, axis)
    for size in [(200, 2500), (130, 700), (300, 300), (128, 1000)]:
        image = noise(size)
        found = np.concatenate([one for _, one in tiler.strips(image)])
        # So the tiles are at their places, whatever the batches.
        np.testing.assert_allclose(found[..., 1], image.mean(-1) / 255, atol=1e-5)
    assert shapes == [[None, 128, 128, 3]] * len(shapes)
    assert len(shapes) <= 3


def test_a_function_of_the_training_can_be_tiled():
    network = keras.Sequential([keras.layers.Conv2D(3, 1, activation="softmax")])
    network.build((None, None, None, 3))
    axis = cut(32, 0.5, depth=1)
    image = noise((70, 90))
    strips = Tiler(network, 3, axis, axis).strips(image)
    found = np.concatenate([one for _, one in strips])
    wanted = np.asarray(network(image[None].astype("float32")))[0]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("resolution", [0.5, 0.37, 2.0, 1.3])
def test_images_are_seen_at_the_resolution_and_answered_at_their_own(
    tmp_path, resolution
):
    data = {"resolution": resolution, "tile_size": (32, 32), "tile_overlap": 0.75}
    segmenter = Segmenter(make_run(tmp_path, data=data))
    image = noise((150, 203))
    seen = segmenter.config.data.seen_size((150, 203))
    small = probability_of(segmenter.network, resize_image(image, seen)[None])
    wanted = tf.image.resize(small, (150, 203))[0]
    np.testing.assert_allclose(segmenter.probability(image), wanted, atol=1e-3)
