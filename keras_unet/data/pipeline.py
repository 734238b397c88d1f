"""Batches for training and validation, in an order that only the config decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_unet.config import Config
from keras_unet.data import read
from keras_unet.data.pair import Pair
from keras_unet.data.store import DiskStore, MemoryStore, NoStore, Store
from keras_unet.errors import BadUsage

# Symbolic tensors have no common public type on both stacks.
Tensor = Any


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
    Step k's batch is the same whatever ``first_step`` is.
    """
    order = _order(len(pairs), config)
    samples = np.arange(first_step * config.fit.batch_size, len(order))
    dataset = tf.data.Dataset.from_tensor_slices((order[samples], samples))
    dataset = dataset.map(_reader(pairs, config), tf.data.AUTOTUNE)
    dataset = dataset.batch(config.fit.batch_size, drop_remainder=True)
    return _finish(dataset.map(_to_network, tf.data.AUTOTUNE))


def validation_batches(pairs: Sequence[Pair], config: Config) -> tf.data.Dataset:
    """Returns every pair once, in order and unchanged; the last batch may be smaller."""
    index = np.arange(len(pairs))
    dataset = tf.data.Dataset.from_tensor_slices((index, index))
    dataset = dataset.map(_reader(pairs, config), tf.data.AUTOTUNE)
    dataset = dataset.batch(config.fit.batch_size)
    return _finish(dataset.map(_to_network, tf.data.AUTOTUNE))


def pairs_of_step(pairs: Sequence[Pair], config: Config, step: int) -> list[Pair]:
    """Returns the pairs of which ``training_batches`` makes step ``step``."""
    size = config.fit.batch_size
    order = _order(len(pairs), config)[step * size : (step + 1) * size]
    return [pairs[index] for index in order]


def _order(count: int, config: Config) -> np.ndarray:
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
    """Returns the map from (index, sample) to (image, mask, sample)."""
    height, width = config.data.image_size
    channels = config.model.channels
    store = _store(len(pairs), config)

    def read_row(index: np.int64) -> np.ndarray:
        row = store.get(index)
        if row is None:
            row = _row(pairs[index], config)
            store.put(index, row)
        return row

    def load(index: Tensor, sample: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        row = tf.numpy_function(read_row, [index], tf.uint8, stateful=False)
        split = height * width * channels
        image = tf.reshape(row[:split], (height, width, channels))
        mask = tf.reshape(row[split:], (height, width, 1))
        return image, mask, sample

    return load


def _row(pair: Pair, config: Config) -> np.ndarray:
    image = read.read_image(pair.image, config.model.channels, config.data)
    mask = read.read_mask(pair, config.data)
    return np.concatenate([image.ravel(), mask.ravel()])


def _store(count: int, config: Config) -> Store:
    height, width = config.data.image_size
    row_bytes = height * width * (config.model.channels + 1)
    if config.data.cache == "none":
        return NoStore()
    if config.data.cache == "disk":
        return DiskStore(count, row_bytes, config.output)
    return MemoryStore(count, row_bytes)


def _to_network(image: Tensor, mask: Tensor, sample: Tensor) -> tuple[Tensor, Tensor]:
    return tf.cast(image, tf.float32), mask


def _finish(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    return dataset.with_options(options).prefetch(tf.data.AUTOTUNE)
