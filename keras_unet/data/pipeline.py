"""Batches for training and validation, in an order that only the config decides."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_unet.config import Config
from keras_unet.data import records
from keras_unet.data.augment import augment
from keras_unet.data.masks import class_ids, read_mask
from keras_unet.data.pair import Pair
from keras_unet.data.pair_cache import (
    Arrays,
    DiskStore,
    MemoryStore,
    Shapes,
    Store,
    machine_memory,
)
from keras_unet.data.pairs import steps_per_epoch
from keras_unet.data.resize import read_resized
from keras_unet.errors import BadData
from keras_unet.types import Tensor

# A call from the dataset into Python costs as much as a third of reading a pair.
_PAIRS_PER_CALL = 4
_MARK = "cannot feed the network: "
# The stores of training and of validation live side by side.
_MEMORY_SHARE = 0.3


def training_batches(
    pairs: Sequence[Pair], config: Config, first_step: int = 0
) -> tf.data.Dataset:
    """Returns batches from ``first_step`` to the last step of the last epoch.

    Images are uint8 (b, h, w, c), masks are class ids, uint8 (b, h, w, 1). The network
    makes floats of them where it runs, so that a quarter of the bytes go there. Step
    k's batch is the same whatever ``first_step`` and the cache are.

    Raises:
        BadUsage: a batch has more pairs than there are.
    """
    order = _order(len(pairs), config)
    samples = np.arange(first_step * config.fit.batch_size, len(order))
    seeds = np.stack([np.full_like(samples, config.fit.seed), samples], -1)
    source = order[samples], seeds.astype(np.int32)

    def change(images: Tensor, masks: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
        return augment(images, masks, seeds, config.augment)

    dataset = _read_in_order(pairs, config, source)
    dataset = dataset.rebatch(config.fit.batch_size, drop_remainder=True)
    dataset = dataset.map(change, tf.data.AUTOTUNE)
    return _finish(dataset, len(samples) // config.fit.batch_size)


def validation_batches(pairs: Sequence[Pair], config: Config) -> tf.data.Dataset:
    """Returns every pair once, in order and unchanged; the last batch may be short."""
    index = np.arange(len(pairs))

    dataset = _read_in_order(pairs, config, (index, index))
    dataset = dataset.map(lambda images, masks, _: (images, masks))
    dataset = dataset.rebatch(config.fit.batch_size)
    return _finish(dataset, math.ceil(len(pairs) / config.fit.batch_size))


def pairs_of_step(pairs: Sequence[Pair], config: Config, step: int) -> list[Pair]:
    """Returns the pairs that ``training_batches`` makes step ``step`` of."""
    size = config.fit.batch_size
    order = _order(len(pairs), config)[step * size : (step + 1) * size]
    return [pairs[index] for index in order]


def reading_error(error: tf.errors.OpError) -> BadData | None:
    """Returns what went wrong with a file, if that is what ended the batches."""
    found = re.search(re.escape(_MARK) + "(.*)", str(error.message))
    return BadData(found.group(1)) if found else None


def cache_line(count: int, config: Config) -> str:
    """Returns a line on where ``count`` pairs are kept, and how much that takes."""
    kept = _places(count, config)
    size = f"{count * _pair_bytes(config) / 1e6:,.0f} MB"
    if config.data.cache == "none":
        return "none, every image is read from its file each time"
    if config.data.cache == "disk":
        return f"{size} on disk, in {config.output}"
    if kept == count:
        return f"{size} of memory"
    return (
        f"{kept} of {count} images, which fill {_MEMORY_SHARE:.0%} of the "
        f"memory; all would take {size} (--cache disk keeps them all)"
    )


def _order(count: int, config: Config) -> npt.NDArray[np.int64]:
    """Returns the pair index of each sample of the run, epoch after epoch."""
    used = steps_per_epoch(count, config.fit.batch_size) * config.fit.batch_size
    epochs = [
        np.random.default_rng((config.fit.seed, epoch)).permutation(count)[:used]
        for epoch in range(config.fit.epochs)
    ]
    return np.concatenate(epochs)


def _read_in_order(
    pairs: Sequence[Pair], config: Config, source: tuple[npt.NDArray[Any], ...]
) -> tf.data.Dataset:
    """Returns images and masks, uint8, of a few samples at a time.

    Args:
        pairs: what is read.
        config: how.
        source: each sample's index into ``pairs``, and what is passed on with it.
    """
    image_shape, mask_shape = _shapes(config)
    read_pairs = _cached(pairs, config)

    def load(indices: Tensor, passed_on: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        types = [tf.uint8, tf.uint8]
        images, masks = tf.numpy_function(read_pairs, [indices], types, stateful=False)
        images.set_shape((None, *image_shape))
        return images, tf.reshape(masks, (-1, *mask_shape, 1)), passed_on

    dataset = tf.data.Dataset.from_tensor_slices(source).batch(_PAIRS_PER_CALL)
    return dataset.map(load, tf.data.AUTOTUNE)


def _cached(
    pairs: Sequence[Pair], config: Config
) -> Callable[[npt.NDArray[np.int64]], Arrays]:
    """Returns what gives pairs' images (n, h, w, c) and masks (n, h, w)."""
    shapes = _shapes(config)
    store = _store(len(pairs), config)

    def read_pairs(indices: npt.NDArray[np.int64]) -> Arrays:
        images, masks = (np.empty((len(indices), *shape), np.uint8) for shape in shapes)
        absent = []
        for place, index in enumerate(indices):
            kept = store.get(index) if store else None
            if kept is None:
                absent.append(place)
            else:
                images[place], masks[place] = kept
        try:
            found = _read([pairs[indices[place]] for place in absent], config)
            for place, arrays in zip(absent, found, strict=True):
                images[place], masks[place] = arrays
                if store:
                    store.put(indices[place], arrays)
        except (BadData, OSError) as error:
            # All that is left of an exception in a dataset is its text.
            raise BadData(_MARK + " ".join(str(error).split("\n"))) from error
        return images, masks

    return read_pairs


