"""A run's network as one function of images: any size in, probabilities out."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_unet.config import Config, PredictConfig
from keras_unet.data.masks import shown
from keras_unet.data.resize import Strips, resampled, resized, strips
from keras_unet.data_config import MOST_VALUE
from keras_unet.errors import BadData, BadUsage
from keras_unet.model.unet import to_mask, to_probability
from keras_unet.prediction.inputs import Given, read_all
from keras_unet.prediction.tiles import Tiler, tile_network, tilings
from keras_unet.prediction.weights_file import load_network
from keras_unet.run_folder import RunFolder
from keras_unet.types import Image, Mask, Probability, Tensor


def class_values(config: Config) -> npt.NDArray[np.uint8 | np.uint16]:
    """Returns what is written for each class: (classes,), or (classes, 3) of colours.

    That is 0 and 255 of a binary network, else the values that the classes have in the
    masks of the training: uint8 up to 255, uint16 above, RGB if they are colours.

    Raises:
        BadData: a value fits no PNG.
    """
    own = _own_values(config)
    numbers = (0, 255) if config.model.classes <= 2 else range(config.model.classes)
    values = np.array(own or numbers, np.int64)
    if values.min() < 0 or values.max() > MOST_VALUE:
        raise BadData(
            f"the class values {shown(values.tolist(), config.data)} of config.json "
            f"fit no PNG (0 to {MOST_VALUE}): train on masks with other values"
        )
    colours = own and config.data.mask_reading == "colours"
    if colours or values.max() > 0xFFFF:
        return np.stack([values >> 16, values >> 8, values], -1).astype(np.uint8)
    return values.astype(np.uint8 if values.max() <= 0xFF else np.uint16)


def as_written(
    mask: Mask, values: npt.NDArray[np.uint8 | np.uint16]
) -> npt.NDArray[np.uint8 | np.uint16]:
    """Returns values or colours of class ids; values of 8 bits take their place."""
    written = mask
    if values.ndim > 1 or values.dtype != mask.dtype:
        written = np.empty((*mask.shape, *values.shape[1:]), values.dtype)
    if len(values) == 2:
        # Whole numbers wrap around: any two come out.
        ids = mask if values.ndim == 1 else mask[..., np.newaxis]
        np.multiply(ids, np.diff(values, axis=0), written)
        written += values[:1]
        return written
    # Row by row, because NumPy makes eight bytes of each id.
    for row, ids in zip(written, mask, strict=True):
        values.take(ids, 0, row, "clip")
    return written


def describe_values(config: Config) -> str:
    """Returns in words what ``class_values`` says, with the names of the classes."""
    values = class_values(config)
    kind = "RGB" if values.ndim == 2 else f"grey in {8 * values.itemsize} bits"
    texts = [
        f"0x{bytes(value).hex()}" if values.ndim == 2 else str(value)
        for value in values
    ]
    meant = [f"{t} {name}" for t, name in zip(texts, class_names(config), strict=True)]
    return f"{kind}, {', '.join(meant)}"


def _own_values(config: Config) -> tuple[int, ...]:
    """Returns the values of the classes in the user's masks, if they say classes."""
    own, count = config.data.class_values, max(config.model.classes, 2)
    return own if config.data.mask_kind == "classes" and len(own) == count else ()


_LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601, as Pillow and libjpeg turn RGB to grey."""


def class_names(config: Config) -> tuple[str, ...]:
    """Returns the names of the probability's channels, background first."""
    if config.data.class_names:
        return config.data.class_names
    if config.model.classes <= 2:
        return ("background", "foreground")
    return tuple(map(str, range(config.model.classes)))


