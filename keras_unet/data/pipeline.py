"""Batches for training and validation, in an order that only the config decides."""

from __future__ import annotations

import math
import re
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_unet.config import Config
from keras_unet.data import pieces
from keras_unet.data.augment import augment
from keras_unet.data.pair import Pair
from keras_unet.data.pair_cache import ALL, Arrays, make_store, mask_planes
from keras_unet.data.pairs import steps_per_epoch
from keras_unet.data.records import read_seen
from keras_unet.data_config import AugmentConfig
from keras_unet.errors import BadData, Unreadable
from keras_unet.model.weight_map import WEIGHT_OF_LEVEL
from keras_unet.types import Tensor

# A call from the dataset into Python costs as much as a third of reading a pair.
_PAIRS_PER_CALL = 4
_MARK = "cannot feed the network: "
_LOCKS = 64


def training_batches(
    pairs: Sequence[Pair], config: Config, first_step: int = 0
) -> tf.data.Dataset:
    """Returns batches from ``first_step`` to the last step of the last epoch.

    Images are uint8 (b, h, w, c), masks are class ids, uint8 (b, h, w, 1). The network
    makes floats of them where it runs, so that a quarter of the bytes go there. With
    --weight-map come weights, float32 (b, h, w, 1), which Keras hands to the loss. Step
    k's batch is the same whatever ``first_step`` and the cache are. The cache goes with
    the dataset, which its iterators therefore need.

    Raises:
        BadUsage: a batch has more pairs than there are.
    """
    if config.data.tiles:
        return _piece_batches(pairs, config, first_step)
    size, steps = config.fit.batch_size, steps_per_epoch(pairs, config)
    begun, epochs = first_step // steps, config.fit.epochs
    samples = np.arange(first_step * size, epochs * steps * size)
    order = _order(pairs, config, range(begun, epochs))[samples - begun * steps * size]
    seeds = np.stack([np.full_like(samples, config.fit.seed), samples], -1)

    def change(images: Tensor, masks: Tensor, seeds: Tensor) -> tuple[Tensor, ...]:
        return _with_weights(*augment(images, masks, seeds, config.augment))

    dataset = _read_in_order(pairs, config, (order, seeds.astype(np.int32)))
    dataset = dataset.rebatch(size, drop_remainder=True)
    dataset = dataset.map(change, tf.data.AUTOTUNE)
    return _finish(dataset, len(samples) // size)


def _piece_batches(
    pairs: Sequence[Pair], config: Config, first_step: int
) -> tf.data.Dataset:
    cut, size = pieces.cut_of(config), config.fit.batch_size
    reader = PieceReader(pairs, config)
    last = config.fit.epochs * reader.order.length

    held: Held = [reader.batch]

    def load(numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        images, masks = _arrays(held, numbers)
        images.set_shape((None, *cut.window, config.model.channels))
        masks = tf.reshape(masks, (-1, *cut.window, mask_planes(config)))
        numbers = tf.cast(numbers, tf.int32)
        return images, masks, tf.stack([numbers * 0 + config.fit.seed, numbers], -1)

    def change(images: Tensor, masks: Tensor, seeds: Tensor) -> tuple[Tensor, ...]:
        images, masks = augment(images, masks, seeds, cut.augment)
        masks = pieces.middle(masks, cut.tile)
        return _with_weights(pieces.middle(images, cut.seen), masks)

    dataset = tf.data.Dataset.range(first_step * size, last).batch(_PAIRS_PER_CALL)
    dataset = _let_go(dataset.map(load, tf.data.AUTOTUNE), held)
    dataset = dataset.rebatch(size, drop_remainder=True)
    dataset = dataset.map(change, tf.data.AUTOTUNE)
    return _finish(dataset, last // size - first_step)


def _with_weights(images: Tensor, masks: Tensor) -> tuple[Tensor, ...]:
    """Returns images and masks, and the weights if there is a plane of them."""
    if masks.shape[-1] == 1:
        return images, masks
    weights = tf.gather(tf.constant(WEIGHT_OF_LEVEL), tf.cast(masks[..., 1:], tf.int32))
    return images, masks[..., :1], weights


def _without_weights(config: Config) -> Config:
    return replace(config, loss=replace(config.loss, weight_map=False))


def validation_batches(pairs: Sequence[Pair], config: Config) -> tf.data.Dataset:
    """Returns every pair once, in order and unchanged; the last batch may be short.

    Where training sees pieces, each batch is one whole image, of whatever size.
    """
    config = _without_weights(config)
    if config.data.tiles:
        return _whole_images(pairs, config)
    index = np.arange(len(pairs))

    dataset = _read_in_order(pairs, config, (index, index))
    dataset = dataset.map(lambda images, masks, _: (images, masks))
    dataset = dataset.rebatch(config.fit.batch_size)
    return _finish(dataset, math.ceil(len(pairs) / config.fit.batch_size))


def _whole_images(pairs: Sequence[Pair], config: Config) -> tf.data.Dataset:
    held: Held = [PieceReader(pairs, config).whole]

    def load(index: Tensor) -> tuple[Tensor, Tensor]:
        image, mask = _arrays(held, index)
        image.set_shape((None, None, config.model.channels))
        mask.set_shape((None, None))
        return image[None], mask[None, ..., None]

    # One at a time, because they may be large.
    dataset = _let_go(tf.data.Dataset.range(len(pairs)).map(load), held)
    return _finish(dataset, len(pairs), 1)


def first_pieces(pairs: Sequence[Pair], config: Config) -> tf.data.Dataset:
    """Returns one batch of a piece of each pair, with foreground but not augmented."""
    config = replace(config, augment=AugmentConfig(flip="none"))
    cut = pieces.cut_of(config)
    found = [example(pair, config) for pair in pairs]
    images, masks = (np.stack(arrays) for arrays in zip(*found, strict=True))
    images = pieces.middle(images, cut.seen)
    masks = pieces.middle(masks[..., None], cut.tile)
    return tf.data.Dataset.from_tensors((images, masks))


def example(pair: Pair, config: Config) -> Arrays:
    """Returns the window (h, w, c) and (h, w) of a piece with foreground.

    Raises:
        BadData: image or mask cannot be read.
    """
    data = replace(config.data, cache="none", foreground_tiles=1.0)
    config = replace(_without_weights(config), data=data)
    return PieceReader([pair], config).piece(0)


def pairs_of_step(pairs: Sequence[Pair], config: Config, step: int) -> list[Pair]:
    """Returns the pairs that ``training_batches`` makes step ``step`` of."""
    size = config.fit.batch_size
    if config.data.tiles:
        samples = range(step * size, (step + 1) * size)
        owners = pieces.Order(pieces.count_pieces(pairs, config.data), config.fit)
        return [pairs[owners.image_of(number)] for number in samples]
    epoch, step = divmod(step, steps_per_epoch(pairs, config))
    order = _order(pairs, config, range(epoch, epoch + 1))
    return [pairs[index] for index in order[step * size : (step + 1) * size]]


def reading_error(error: tf.errors.OpError) -> BadData | None:
    """Returns what went wrong with a file, if that is what ended the batches."""
    found = re.search(re.escape(_MARK) + "(.*)", str(error.message))
    return BadData(found.group(1)) if found else None


def _order(
    pairs: Sequence[Pair], config: Config, epochs: range
) -> npt.NDArray[np.int64]:
    """Returns the pair index of each sample of some epochs of the run."""
    used, seed = steps_per_epoch(pairs, config) * config.fit.batch_size, config.fit.seed
    rngs = (np.random.default_rng((seed, epoch)) for epoch in epochs)
    shuffled = [rng.permutation(len(pairs))[:used] for rng in rngs]
    return np.concatenate([np.empty(0, np.int64), *shuffled])


def _read_in_order(
    pairs: Sequence[Pair], config: Config, source: tuple[npt.NDArray[Any], ...]
) -> tf.data.Dataset:
    """Returns images and masks, uint8, of a few samples at a time.

    ``source`` is each sample's index into ``pairs``, and what is passed on with it.
    """
    size, held = config.data.image_size, [_cached(pairs, config)]

    def load(indices: Tensor, passed_on: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        images, masks = _arrays(held, indices)
        images.set_shape((None, *size, config.model.channels))
        masks = tf.reshape(masks, (-1, *size, mask_planes(config)))
        return images, masks, passed_on

    dataset = tf.data.Dataset.from_tensor_slices(source).batch(_PAIRS_PER_CALL)
    return _let_go(dataset.map(load, tf.data.AUTOTUNE), held)


def _cached(
    pairs: Sequence[Pair], config: Config
) -> Callable[[npt.NDArray[np.int64]], Arrays]:
    """Returns what gives pairs' images (n, h, w, c) and masks (n, h, w)."""
    size = config.data.image_size
    planes = (mask_planes(config),) if config.loss.weight_map else ()
    shapes = (*size, config.model.channels), (*size, *planes)
    store = make_store(pieces.seen_sizes(pairs, config.data), config)

    def read_pairs(indices: npt.NDArray[np.int64]) -> Arrays:
        images, masks = (np.empty((len(indices), *shape), np.uint8) for shape in shapes)
        absent = []
        for place, index in enumerate(indices):
            kept = store.get(index) if store else None
            if kept is None:
                absent.append(place)
            else:
                images[place], masks[place] = kept
        found = read_seen([pairs[indices[place]] for place in absent], config)
        for place, arrays in zip(absent, found, strict=True):
            images[place], masks[place] = arrays
            if store:
                store.put(indices[place], arrays)
        return images, masks

    return read_pairs


Held = list[Callable[[Any], Arrays]]
"""What reads pairs, with their cache; nothing once the dataset is gone."""


def _let_go(dataset: tf.data.Dataset, held: Held) -> tf.data.Dataset:
    # TensorFlow keeps each Python function that a dataset calls until the process ends.
    weakref.finalize(dataset, held.clear).atexit = False
    return dataset


def _arrays(held: Held, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Returns what is read of numbers, in a dataset; its errors survive that."""

    def call(numbers: Any) -> Arrays:
        if not held:
            raise RuntimeError("the dataset of these batches is gone: keep it")
        try:
            return held[0](numbers)
        except (BadData, OSError) as error:
            # All that is left of an exception in a dataset is its text.
            raise BadData(_MARK + " ".join(str(error).split("\n"))) from error

    types = [tf.uint8, tf.uint8]
    images, masks = tf.numpy_function(call, [numbers], types, stateful=False)
    return images, masks


class PieceReader:
    """Pieces and whole images of pairs, each of which a cache has decode once.

    Args:
        pairs: of any sizes.
        config: of a run that sees pieces.

    Attributes:
        order: which image each piece is cut of.
    """

    def __init__(self, pairs: Sequence[Pair], config: Config) -> None:
        """Looks at the images' sizes."""
        self._pairs, self._config = pairs, config
        self._sizes = pieces.seen_sizes(pairs, config.data)
        self._counts = pieces.count_pieces(pairs, config.data)
        self._store = make_store(self._sizes, config)
        self._locks = [threading.Lock() for _ in range(_LOCKS)]
        self._places: dict[int, pieces.Places] = {}
        self._cut = pieces.cut_of(config)
        self.order = pieces.Order(self._counts, config.fit)

    def whole(self, index: int) -> Arrays:
        """Returns an image (h, w, c) and its mask (h, w) at the size they are seen."""
        return self._ready(int(index))(ALL)

    def batch(self, numbers: Sequence[int]) -> Arrays:
        """Returns the windows (n, h, w, c) and (n, h, w) of pieces of the run."""
        found = [self.piece(int(number)) for number in numbers]
        images, masks = zip(*found, strict=True)
        return np.stack(images), np.stack(masks)

    def piece(self, number: int) -> Arrays:
        """Returns the window of one piece, (h, w, c) and (h, w)."""
        index, seed = self.order.image_of(number), self._config.fit.seed
        # Other numbers than those that order the epochs.
        rng = np.random.default_rng((1, seed, number))
        shown = rng.random() < self._config.data.foreground_tiles
        rows_of = self._ready(index)
        places = self._places_of(index, rows_of) if shown else None
        size = self._sizes[index]
        corner = pieces.place_tile(size, self._cut, places, rng)
        rows, columns = pieces.window_places(size, corner, self._cut)
        first = int(rows.min())
        image, mask = rows_of(slice(first, int(rows.max()) + 1))
        window = np.ix_(rows - first, columns)
        return image[window], mask[window]

    def _ready(self, index: int) -> Callable[[slice], Arrays]:
        """Returns what gives rows of a pair; no two threads decode the same one."""
        store = self._store
        if not store:
            image, mask = self._decoded(index)
            return lambda rows: (image[rows], mask[rows])
        with self._locks[index % _LOCKS]:
            if store.get(index, slice(0)) is None:
                store.put(index, self._decoded(index))

        return lambda rows: cast(Arrays, store.get(index, rows))

    def _decoded(self, index: int) -> Arrays:
        pair = self._pairs[index]
        image, mask = next(read_seen([pair], self._config))
        if image.shape[:2] != tuple(self._sizes[index]):
            raise Unreadable(pair.image, "has another size than before: start again")
        return image, mask

    def _places_of(
        self, index: int, rows_of: Callable[[slice], Arrays]
    ) -> pieces.Places:
        if index in self._places:
            return self._places[index]
        # The same whoever asks first.
        seed = 2, self._config.fit.seed, index
        mask = rows_of(ALL)[1]
        ids = mask if mask.ndim == 2 else mask[..., 0]
        places = pieces.find_places(ids, int(self._counts[index]), seed)
        if self._store:
            self._places[index] = places
        return places


def _finish(dataset: tf.data.Dataset, count: int, ahead: int = 2) -> tf.data.Dataset:
    # Keras asks how many batches there are; after ``rebatch`` TensorFlow cannot say.
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(count))
    options = tf.data.Options()
    options.deterministic = True
    return dataset.with_options(options).prefetch(ahead)
