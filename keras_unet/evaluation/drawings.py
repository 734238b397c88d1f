"""Figures of what a run was trained on, and of how its training went."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_unet.config import Config
from keras_unet.data.augment import augment
from keras_unet.data.masks import (
    class_ids,
    instances_of,
    read_mask,
    read_pair,
    read_values,
    weighted,
)
from keras_unet.data.pair import Pair
from keras_unet.data.pieces import cut_of, middle
from keras_unet.data.pipeline import example
from keras_unet.data.resize import at_size, read_resized
from keras_unet.data_config import AugmentConfig
from keras_unet.figures import canvas, charts
from keras_unet.figures.samples import (
    Sample,
    augmentation_figure,
    data_figure,
    thinned,
    weights_figure,
)
from keras_unet.model.weight_map import WEIGHT_OF_LEVEL
from keras_unet.prediction.segmenter import class_names
from keras_unet.run_folder import RunFolder
from keras_unet.types import Image, Mask

DRAWN_PAIRS, TRIED_SEEDS, SEEN_PIXELS = 8, 8, 480


def draw_training(run: RunFolder) -> None:
    """Draws training.png from history.csv, if there is one."""
    if history := run.load_history():
        charts.training_figure(history, run.figures / "training.png")


def draw_data(pairs: Sequence[Pair], config: Config, file: Path) -> None:
    """Draws some of the pairs, spread over all of them, with their masks.

    Where training sees pieces, one of each.
    """
    samples = [
        Sample(pair.image.name, thinned(image), thinned(mask), size=mask.shape)
        for pair in spread(pairs, DRAWN_PAIRS)
        for image, mask in [_shown(pair, config)]
    ]
    data_figure(samples, file, class_names(config))


def _shown(pair: Pair, config: Config) -> tuple[Image, Mask]:
    if not config.data.tiles:
        return read_pair(pair, config.model.channels, config.data)
    still = dataclasses.replace(config, augment=AugmentConfig(flip="none"))
    image, mask = example(pair, still)
    tile = cut_of(still).tile
    return middle(image, tile), middle(mask[..., None], tile)[..., 0]


def draw_augmentation(pair: Pair, config: Config, file: Path) -> None:
    """Draws a pair under each of the run's transformations alone, and under all."""
    height, width = config.data.network_size
    # Small images are enlarged for the eye, and what is measured in pixels with them.
    factor = max(1, round(SEEN_PIXELS / max(height, width)))
    (image, mask), augment, size = _to_augment(pair, config, factor)
    image = canvas.paint_grid(image)
    changed = [("as it is", image, mask)]
    for name, alone in _one_by_one(config.augment):
        share = augment.translation if alone.translation else 0.0
        scaled = dataclasses.replace(
            alone, elastic_pixels=factor * alone.elastic_pixels, translation=share
        )
        changed.append((name, *_most_changed(image, mask, scaled)))
    samples = [
        Sample(name, middle(image, size), middle(mask[..., None], size)[..., 0])
        for name, image, mask in changed
    ]
    augmentation_figure(samples, file)


def _to_augment(
    pair: Pair, config: Config, factor: int
) -> tuple[tuple[Image, Mask], AugmentConfig, tuple[int, int]]:
    """Returns image and mask enlarged, how they are changed, and what is seen then."""
    data, channels = config.data, config.model.channels
    height, width = data.network_size
    size = factor * height, factor * width
    if not data.tiles:
        data = dataclasses.replace(data, image_size=size)
        image = read_resized(pair.image, channels, data)
        return (image, read_mask(pair, data, size)), config.augment, size
    cut, (image, mask) = cut_of(config), example(pair, config)
    height, width = cut.window
    large = factor * height, factor * width
    enlarged = mask.repeat(factor, 0).repeat(factor, 1)
    return (at_size(image, large), enlarged), cut.augment, size


def _one_by_one(config: AugmentConfig) -> list[tuple[str, AugmentConfig]]:
    default = AugmentConfig(flip="none")
    active = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if getattr(config, field.name) != getattr(default, field.name)
    }
    alone = [
        (
            f"{name.replace('_', ' ')} {value}",
            dataclasses.replace(default, **{name: value}),
        )
        for name, value in active.items()
    ]
    return [*alone, ("all together", config)] if len(alone) > 1 else alone


def _most_changed(
    image: Image, mask: Mask, config: AugmentConfig
) -> tuple[Image, Mask]:
    """Returns the pair as changed by that one of some seeds which shows most."""
    images = np.repeat(image[None], TRIED_SEEDS, axis=0)
    masks = np.repeat(mask[None, ..., None], TRIED_SEEDS, axis=0)
    seeds = tf.constant([[seed, 0] for seed in range(TRIED_SEEDS)], tf.int32)
    # As in training, where images change on the CPU, whatever the network is on.
    with tf.device("CPU"):
        changed, moved = augment(tf.constant(images), tf.constant(masks), seeds, config)
    difference = np.abs(np.asarray(changed, np.float32) - images)
    most = int(difference.mean(axis=(1, 2, 3)).argmax())
    return np.asarray(changed[most]), np.asarray(moved[most, ..., 0])


def draw_weights(pair: Pair, config: Config, file: Path) -> None:
    """Draws the weights of a pair's loss as training has them, as the paper's figure 3.

    They are those of the whole image, at the size at which it is seen.
    """
    image = read_resized(pair.image, config.model.channels, config.data)
    size = image.shape[:2]
    values = read_values(pair, config.data)
    ids = class_ids(pair, values, config.data)
    cells = instances_of(ids, values, config.data, size)
    planes = weighted(pair, values, config.data, config.loss, size)
    mask, levels = np.moveaxis(planes, -1, 0)
    weights = WEIGHT_OF_LEVEL[thinned(levels)]
    sample = Sample(pair.image.name, thinned(image), thinned(mask))
    weights_figure(sample, thinned(cells), weights, file)


def spread(pairs: Sequence[Pair], most: int) -> list[Pair]:
    """Returns at most that many pairs, evenly apart, the first and last among them."""
    places = np.linspace(0, len(pairs) - 1, min(most, len(pairs))).round()
    return [pairs[int(place)] for place in places]
