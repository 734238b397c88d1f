"""Batches for training and validation, in an order that only the config decides."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_unet.config import Config
from keras_unet.data import augment, read, records
from keras_unet.data.pair import Pair
from keras_unet.data.store import (
    DiskStore,
    MemoryStore,
    Pictures,
    Store,
    machine_memory,
)
from keras_unet.errors import BadData, BadUsage

# Symbolic tensors have no common public type on both stacks.
Tensor = Any

_MARK = "cannot feed the network: "
# The stores of training and of validation live side by side.
_MEMORY_SHARE = 0.3


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Returns the number of whole batches in ``count`` training pairs.

    Raises:
        BadUsage: there are fewer pairs than a batch has.
    """
    if count < batch_size:
        raise BadUsage(
            f"--batch-size {batch_size} is more than the {count} training pairs: "
            f"take {max(count, 1)} or less"
        )
    return count // batch_size


def training_batches(
    pairs: Sequence[Pair], config: Config, first_step: int = 0
) -> tf.data.Dataset:
    """Returns batches from ``first_step`` to the last step of the last epoch.

    Images are float32 (b, h, w, c), 0..255, masks are class ids, uint8 (b, h, w, 1).
    Step k's batch is the same whatever ``first_step`` and the cache are.

    Raises:
        BadUsage: a batch has more pairs than there are.
    """
    order = _order(len(pairs), config)
    samples = np.arange(first_step * config.fit.batch_size, len(order))
    seeds = np.stack([np.full_like(samples, config.fit.seed), samples], -1)
    source = order[samples], seeds.astype(np.int32)

    def change(image: Tensor, mask: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
        image = tf.cast(image, tf.float32)
        return augment.augment(image, mask, seeds, config.augment)

    dataset = tf.data.Dataset.from_tensor_slices(source)
    dataset = dataset.map(_reader(pairs, config), tf.data.AUTOTUNE)
    dataset = dataset.batch(config.fit.batch_size, drop_remainder=True)
    return _finish(dataset.map(change, tf.data.AUTOTUNE))


def validation_batches(pairs: Sequence[Pair], config: Config) -> tf.data.Dataset:
    """Returns every pair once, in order and unchanged; the last batch may be short."""
    index = np.arange(len(pairs))

    def change(image: Tensor, mask: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        return tf.cast(image, tf.float32), mask

    dataset = tf.data.Dataset.from_tensor_slices((index, index))
    dataset = dataset.map(_reader(pairs, config), tf.data.AUTOTUNE)
    dataset = dataset.batch(config.fit.batch_size)
    return _finish(dataset.map(change, tf.data.AUTOTUNE))


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
        return "cache: none, every picture is read from its file each time"
    if config.data.cache == "disk":
        return f"cache: {size} on disk, in {config.output}"
    if kept == count:
        return f"cache: {size} of memory"
    return (
        f"cache: {kept} of {count} pictures, which fill {_MEMORY_SHARE:.0%} of the "
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


def _reader(
    pairs: Sequence[Pair], config: Config
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]:
    """Returns the map from (index, anything) to (image, mask, anything), uint8."""
    height, width = config.data.image_size
    image_shape, mask_shape = (height, width, config.model.channels), (height, width, 1)
    read_pair = _cached(pairs, config)

    def load(index: Tensor, passed_on: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        types = [tf.uint8, tf.uint8]
        image, mask = tf.numpy_function(read_pair, [index], types, stateful=False)
        image.set_shape(image_shape)
        return image, tf.reshape(mask, mask_shape), passed_on

    return load


def _cached(pairs: Sequence[Pair], config: Config) -> Callable[[int], Pictures]:
    """Returns what gives a pair's image (h, w, c) and mask (h, w)."""
    store = _store(len(pairs), config)

    def read_pair(index: int) -> Pictures:
        kept = store.get(index) if store else None
        if kept is not None:
            return kept
        try:
            pair = _read(pairs[index], config)
        except BadData as error:
            # All that is left of an exception in a dataset is its text.
            raise BadData(_MARK + " ".join(str(error).split("\n"))) from error
        if store:
            store.put(index, pair)
        return pair

    return read_pair


def _read(pair: Pair, config: Config) -> Pictures:
    data, channels = config.data, config.model.channels
    if pair.record:
        meaning = partial(read.class_ids, pair, data=data)
        return records.read_record(pair.record, channels, data.image_size, meaning)
    return read.read_image(pair.image, channels, data), read.read_mask(pair, data)


def _store(count: int, config: Config) -> Store | None:
    height, width = config.data.image_size
    shapes = (height, width, config.model.channels), (height, width)
    if config.data.cache == "none":
        return None
    if config.data.cache == "disk":
        return DiskStore(count, shapes, config.output)
    return MemoryStore(_places(count, config), shapes)


def _places(count: int, config: Config) -> int:
    return min(count, int(machine_memory() * _MEMORY_SHARE) // _pair_bytes(config))


def _pair_bytes(config: Config) -> int:
    height, width = config.data.image_size
    return height * width * (config.model.channels + 1)


def _finish(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    return dataset.with_options(options).prefetch(2)
