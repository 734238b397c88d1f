from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_unet.config import Config, FitConfig, UNetConfig
from keras_unet.data import pieces, pipeline
from keras_unet.data.pair import Pair
from keras_unet.data.pieces import cut_of, find_places, place_tile, window_places
from keras_unet.data_config import IGNORE, AugmentConfig, DataConfig
from keras_unet.model.unet import build_unet

TILE = (16, 16)
STILL = AugmentConfig(flip="none")
MOVING = AugmentConfig(
    flip="both",
    rotation_degrees=180.0,
    scale=0.2,
    shear_degrees=10.0,
    translation=0.1,
    elastic_pixels=1.0,
)
SIZES = [(40, 56), (9, 70), (1, 1), (33, 16), (5, 7)]


def config(**changes) -> Config:
    data = DataConfig(resolution=1.0, tile_size=TILE, cache="memory")
    coded = replace(data, mask_kind="binary", foreground_above=0)
    made = Config(
        data=coded,
        augment=STILL,
        model=UNetConfig(depth=2),
        fit=FitConfig(batch_size=4, epochs=2, seed=3),
    )
    return replace(made, **changes)


def with_data(settings: Config, **changes) -> Config:
    return replace(settings, data=replace(settings.data, **changes))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> list[Pair]:
    """Images of many sizes: red is the image's number, green and blue the place."""
    folder = tmp_path_factory.mktemp("pairs")
    return [write(folder, number, size) for number, size in enumerate(SIZES)]


def write(folder: Path, number: int, size: tuple[int, int]) -> Pair:
    rows, columns = np.indices(size)
    image = np.stack([rows * 0 + 40 * number, 3 * rows, 3 * columns], -1)
    mask = np.zeros(size, np.uint8)
    mask[size[0] // 2, size[1] // 2] = 255
    files = folder / f"{number}.png", folder / f"{number}_mask.png"
    Image.fromarray(image.astype(np.uint8)).save(files[0])
    Image.fromarray(mask).save(files[1])
    return Pair(*files, str(number))


def batches(pairs, settings, first_step=0):
    found = pipeline.training_batches(pairs, settings, first_step)
    return list(found.as_numpy_iterator())


def assert_equal(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_an_epoch_has_as_many_pieces_as_cover_the_images(pairs):
    counts = pieces.count_pieces(pairs, config().data)
    assert counts.tolist() == [9, 2, 1, 2, 1]


def test_every_epoch_shows_every_image(pairs):
    shown = np.concatenate([images for images, _ in batches(pairs, config())])
    numbers = (shown[..., 0].mean((1, 2)) / 40).round().astype(int)
    first, second = numbers.reshape(2, -1)
    assert set(first) == set(second) == set(range(len(SIZES)))
    assert first.tolist() != second.tolist()


def test_pieces_have_the_size_of_the_tile_and_the_next_batch_has_others(pairs):
    (images, masks), (others, _), *_ = batches(pairs, config())
    assert images.shape == (4, *TILE, 3)
    assert masks.shape == (4, *TILE, 1)
    assert (images != others).any()


def test_a_piece_shows_neighbours_side_by_side(pairs):
    for images, _ in batches(pairs, config()):
        steps = np.abs(np.diff(images[..., 1].astype(int), axis=1))
        assert set(np.unique(steps)) <= {0, 3}


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 7))
def test_from_any_step_on_the_pieces_are_the_same(pairs, first_step):
    changing = config(augment=MOVING)
    whole = batches(pairs, changing)
    assert_equal(whole[first_step:], batches(pairs, changing, first_step))


def test_a_cache_changes_no_piece(pairs, tmp_path):
    cached = [
        batches(
            pairs,
            replace(with_data(config(augment=MOVING), cache=cache), output=tmp_path),
        )
        for cache in ("none", "memory", "disk")
    ]
    assert_equal(cached[0], cached[1])
    assert_equal(cached[0], cached[2])


def test_an_image_is_decoded_once_whatever_its_pieces(tmp_path):
    pair = write(tmp_path, 0, (80, 80))
    found = pipeline.training_batches([pair], config())
    first = next(found.as_numpy_iterator())
    pair.image.unlink()
    assert_equal([first], [next(found.as_numpy_iterator())])


def test_another_seed_gives_other_pieces(pairs):
    other = config(fit=replace(config().fit, seed=4))
    one, another = batches(pairs, config())[0], batches(pairs, other)[0]
    assert (one[0] != another[0]).any()


@pytest.mark.parametrize("augment", [STILL, MOVING])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_share_of_pieces_with_foreground_is_the_one_asked_for(
    tmp_path, augment, share
):
    # One pixel of foreground in 160,000: hardly a piece finds it by chance.
    pair = write(tmp_path, 0, (400, 400))
    wanted = with_data(config(augment=augment), foreground_tiles=share)
    reader = pipeline.PieceReader([pair], wanted)
    tile = cut_of(wanted).tile
    hits = 0
    for number in range(100):
        _, mask = reader.piece(number)
        hits += int(pieces.middle(mask[..., None], tile).any())
    assert hits / 100 == pytest.approx(share, abs=0.15)


def test_foreground_is_still_there_when_all_has_been_moved(tmp_path):
    pair = write(tmp_path, 0, (400, 400))
    wanted = with_data(config(augment=MOVING), foreground_tiles=1.0, tile_size=(32, 32))
    large = mask_of_a_box(tmp_path / "box.png", (400, 400))
    masks = np.concatenate([m for _, m in batches([replace(pair, mask=large)], wanted)])
    assert masks.any((1, 2, 3)).mean() == 1


def mask_of_a_box(file, size):
    mask = np.zeros(size, np.uint8)
    mask[100:103, 200:203] = 255
    Image.fromarray(mask).save(file)
    return file


