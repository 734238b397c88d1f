"""A run's network as one function of images: any size in, probabilities out."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import keras
import numpy as np
import tensorflow as tf

from keras_unet.config import Config
from keras_unet.data.resize import resize_image
from keras_unet.errors import BadData
from keras_unet.model.unet import build_network
from keras_unet.run_folder import RunFolder
from keras_unet.types import Mask, Probability, Tensor


def load_network(run: RunFolder) -> keras.Model:
    """Returns the run's best network in float32, whatever it was trained in.

    It takes images (b, h, w, channels) in 0..255 and returns logits of the same size.

    Raises:
        BadData: the run has no config or no weights, or they do not fit.
    """
    config = run.load_config()
    weights = run.require_weights()
    with _float32():
        network = build_network(config.model)
    try:
        network.load_weights(weights)
    except (OSError, ValueError, KeyError) as error:
        raise BadData(
            f"{weights} does not fit the network of {run.config_file.name}: {error}"
        ) from None
    return network


def to_probability(logits: Tensor) -> Tensor:
    """Returns the classes' probabilities (b, h, w, channels), which sum to one.

    One logit becomes two channels, [1 − p, p].
    """
    if logits.shape[-1] > 1:
        return tf.nn.softmax(logits)
    foreground = tf.sigmoid(logits)
    return tf.concat([1.0 - foreground, foreground], axis=-1)


def class_names(config: Config) -> tuple[str, ...]:
    """Returns the names of the probability's channels, background first."""
    if config.data.class_names:
        return config.data.class_names
    if config.model.classes <= 2:
        return ("background", "foreground")
    return tuple(map(str, range(config.model.classes)))


class Segmenter:
    """A trained network as one function of pictures.

    Attributes:
        config: of the run.
        network: in float32.
    """

    def __init__(self, run: RunFolder) -> None:
        """Loads the run's best network.

        Raises:
            BadData: the run has no config or no weights.
        """
        self.config = run.load_config()
        self.network = load_network(run)
        size = (*self.config.data.image_size, self.config.model.channels)
        self._forward = tf.function(
            lambda images: to_probability(self.network(images, training=False)),
            input_signature=[tf.TensorSpec((None, *size), tf.float32)],
        )

    def probability(self, image: np.ndarray) -> np.ndarray:
        """Returns (h, w, channels ≥ 2) float32 of one image (h, w, channels) uint8."""
        return self.probabilities([image])[0]

    def probabilities(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Returns the probabilities of images of any sizes, each at its own size."""
        wanted = self.config.data.image_size
        small = [resize_image(image, wanted) for image in images]
        predicted = self._forward(tf.stack(small))
        return [
            np.asarray(_enlarge(one, tf.constant(image.shape[:2])))
            for one, image in zip(predicted, images, strict=True)
        ]


@tf.function(
    input_signature=[tf.TensorSpec((None, None, None)), tf.TensorSpec((2,), tf.int32)]
)
def _enlarge(probability: Tensor, size: Tensor) -> Tensor:
    return tf.image.resize(probability[tf.newaxis], size)[0]


@contextlib.contextmanager
def _float32() -> Iterator[None]:
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("float32")
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def to_classes(probability: Probability) -> Mask:
    """Returns the most probable class (h, w) of probabilities (h, w, channels)."""
    if probability.shape[-1] == 2:
        return (probability[..., 1] > probability[..., 0]).astype(np.uint8)
    return np.asarray(probability.argmax(axis=-1), np.uint8)


_T = TypeVar("_T")
_R = TypeVar("_R")

# Enough to keep two cores busy; a batch of Carvana's pictures takes 100 MB.
BATCH, READERS = 4, 2


def read_ahead(items: Iterable[_T], read: Callable[[_T], _R]) -> Iterator[_R]:
    """Yields ``read`` of each item, in order, a few of them read beforehand.

    What ``read`` raises is raised when its item's turn comes.
    """
    waiting: deque[Future[_R]] = deque()
    with ThreadPoolExecutor(READERS) as pool:
        for item in items:
            waiting.append(pool.submit(read, item))
            if len(waiting) > BATCH + READERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def batches(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Yields lists of ``size`` items; the last may be shorter."""
    batch: list[_T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
