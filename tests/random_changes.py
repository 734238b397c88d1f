"""Images, masks and amplitudes that the tests of augmentation share."""

import zlib
from dataclasses import replace

import numpy as np

from keras_unet.data.augment import augment
from keras_unet.data_config import AugmentConfig

NOTHING = AugmentConfig(flip="none")
MOVES = AugmentConfig(
    flip="both",
    rotation_degrees=180.0,
    scale=0.2,
    shear_degrees=10.0,
    translation=0.2,
    elastic_pixels=3.0,
)
ALL = replace(MOVES, brightness=0.2, contrast=0.2, hue=0.1, noise=0.05)

SEEDS = np.array([[3, 0], [3, 1], [3, 2]], np.int32)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (3, 24, 36, 3)).astype(np.uint8)
MASKS = RNG.choice(np.uint8([0, 7, 255]), (3, 24, 36, 1))


def checksum() -> int:
    """Returns a number that depends on every bit of a large batch."""
    row, column = np.mgrid[:256, :384]
    masks = ((row // 9 + column // 7) % 3).astype(np.uint8)[None, ..., None]
    images = np.stack([row % 256, column % 256, (row * column) % 256], -1)
    images = images.astype(np.uint8)[None].repeat(3, 0)
    image, mask = map(np.asarray, augment(images, masks.repeat(3, 0), SEEDS, ALL))
    return zlib.crc32(image.tobytes() + mask.tobytes())
