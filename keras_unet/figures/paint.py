"""Masks and errors painted over images, as arrays (h, w, 3) of bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from keras_unet.data_config import IGNORE
from keras_unet.types import Image, Mask

Colour = tuple[int, int, int]

# Okabe and Ito's palette, which stays apart for every kind of colour vision
# (https://jfly.uni-koeln.de/color/), and a magenta that few photographs hold.
MAGENTA: Colour = (220, 38, 127)
BLUE: Colour = (0, 114, 178)
VERMILION: Colour = (213, 94, 0)
GREEN: Colour = (0, 158, 115)
ORANGE: Colour = (230, 159, 0)
SKY: Colour = (86, 180, 233)
PURPLE: Colour = (204, 121, 167)
YELLOW: Colour = (240, 228, 66)
BROWN: Colour = (140, 86, 75)
OLIVE: Colour = (148, 160, 40)
GREY: Colour = (136, 136, 136)
WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)

HIT, MISS, FALSE_ALARM = SKY, VERMILION, YELLOW
"""Colours of foreground that was found, was missed, and was seen where none is."""

# None of those that mark errors.
_CLASSES = [MAGENTA, GREEN, ORANGE, BLUE, PURPLE, BROWN, OLIVE]


def class_colour(class_id: int) -> Colour:
    """Returns the colour of a foreground class; beyond seven they come again."""
    return GREY if class_id == IGNORE else _CLASSES[(class_id - 1) % len(_CLASSES)]


def palette(own: bytes = b"") -> bytes:
    """Returns 256 colours, three bytes each: ``own`` ones, then those of Pascal VOC."""
    ids = np.arange(256)[:, None]
    voc = np.zeros((256, 3), np.int64)
    for bit in range(8):
        # Of each three bits of a number, one goes to each channel, the lowest on top.
        voc |= (ids >> (3 * bit + np.arange(3)) & 1) << (7 - bit)
    return own + voc.astype(np.uint8).tobytes()[len(own) :]


def as_colour(image: Image) -> Image:
    """Returns ``image`` (h, w, 1 or 3) with three channels."""
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image


def paint_mask(image: Image, mask: Mask, opacity: float = 0.4) -> Image:
    """Returns ``image`` with each class of ``mask`` (h, w) tinted and outlined."""
    colours = _colour_table()[mask]
    strength = (mask > 0).astype(np.float32) * opacity
    strength[outline(mask)] = 1.0
    colours[(mask == 0) & (strength > 0)] = WHITE
    return _blend(as_colour(image), colours, strength)


def paint_instances(image: Image, instances: npt.NDArray[Any]) -> Image:
    """Returns ``image`` with each of ``instances`` (h, w) in a colour of its own."""
    places = np.unique(instances, return_inverse=True)[1].reshape(instances.shape)
    # Hues a golden section apart: neighbours in number are far apart in colour.
    hues = (np.arange(places.max() + 1) * 0.618034)[:, None] + [0, 1 / 3, 2 / 3]
    colours = (255 * (0.5 + 0.5 * np.cos(2 * np.pi * hues))).astype(np.uint8)
    strength = np.where(instances > 0, 0.55, 0.0).astype(np.float32)
    return _blend(as_colour(image), colours[places], strength)


def paint_classes(mask: Mask) -> Image:
    """Returns ``mask`` (h, w) in black and white, or black and the classes' colours."""
    if mask.max(initial=0) == 1:
        return as_colour(mask[..., None] * 255)
    return np.where(mask[..., None] > 0, _colour_table()[mask], 0).astype(np.uint8)


def paint_errors(image: Image, mask: Mask, prediction: Mask) -> Image:
    """Returns the faded ``image`` under hits, misses and false alarms.

    A foreground class taken for another counts as a miss.
    """
    grey = as_colour(image).mean(axis=-1, keepdims=True)
    faded = np.broadcast_to(60 + 0.45 * grey, (*mask.shape, 3)).astype(np.uint8)
    colours = np.zeros((*mask.shape, 3), np.uint8)
    strength = np.zeros(mask.shape, np.float32)
    for where, colour, opacity in [
        ((mask > 0) & (prediction == mask), HIT, 0.3),
        ((mask > 0) & (prediction != mask), MISS, 1.0),
        ((mask == 0) & (prediction > 0), FALSE_ALARM, 1.0),
        (mask == IGNORE, GREY, 1.0),
    ]:
        colours[where], strength[where] = colour, opacity
    return _blend(faded, colours, strength)


def paint_grid(image: Image, lines: int = 10) -> Image:
    """Returns ``image`` with ``lines`` lines along its longer side painted over it.

    A line is dark beside light, to be seen on every ground.
    """
    painted = as_colour(image).copy()
    step = max(4, max(painted.shape[:2]) // lines)
    width = max(1, step // 24)
    for offset in range(2 * width):
        colour = BLACK if offset < width else WHITE
        painted[step // 2 + offset :: step] = colour
        painted[:, step // 2 + offset :: step] = colour
    return painted


def outline(mask: Mask) -> npt.NDArray[np.bool_]:
    """Returns where (h, w) two classes meet, about 1/300 of the image wide."""
    size = 2 * max(1, round(max(mask.shape) / 600)) + 1
    top = ndimage.maximum_filter(mask, size)
    lowest = ndimage.minimum_filter(mask, size)
    return np.asarray(top != lowest)


def _colour_table() -> Image:
    return np.array([class_colour(class_id) for class_id in range(256)], np.uint8)


def _blend(image: Image, colours: Image, strength: npt.NDArray[np.float32]) -> Image:
    painted = np.empty_like(colours)
    # Some rows at a time: of a whole image these are 40 bytes a pixel.
    for top in range(0, len(painted), 64):
        rows = slice(top, top + 64)
        share = strength[rows, :, None]
        painted[rows] = image[rows] * (1 - share) + colours[rows] * share + 0.5
    return painted