def test_every_class_has_its_turn(tmp_path):
    mask = np.zeros((200, 200), np.uint8)
    mask[:100] = 1
    mask[150, 150] = 2
    mask[199] = IGNORE
    places = find_places(mask, 9, (0,))
    assert [len(found) for found in places] == [144, 1]
    assert places[1].tolist() == [[150, 150]]
    for row, column in places[0]:
        assert mask[row, column] == 1
    rng, cut = np.random.default_rng(0), cut_of(config())
    corners = [place_tile((200, 200), cut, places, rng) for _ in range(100)]
    rare = [
        150 - 16 < row <= 150 and 150 - 16 < column <= 150 for row, column in corners
    ]
    assert np.mean(rare) == pytest.approx(0.5, abs=0.15)


def test_no_augmentation_shows_what_is_mirrored_where_the_image_has_pixels(tmp_path):
    # The place of each pixel is its colour; mirrored, neighbours would turn back.
    rows, columns = np.indices((240, 240))
    image = np.stack([rows * 0, rows, columns], -1).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(image[..., 0]).save(tmp_path / "m.png")
    pair = Pair(tmp_path / "a.png", tmp_path / "m.png", "a")
    wanted = with_data(config(augment=MOVING), tile_size=(32, 32))
    shown = [images[..., 1:] for images, _ in batches([pair], wanted)]
    # Beyond the edges of the image there is nothing else to show.
    inside = [p for p in np.concatenate(shown) if p.min() > 1 and p.max() < 238]
    assert len(inside) > 50
    for places in inside:
        assert_unfolded(places.astype(float))


def assert_unfolded(places):
    """Checks that a map of places keeps its orientation everywhere."""
    down, across = (np.diff(places, axis=axis)[:31, :31] for axis in (0, 1))
    smooth = [uniform(part) for part in (down, across)]
    turn = smooth[0][..., 0] * smooth[1][..., 1] - smooth[0][..., 1] * smooth[1][..., 0]
    assert (turn > 0).all() or (turn < 0).all()


def uniform(steps):
    """Returns the mean over 5×5 pixels, because colours are whole numbers."""
    windows = np.lib.stride_tricks.sliding_window_view(steps, (5, 5), (0, 1))
    return windows.mean((-1, -2))


@given(
    st.tuples(st.integers(1, 50), st.integers(1, 50)),
    st.tuples(st.integers(-60, 60), st.integers(-60, 60)),
)
def test_beyond_its_edges_an_image_is_mirrored(size, corner):
    cut = cut_of(config(augment=MOVING))
    rows, columns = window_places(size, corner, cut)
    assert (len(rows), len(columns)) == cut.window
    border = [(side - TILE[0]) // 2 for side in cut.window]
    for axis, (found, side) in enumerate(zip((rows, columns), size, strict=True)):
        wide = np.pad(np.arange(side), 200, "reflect" if side > 1 else "edge")
        start = corner[axis] - border[axis] + 200
        np.testing.assert_array_equal(found, wide[start : start + len(found)])


@settings(max_examples=200)
@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.integers(0, 10**6),
)
def test_a_tile_lies_in_the_image_or_holds_all_of_it(size, seed):
    cut = cut_of(config())
    corner = place_tile(size, cut, None, np.random.default_rng(seed))
    for start, side, tile in zip(corner, size, TILE, strict=True):
        inside = 0 <= start <= side - tile
        assert inside if side >= tile else side - tile <= start <= 0


@settings(max_examples=200)
@given(st.integers(0, 89), st.integers(0, 10**6), st.booleans())
def test_a_wanted_pixel_lies_in_the_tile(pixel, seed, moving):
    cut = cut_of(config(augment=MOVING if moving else STILL))
    places = (np.array([[pixel, 3]], np.int32),)
    row, _ = place_tile((90, 90), cut, places, np.random.default_rng(seed))
    assert row <= pixel < row + TILE[0]


def test_a_window_is_no_larger_than_it_must_be():
    assert cut_of(config()).window == TILE
    flipped = config(augment=AugmentConfig(flip="both", contrast=0.5))
    assert cut_of(flipped).window == TILE
    turned = config(augment=AugmentConfig(rotation_degrees=180.0))
    assert 22 <= cut_of(turned).window[0] <= 26


@pytest.mark.parametrize("tile", [8, 16, 20, 36])
def test_pieces_of_the_papers_network_have_its_context(tile):
    network = UNetConfig(depth=2, filters=1, padding="valid")
    cut = cut_of(with_data(config(model=network), tile_size=(tile, tile)))
    assert min(cut.tile) >= tile
    logits = build_unet(network)(np.zeros((1, *cut.seen, 3), "float32"))
    assert tuple(logits.shape[1:3]) == cut.tile


def test_a_resolution_changes_the_size_at_which_pieces_are_cut(pairs):
    half = with_data(config(), resolution=0.5)
    assert pieces.seen_sizes(pairs, half.data).tolist()[:2] == [[20, 28], [4, 35]]
    images, _ = batches(pairs, half)[0]
    assert images.shape == (4, *TILE, 3)


def test_validation_shows_whole_images(pairs):
    found = pipeline.validation_batches(pairs, config()).as_numpy_iterator()
    assert [images.shape[1:3] for images, _ in found] == SIZES


def test_the_pairs_of_a_step_are_those_of_its_pieces(pairs):
    for step, (images, _) in enumerate(batches(pairs, config())):
        named = pipeline.pairs_of_step(pairs, config(), step)
        numbers = (images[..., 0].mean((1, 2)) / 40).round().astype(int)
        assert [int(pair.image.stem) for pair in named] == numbers.tolist()