def _read(pairs: Sequence[Pair], config: Config) -> Iterator[Arrays]:
    """Yields the pairs' images and masks. Pairs are records, or files, all of them."""
    data, channels = config.data, config.model.channels
    recorded = [(pair, pair.record) for pair in pairs if pair.record]
    for pair, record in recorded:
        meaning = partial(class_ids, pair, data=data)
        yield records.read_record(record, channels, data.image_size, meaning)
    if recorded:
        return
    # All images, then all masks: what reads the one kind stays in the processor's
    # caches, and a pair takes a tenth less time.
    images = [read_resized(pair.image, channels, data) for pair in pairs]
    for image, pair in zip(images, pairs, strict=True):
        yield image, read_mask(pair, data, data.image_size)


def _store(count: int, config: Config) -> Store | None:
    shapes = _shapes(config)
    if config.data.cache == "none":
        return None
    if config.data.cache == "disk":
        return DiskStore(count, shapes, config.output)
    return MemoryStore(_places(count, config), shapes)


def _shapes(config: Config) -> Shapes:
    """Returns the shapes of an image and of its mask."""
    height, width = config.data.image_size
    return (height, width, config.model.channels), (height, width)


def _places(count: int, config: Config) -> int:
    return min(count, int(machine_memory() * _MEMORY_SHARE) // _pair_bytes(config))


def _pair_bytes(config: Config) -> int:
    height, width = config.data.image_size
    return height * width * (config.model.channels + 1)


def _finish(dataset: tf.data.Dataset, count: int) -> tf.data.Dataset:
    # Keras asks how many batches there are; after ``rebatch`` TensorFlow cannot say.
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(count))
    options = tf.data.Options()
    options.deterministic = True
    return dataset.with_options(options).prefetch(2)
