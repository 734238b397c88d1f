"""The values that classes have in written masks, for ``predict`` and the exports."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from keras_unet.config import Config
from keras_unet.data.masks import shown
from keras_unet.errors import BadData
from keras_unet.prediction.segmenter import class_names
from keras_unet.types import Mask


def class_values(config: Config) -> npt.NDArray[np.uint8 | np.uint16]:
    """Returns what is written for each class: (classes,), or (classes, 3) of colours.

    That is 0 and 255 of a binary network, else the values that the classes have in the
    masks of the training: uint8 up to 255, uint16 above, RGB if they are colours.

    Raises:
        BadData: a value fits no PNG.
    """
    values = np.array(_values(config), np.int64)
    if values.min() < 0 or values.max() > 0xFFFFFF:
        raise BadData(
            f"the class values {shown(values.tolist(), config.data)} of config.json "
            f"fit no PNG, which holds 0 to {0xFFFFFF}: train on masks with other values"
        )
    if config.data.mask_reading == "colours" or values.max() > 0xFFFF:
        return np.stack([values >> 16, values >> 8, values], -1).astype(np.uint8)
    return values.astype(np.uint8 if values.max() <= 0xFF else np.uint16)


def as_written(
    mask: Mask, values: npt.NDArray[np.uint8 | np.uint16]
) -> npt.NDArray[np.uint8 | np.uint16]:
    """Returns the values (h, w) or colours (h, w, 3) of class ids (h, w)."""
    written = np.empty((*mask.shape, *values.shape[1:]), values.dtype)
    # Row by row, because NumPy makes eight bytes of each id.
    for row, ids in zip(written, mask, strict=True):
        row[...] = values[ids]
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


def _values(config: Config) -> tuple[int, ...]:
    classes, own = max(config.model.classes, 2), config.data.class_values
    if config.data.mask_kind == "classes" and len(own) == classes:
        return own
    return (0, 255) if classes == 2 else tuple(range(classes))
