"""Objects: masks of one a file (Data Science Bowl 2018), pieces of one, ids of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from keras_unet.config import Config
from keras_unet.console import how_to_install
from keras_unet.data.folders import list_files, name_of, normal, subfolders
from keras_unet.data.mask_values import MOST_CLASSES, SEVERAL, MaskSet
from keras_unet.data.names import match_names
from keras_unet.data.pair import Found, Pair, Problem
from keras_unet.data_config import IGNORE
from keras_unet.errors import BadData, BadUsage
from keras_unet.types import Mask, Probability

_IMAGES, _MASKS = "images", "masks"
_NEARLY = 0.9
_MANY = 6
"""Ids of one mask, counted through, that are hardly classes any more."""


def holds_objects(folder: Path) -> bool:
    """Returns whether the subfolders have images/ and masks/ of their own.

    Where they hold an image each, most of them are enough. A single one that holds
    several images is a whole set.
    """
    inside = subfolders(folder)
    fitting = [f for f in inside if (f / _IMAGES).is_dir() and (f / _MASKS).is_dir()]
    if any(len(images) > 1 for images in _images_in(folder)):
        return len(fitting) == len(inside) > 1
    return len(fitting) > len(inside) / 2


def find_objects(folder: Path) -> Found:
    """Returns the pairs of ``<id>/images/*`` and ``<id>/masks/*``, a file an object.

    If each image has one mask, that is a mask like any other. If a folder has several
    images, their masks have their names, and the folder is their group.

    Raises:
        BadData: a folder is missing or may not be read.
    """
    if any(len(images) > 1 for images in _images_in(folder)):
        return _match_each(folder)
    pairs, problems, masks_of = list[Pair](), list[Problem](), list[list[Path]]()
    for inside in subfolders(folder):
        found, masks, wrong = _look_into(inside)
        problems += wrong
        if not wrong:
            name = name_of(inside, folder)
            pairs += [Pair(image, inside / _MASKS, name) for image in found]
            masks_of.append(masks)
    if any(len(masks) > 1 for masks in masks_of):
        says = {"mask_kind": "instances"}
        return Found(tuple(pairs), tuple(problems), says=says)
    alone = zip(pairs, masks_of, strict=True)
    every = tuple(replace(pair, mask=mask) for pair, (mask,) in alone)
    return Found(every, tuple(problems))


def _images_in(folder: Path) -> Iterator[list[Path]]:
    for inside in subfolders(folder):
        if (inside / _IMAGES).is_dir():
            yield list_files(inside / _IMAGES)[0]


def _match_each(folder: Path) -> Found:
    pairs, problems = list[Pair](), list[Problem]()
    for inside in subfolders(folder):
        found = match_names(inside / _IMAGES, inside / _MASKS)
        group = normal(inside.name)
        pairs += [replace(pair, group=group) for pair in found.every]
        problems += found.problems
    notes = ("groups: images of one folder are kept together",)
    return Found(tuple(pairs), tuple(problems), notes)


def _look_into(folder: Path) -> tuple[list[Path], list[Path], list[Problem]]:
    """Returns image and masks in the folder of one image, and what is wrong with it."""
    for name in (_IMAGES, _MASKS):
        if not (folder / name).is_dir():
            return [], [], [Problem(folder, f"has no folder {name}/")]
    images, problems = list_files(folder / _IMAGES)
    masks, odd = list_files(folder / _MASKS)
    problems += odd
    if len(images) != 1:
        cause = f"holds {len(images)} images; expected one, its objects in {_MASKS}/"
        problems.append(Problem(folder / _IMAGES, cause))
    if not masks:
        problems.append(Problem(folder / _MASKS, "holds no masks"))
    return images, masks, problems


def mask_files(mask: Path) -> list[Path]:
    """Returns a mask's file, or those of its objects, sorted by name."""
    return list_files(mask)[0] if mask.is_dir() else [mask]


Levels = npt.NDArray[np.uint16]
"""A probability (h, w) as files have it, 0 to 65535."""


def in_16_bits(probability: npt.NDArray[np.float32]) -> Levels:
    """Returns a probability as its files have it, 0 to 65535."""
    return np.round(probability * 65535).astype(np.uint16)


def find_instances(probability: Probability, config: Config) -> npt.NDArray[np.uint16]:
    """Returns the number of each pixel's object, as ``predict --instances`` writes it.

    Of a ``Segmenter``'s probability (h, w, classes) and config; else as by
    ``number_instances``.
    """
    from keras_unet.model.unet import to_mask

    mask = np.asarray(to_mask(probability, config.predict.threshold))
    return number_instances(mask, config, in_16_bits(probability[..., 1]))


def number_instances(
    mask: Mask, config: Config, levels: Levels | None = None
) -> npt.NDArray[np.uint16]:
    """Returns the number of each pixel's object, uint16 (h, w); 0 is none.

    With ``data.targets`` "borders" the pieces of the class cell are grown over the
    borders between them; with a ``predict.boundary_threshold`` the mask is cut along
    improbable boundaries (``_cut``); else these are the connected pieces.

    Args:
        mask: class ids (h, w) that the network of a run predicted.
        config: of the run.
        levels: the probability of foreground, where it is to be cut.

    Raises:
        BadData: there are more than 65535.
        BadUsage: scikit-image is needed and not installed.
    """
    if config.data.targets == "borders":
        return _grow(mask, skimage_for(config))
    boundary = config.predict.boundary_threshold
    if not boundary or levels is None:
        return number_pieces(mask)
    return _cut(mask > 0, levels, boundary, skimage_for(config))


def _grow(mask: Mask, skimage: Any) -> npt.NDArray[np.uint16]:
    """Returns the number of each pixel's cell, grown over the borders between them."""
    from scipy import ndimage

    seeds, count = ndimage.label(mask == 1)
    _require_16_bits(count)
    # Borders are higher than cells: each cell is filled before these are shared. Over
    # corners, as pieces are connected.
    grown = skimage.watershed(mask, seeds.astype(np.uint16), 2, mask=mask > 0)
    return np.asarray(grown, np.uint16)


def _cut(
    inside: npt.NDArray[np.bool_], levels: Levels, threshold: float, skimage: Any
) -> npt.NDArray[np.uint16]:
    """Returns the number of each pixel's instance: pieces, cut along their boundaries.

    A region grows from each middle of what is above the threshold (watershed), or from
    a piece that is nowhere above. Then the two regions of a piece with the most
    probable boundary become one, as long as the mean along it is above the threshold.
    A boundary goes on into the gap on its sides: so a hole of a few pixels in a
    membrane joins no cells, as it does where connected pieces are counted. (Mean
    boundary agglomeration: Nunez-Iglesias et al. 2013, "Machine learning of
    hierarchical clustering", doi 10.1371/journal.pone.0071715.)
    """
    from scipy import ndimage

    corners = np.ones((3, 3))
    pieces, count = ndimage.label(inside, corners)
    sure = inside & (levels > 65535 * threshold)
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(sure), _EVEN) * sure
    has_sure = np.zeros(count + 1, bool)
    has_sure[pieces[sure]] = True
    middles = skimage.local_maxima(depth) | (inside & ~has_sure[pieces])
    seeds, count = ndimage.label(middles, corners)
    if count < 2:
        return inside.astype(np.uint16)
    near = ndimage.distance_transform_edt(~inside) <= _GAP
    outside = 65535 - levels
    regions = skimage.watershed(outside, seeds, 2, mask=near)
    graph = skimage.rag_boundary(regions, outside.astype(np.float64))
    piece_of = np.zeros(count + 1, pieces.dtype)
    piece_of[seeds] = pieces * (seeds > 0)
    apart = [(a, b) for a, b in graph.edges if piece_of[a] != piece_of[b]]
    graph.remove_edges_from(apart)
    numbers = skimage.merge_hierarchical(
        regions,
        graph,
        thresh=65535 * (1 - threshold),
        rag_copy=False,
        in_place_merge=True,
        merge_func=lambda *nodes: None,
        weight_func=_mean_of_both,
    )
    which, first, of_pixel = np.unique(
        numbers[inside], return_index=True, return_inverse=True
    )
    _require_16_bits(len(which))
    instances = np.zeros(inside.shape, np.uint16)
    # From the top down.
    instances[inside] = first.argsort().argsort()[of_pixel] + 1
    return instances


_EVEN = 1.0
"""σ, in pixels, of what evens out the unrest of an outline before places are found."""
_GAP = 3
"""Pixels of a gap, on each of its sides, that belong to a boundary."""


def _mean_of_both(regions: Any, one: int, other: int, third: int) -> dict[str, float]:
    """Returns the boundary to a third region of two that become one."""
    sides = [regions[a][third] for a in (one, other) if regions.has_edge(a, third)]
    pixels = sum(side["count"] for side in sides)
    total = sum(side["count"] * side["weight"] for side in sides)
    return {"count": pixels, "weight": total / pixels}


def skimage_for(config: Config) -> Any:
    """Returns what of scikit-image a run's instances need, of some None.

    Raises:
        BadUsage: it is not installed.
    """
    if config.data.targets == "borders":
        return find_skimage("--instances of a run with --targets borders")
    if config.predict.boundary_threshold:
        return find_skimage("--instances with a --boundary-threshold above 0")
    return None


def find_skimage(what: str) -> Any:
    """Returns functions of scikit-image, which ``what`` needs.

    Raises:
        BadUsage: it is not installed.
    """
    try:
        from skimage import graph, morphology, segmentation

        # Now, because threads that load them at their first use see them half done.
        return SimpleNamespace(
            local_maxima=morphology.local_maxima,
            merge_hierarchical=graph.merge_hierarchical,
            rag_boundary=graph.rag_boundary,
            watershed=segmentation.watershed,
        )
    except ImportError:
        install = how_to_install("science")
        raise BadUsage(f"{what} needs scikit-image, not installed: {install}") from None


def number_pieces(mask: Mask) -> npt.NDArray[np.uint16]:
    """Returns the number of each pixel's connected piece, uint16 (h, w); 0 is none.

    Pixels that touch at a corner are connected, as in scikit-image and OpenCV. Pieces
    are of one class but 0; numbers go from the top down, and on from class to class.

    Raises:
        BadData: there are more than 65535.
    """
    from scipy import ndimage

    numbers = np.zeros(mask.shape, np.uint16)
    count = 0
    for class_id in np.flatnonzero(np.bincount(mask.ravel())[1:]) + 1:
        pieces, more = ndimage.label(mask == class_id, np.ones((3, 3)))
        _require_16_bits(count + more)
        np.add(pieces, count, out=numbers, where=pieces > 0, casting="unsafe")
        count += more
    return numbers


def _require_16_bits(count: int) -> None:
    if count > 0xFFFF:
        raise BadData(
            f"has {count} pieces, and {0xFFFF} is the most that the 16 bits of "
            "--instances can number"
        )


def ids_of(seen: MaskSet) -> Literal["classes", "instances", "either", "unknown"]:
    """Returns what the ids are; either and unknown are questions.

    Ids number objects if nearly each is one connected piece of its mask and they are
    counted through in each mask, which hold more or fewer of them, or if they are very
    many; they are classes if they are few and recur.
    """
    zero = seen.background()
    found = [{v: p for v, p in mask.items() if v != zero} for mask in seen.per_mask]
    found = [mask for mask in found if mask]
    ids = {value for mask in found for value in mask}
    if not ids:
        return "classes"
    pieces = [p for mask in found for p in mask.values()]
    counts = [len(mask) for mask in found]
    spread, many = max(counts) - min(counts), max(counts) >= _MANY
    through = sum(max(mask) == len(mask) for mask in found) >= _NEARLY * len(found)
    if sum(p == 1 for p in pieces) < _NEARLY * len(pieces):
        if through and many and spread > 2:
            return "either"
        small = len(ids) <= MOST_CLASSES
        recur = len(pieces) >= 1.5 * len(ids) and max(ids) < IGNORE
        return "classes" if small or recur else "unknown"
    if seen.coloured:
        return "either" if many and spread > 2 else "classes"
    if many and spread > 2 and (through or (seen.wide and len(ids) > SEVERAL)):
        return "instances"
    if through and (spread > 1 or len(found) < 3) and max(counts) > 2:
        return "either"
    if len(ids) > MOST_CLASSES:
        return "instances" if seen.wide else "unknown"
    return "either" if seen.wide else "classes"


def about_numbers(seen: MaskSet) -> list[str]:
    """Returns what is to be said of ids that are said to number objects, and may not.

    Each number counts as one object, whatever its pieces.
    """
    found = [[p for v, p in mask.items() if v > 0] for mask in seen.per_mask]
    pieces = [count for mask in found for count in mask]
    if all(len(mask) < 2 for mask in found):
        seem = "no mask holds two numbers"
    elif 2 * sum(count > 1 for count in pieces) > len(pieces):
        seem = "most numbers are several pieces of a mask"
    else:
        return []
    one = "a number counts as one object; if each piece is one: --mask-kind binary"
    return [f"{seem}, and {one}"]