class Segmenter:
    """A trained network as one function of images.

    Attributes:
        config: of the run.
        network: in float32.
        forward: from images (b, h, w, channels) at the run's size to probability.
    """

    def __init__(
        self, run: RunFolder | Path | str, predict: PredictConfig | None = None
    ) -> None:
        """Loads the run's best network.

        Args:
            run: the run, or its folder.
            predict: how probabilities become masks; by default as the run's config
                says.

        Raises:
            BadData: the run has no config or no weights.
        """
        run = run if isinstance(run, RunFolder) else RunFolder(run)
        config = run.load_config()
        config = replace(config, predict=predict or config.predict)
        self._begin(load_network(run), config)

    @classmethod
    def of(cls, network: keras.Model, config: Config) -> Segmenter:
        """Returns the one of a network that belongs to no run.

        Args:
            network: from images (b, h, w, channels) in 0..255 to logits (b, h, w, c).
            config: its ``data`` says how large images are seen, ``model`` the channels
                and classes, ``predict`` how probabilities become masks.

        Raises:
            BadUsage: the network has other channels or classes.
        """
        wanted = (config.model.channels, config.model.classes)
        found = (network.input_shape[-1], network.output_shape[-1])
        if found != wanted:
            raise BadUsage(f"expected channels and classes {wanted}, found {found}")
        segmenter = cls.__new__(cls)
        segmenter._begin(network, config)
        return segmenter

    def _begin(self, network: keras.Model, config: Config) -> None:
        self.config, self.network = config, network
        forward = probability_function(network, config)
        self.forward = tf.function(forward, reduce_retracing=True)
        self._tiler = tiler(network, config) if config.data.tiles else None

    def probability(self, image: Given) -> Probability:
        """Returns the classes' probability, float32 (h, w, classes ≥ 2), of one image.

        It is what ``predict`` finds in the image's file.

        Args:
            image: a file's path, one of Pillow's images (of any mode; EXIF turns it),
                or an array of uint8 or uint16: grey (h, w) or (h, w, 1), RGB (h, w, 3)
                or RGBA (h, w, 4), whose alpha counts for nothing.

        Raises:
            BadUsage: it is none of these, or empty.
            BadData: the file or Pillow's image cannot be read, or is too large.
        """
        return self.probabilities([image])[0]

    def probabilities(self, images: Sequence[Given]) -> list[Probability]:
        """Returns the probability of each image, as ``probability`` does of one.

        Raises:
            BadUsage: these are not several images, or as by ``probability``.
            BadData: as by ``probability``.
        """
        pixels = read_all(images, self.config.model.channels, self.config.data)
        return [
            np.concatenate([strip for _, strip in one]) for one in self.strips(pixels)
        ]

    def strips(self, images: Sequence[Image], foreground: bool = False) -> list[Strips]:
        """Returns the probability of each image, uint8 (h, w, c), strip by strip.

        The strips are made when they are asked for, once and at the image's own size:
        no image's probability need ever be in memory as a whole. With ``foreground``,
        of two classes they have the second's alone.
        """
        if self._tiler:
            return [self._by_tiles(self._tiler, one, foreground) for one in images]
        if not images:
            return []
        seen = [resized(image, self.config.data.image_size) for image in images]
        small = self.forward(tf.stack(seen)).numpy()
        if small.shape[1:3] != tuple(self.config.data.image_size):
            raise BadUsage(
                "a network must keep its images' size, as build_network's does"
            )
        if foreground and small.shape[-1] == 2:
            small = small[..., 1:]
        sizes = [image.shape[:2] for image in images]
        return [strips(one, size) for one, size in zip(small, sizes, strict=True)]

    def _by_tiles(self, tiler: Tiler, image: Image, foreground: bool) -> Strips:
        height, width = image.shape[:2]
        seen = self.config.data.seen_size((height, width))
        small = tiler.strips(image, seen, foreground)
        return resampled(small, seen[0], (height, width))

    def decide(self, probability: Probability) -> Mask:
        """Returns the class ids ([b,] h, w) that a probability stands for."""
        mask: Mask = np.asarray(to_mask(probability, self.config.predict.threshold))
        return mask


def tiler(network: keras.Model, config: Config) -> Tiler:
    """Returns the network of a run in tiles as one function of images of any size."""
    predict = probability_function(tile_network(network), config)
    return Tiler(predict, config.model.classes, *tilings(config))


