"""A run's weights, which may come from a stranger, looked at before Keras opens them.

Keras follows what an HDF5 file refers to: links and arrays of other files, up to 2.15
and 3.10 of any on the machine.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from keras_unet.errors import BadData
from keras_unet.model.unet import build_network, policy_of_block
from keras_unet.run_folder import RunFolder

MOST_OBJECTS = 20_000
"""Groups and arrays in a file; the deepest network's has not a tenth of them."""

_FILTERS = {
    h5py.h5z.FILTER_DEFLATE,
    h5py.h5z.FILTER_SHUFFLE,
    h5py.h5z.FILTER_FLETCHER32,
}
"""Of compressed arrays; others would load a library."""

_BROKEN = (
    *(OSError, ValueError, TypeError, KeyError, AttributeError, IndexError),
    *(RuntimeError, OverflowError, MemoryError),
)

_LAYERS = "/layers/"
"""Where Keras keeps a network's weights; beside it lies the optimizer's state."""


def load_network(run: RunFolder) -> keras.Model:
    """Returns the run's best network in float32, whatever it was trained in.

    It takes images (b, h, w, channels) in 0..255 and returns logits of the same size.

    Raises:
        BadData: the run has no config or no weights, or they are damaged, not safe to
            open or of another network.
    """
    config = run.load_config()
    weights = run.require_weights()
    with policy_of_block():
        keras.mixed_precision.set_global_policy("float32")
        network = build_network(config.model)
    load_weights(network, weights)
    return network


def load_weights(network: keras.Model, file: Path) -> None:
    """Gives a network the weights in a file of ``save_weights``.

    Raises:
        BadData: the file is damaged, refers to other files or places, holds NaN or
            infinities, or belongs to another network.
    """
    shapes = Counter(tuple(weight.shape) for weight in network.weights)
    try:
        found = _look_at(file, max(map(math.prod, shapes)))
    except _BROKEN as error:
        if isinstance(error, BadData):
            raise
        if isinstance(error, PermissionError):
            raise BadData(f"{file} may not be read (no permission)") from error
        raise BadData(f"{file} is no file of weights, or is damaged") from error
    another = (
        f"{file} holds {_numbers(found)}, but the network of config.json has "
        f"{_numbers(shapes)}: they do not belong together"
    )
    if found != shapes:
        raise BadData(another)
    with warnings.catch_warnings():
        # Before it fails, Keras speaks of everything that it did not find.
        warnings.simplefilter("ignore", UserWarning)
        try:
            network.load_weights(file)
        except _BROKEN as error:
            raise BadData(f"{another} (the layers are others)") from error


def _look_at(file: Path, most: int) -> Counter[tuple[int, ...]]:
    """Returns how many weights of each shape a file has; it refers to nothing else."""
    found: Counter[tuple[int, ...]] = Counter()
    with h5py.File(file) as opened:
        for array in _arrays(opened):
            wrong = _fault(array, most)
            if wrong:
                raise _refused(opened, array.name, wrong)
            if array.name.startswith(_LAYERS):
                found[array.shape] += 1
    return found


def _arrays(opened: h5py.File) -> Iterator[h5py.Dataset]:
    """Yields the arrays of a file, and goes through no link.

    Raises:
        BadData: there is one, or the file has no end.
    """
    groups = [opened["/"]]
    passed: set[Any] = set()
    while groups:
        group = groups.pop()
        for name in group:
            place = f"{group.name.rstrip('/')}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise _refused(opened, place, "is a link to another place or file")
            found = group[name]
            if found.id in passed or len(passed) > MOST_OBJECTS:
                raise _refused(opened, place, "makes the file endless")
            passed.add(found.id)
            if isinstance(found, h5py.Dataset):
                yield found
            elif isinstance(found, h5py.Group):
                groups.append(found)
            else:
                raise _refused(opened, place, "is neither a group nor an array")


def _fault(array: h5py.Dataset, most: int) -> str | None:
    """Returns what is wrong with an array, which may have ``most`` numbers."""
    if array.external or array.is_virtual:
        return "keeps its numbers in another file"
    if array.dtype.kind not in "fiub" or array.shape is None:
        return "holds no numbers"
    if array.size > most:
        size = "×".join(map(str, array.shape))
        return f"says that it holds {size} numbers, more than any weight of the network"
    filters = array.id.get_create_plist()
    used = {filters.get_filter(n)[0] for n in range(filters.get_nfilters())}
    if used - _FILTERS:
        return "is compressed in a way that Keras does not write"
    is_weight = array.name.startswith(_LAYERS)
    if is_weight and not np.isfinite(array[()]).all():
        return "holds NaN or infinite numbers: the training that wrote it diverged"
    return None


def _refused(opened: h5py.File, place: str, cause: str) -> BadData:
    return BadData(f"{opened.filename}: {place} {cause}")


def _numbers(shapes: Counter[tuple[int, ...]]) -> str:
    total = sum(math.prod(shape) * count for shape, count in shapes.items())
    return f"{shapes.total()} weights of {total} numbers"