def probability_function(
    network: keras.Model, config: Config
) -> Callable[[Tensor], Tensor]:
    """Returns a function from images (b, h, w, c) in 0..255 to probability.

    With ``config.predict.test_time_flips`` it is the mean over the images and the forms
    that ``test_time_flips`` makes of them.
    """
    return with_flips(lambda images: probability_of(network, images), config)


def test_time_flips(config: Config) -> list[str]:
    """Returns by which flips, and all that they make together, forms are averaged.

    The training showed the network all of these: those of ``--flip``, and squares
    mirrored at their diagonal, where it mirrored both ways and made quarter turns.
    """
    augment, (height, width) = config.augment, config.data.network_size
    if not config.predict.test_time_flips or augment.flip == "none":
        return []
    if augment.flip != "both":
        return [augment.flip]
    eight = augment.rotation_degrees >= 90 and height == width
    return ["vertical", "horizontal", *["diagonal"] * eight]


def with_flips(
    predict: Callable[[Tensor], Tensor], config: Config
) -> Callable[[Tensor], Tensor]:
    """Returns the mean of ``predict`` over images (b, h, w, c) and flipped forms."""
    for flip in test_time_flips(config):
        predict = _mean_with(predict, flip)
    return predict


def _mean_with(
    predict: Callable[[Tensor], Tensor], flip: str
) -> Callable[[Tensor], Tensor]:
    def mean(images: Tensor) -> Tensor:
        other = _flipped(predict(_flipped(images, flip)), flip)
        return (predict(images) + other) / 2

    return mean


def _flipped(images: Tensor, flip: str) -> Tensor:
    if flip == "diagonal":
        return tf.transpose(images, (0, 2, 1, 3))
    return tf.reverse(images, [1 if flip == "vertical" else 2])


def probability_of(network: keras.Model, images: Tensor) -> Tensor:
    """Returns probability (b, h, w, classes ≥ 2) of images (b, h, w, 3) in 0..255.

    A grey network gets the images' luma, or grey images (b, h, w, 1) as they are.
    """
    if network.input_shape[-1] == 1 and images.shape[-1] == 3:
        # A convolution, because mobile GPUs take it and no matrix product.
        images = tf.nn.conv2d(images, tf.reshape(_LUMA, (1, 1, 3, 1)), 1, "VALID")
    return to_probability(network(images, training=False))


_T = TypeVar("_T")
_R = TypeVar("_R")

# A batch of Carvana's images takes 100 MB.
BATCH, READERS = 4, max(2, min(8, (os.cpu_count() or 2) // 2))
MOST_PIXELS = 16_000_000
"""In a batch, and in what is read beforehand; an image above is alone in either."""


def read_ahead(
    items: Iterable[_T],
    read: Callable[[_T], _R],
    pixels: Callable[[_T], int] = lambda _: 0,
) -> Iterator[_R]:
    """Yields ``read`` of each item, in order, a few of them read beforehand.

    What ``read`` raises is raised when its item's turn comes.

    Args:
        items: what is read.
        read: reads one, in another thread.
        pixels: of an item, asked before it is read.
    """
    waiting: deque[Future[_R]] = deque()
    sizes: deque[int] = deque()
    pool = ThreadPoolExecutor(READERS)
    try:
        for item in items:
            size = pixels(item)
            while waiting and (
                len(waiting) == BATCH + READERS or sum(sizes) + size > MOST_PIXELS
            ):
                sizes.popleft()
                yield waiting.popleft().result()
            sizes.append(size)
            waiting.append(pool.submit(read, item))
            # What a large one holds is let go before the next item is made.
            del item
            while sum(sizes) >= MOST_PIXELS:
                sizes.popleft()
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def batches(
    items: Iterable[_T], size: int, pixels: Callable[[_T], int] = lambda _: 0
) -> Iterator[list[_T]]:
    """Yields lists of ``size`` items; fewer at the end, or of so many ``pixels``."""
    batch: list[_T] = []
    total = 0
    for item in items:
        batch.append(item)
        total += pixels(item)
        # It would hold an image that the caller has let go.
        del item
        if len(batch) == size or total > MOST_PIXELS:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch
