"""What a run's network makes of pairs, and how well its pieces are those of truth."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from keras_unet.config import Config, PredictConfig
from keras_unet.console import is_installed
from keras_unet.data.images import image_shape
from keras_unet.data.masks import class_ids, instances_of, read_pair, read_values
from keras_unet.data.objects import in_16_bits, number_instances
from keras_unet.data.pair import Pair
from keras_unet.data.resize import Strips
from keras_unet.data_config import IGNORE, DataConfig
from keras_unet.errors import BadData
from keras_unet.evaluation.shape_scores import (
    Ids,
    MembraneScores,
    agreement,
    at_thresholds,
    cells_of,
    membrane_scores,
    parted,
    seg_scores,
)
from keras_unet.model.metrics import LEVELS, count_levels
from keras_unet.model.weight_map import touching_borders
from keras_unet.prediction.segmenter import (
    BATCH,
    Segmenter,
    batches,
    read_ahead,
)
from keras_unet.types import Image, Mask

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Predicted:
    """A pair and what the network made of it.

    Attributes:
        image: (h, w, channels).
        mask, prediction: class ids (h, w).
        levels: as by ``count_levels``, of binary networks.
        probability: of foreground (h, w), where it is kept.
    """

    pair: Pair
    image: Image
    mask: Mask
    prediction: Mask
    levels: Counts
    probability: npt.NDArray[np.float32] | None


def predict_pairs(
    segmenter: Segmenter,
    pairs: Sequence[Pair],
    data: DataConfig,
    keep_probability: bool = False,
) -> Iterator[Predicted]:
    """Yields each pair with its prediction, in order.

    Raises:
        BadData: as by ``read_pair``.
    """
    channels = segmenter.config.model.channels

    def pixels(pair: Pair) -> int:
        try:
            return math.prod(image_shape(pair.image, data.max_pixels))
        except BadData:
            return 0

    read = read_ahead(pairs, lambda pair: read_pair(pair, channels, data), pixels)
    # Not zip, which keeps the last ones that it gave.
    items = ((pair, next(read)) for pair in pairs)
    for batch in batches(items, BATCH, lambda item: item[1][1].size):
        every = segmenter.strips([image for _, (image, _) in batch])
        # What is done goes before the next ones, which may be large, are read.
        while batch:
            (pair, (image, mask)), strips = batch.pop(0), every.pop(0)
            decided = _decided(segmenter, strips, mask, keep_probability)
            yield Predicted(pair, image, mask, *decided)
            del image, mask, strips, decided


def _decided(
    segmenter: Segmenter, strips: Strips, mask: Mask, keep: bool
) -> tuple[Mask, Counts, npt.NDArray[np.float32] | None]:
    prediction = np.empty_like(mask)
    probability = np.empty(mask.shape, np.float32) if keep else None
    levels = np.zeros((2, LEVELS + 1), np.int64)
    for rows, strip in strips:
        prediction[rows] = segmenter.decide(strip)
        if segmenter.config.model.classes <= 2:
            levels += count_levels(strip[..., 1], mask[rows])
        if probability is not None:
            probability[rows] = strip[..., 1]
    return prediction, levels, probability


@dataclass(frozen=True)
class Scoring:
    """How a run is scored.

    Attributes:
        predict: how probabilities become masks; by default as the run's config says.
        instances: also SEG of the instances that ``predict --instances`` writes.
        membranes: also the scores of membranes, of the probability of foreground.
    """

    predict: PredictConfig | None = None
    instances: bool = False
    membranes: bool = False


DOWN_TO = (0.1, 0.2, 0.3, 0.4, 0.5)
BOUNDARIES = (0.5, 0.7, 0.9, 0.0)
"""Thresholds that are tried for instances, after the run's own.

The first of equally good ones is taken: cells that touch may come later.
"""


class PieceScores:
    """The scores of the pieces of a part's images, as far as they are wanted.

    Args:
        wanted: which.
        config: what the masks' values mean, and how the predictions were made.
        search: also try thresholds for instances of foreground and background, where
            the masks number them or membranes part them and scikit-image is installed.

    Attributes:
        columns: of each image, its SEG: the mean over its true pieces.
    """

    def __init__(self, wanted: Scoring, config: Config, search: bool = False) -> None:
        """Begins with no image."""
        self.wanted, self._config = wanted, config
        binary = wanted.instances and config.model.classes <= 2
        self.keeps_probability = wanted.membranes or binary
        self._tried: dict[PredictConfig, list[float]] = {}
        known = config.data.mask_kind == "instances" or wanted.membranes
        if search and binary and known and is_installed("skimage"):
            how = [
                replace(config.predict, threshold=low, boundary_threshold=boundary)
                for low, boundary in itertools.product(DOWN_TO, BOUNDARIES)
            ]
            self._tried = {one: [] for one in (config.predict, *how)}
        self.columns: list[dict[str, float]] = []
        self._seg: list[float] = []
        self._agreement: list[tuple[float, float]] = []
        self._membranes: list[MembraneScores] = []

    def add(self, one: Predicted) -> None:
        """Looks at a pair and its prediction.

        Raises:
            BadData: there are more instances than ``predict`` can number.
        """
        if not (self.wanted.instances or self.wanted.membranes):
            return
        truth, parted_truth = self._truth(one)
        if self.wanted.instances:
            self._add_instances(one, truth, parted_truth)
        if self.wanted.membranes and one.probability is not None:
            counted = one.mask != IGNORE
            found = at_thresholds(one.probability, parted_truth > 0, counted)
            self._membranes.append(found)

    def _truth(self, one: Predicted) -> tuple[Ids, Ids]:
        """Returns the number of each pixel's true object, as they are and parted.

        Background parts those that touch, as it does in training, if membranes are
        scored.
        """
        data = self._config.data
        if data.mask_kind != "instances":
            # Objects are connected over corners, where membranes may run.
            inside = one.mask == 1
            return ndimage.label(inside, np.ones((3, 3)))[0], cells_of(inside)
        values = read_values(one.pair, data)
        truth = instances_of(class_ids(one.pair, values, data), values, data)
        if not self.wanted.membranes:
            return truth, truth
        return truth, np.where(touching_borders(truth, width=1), 0, truth)

    def _add_instances(self, one: Predicted, truth: Ids, parted_truth: Ids) -> None:
        found = self._instances(one)
        seg = seg_scores(found, truth)
        self._seg += seg
        self.columns.append({"seg": float(np.mean(seg)) if seg else math.nan})
        if self.wanted.membranes and seg:
            self._agreement.append(agreement(parted(found), parted_truth))
        for how, tried in self._tried.items():
            try:
                found = self._instances(one, how)
            except BadData:
                # More pieces than can be numbered.
                every = min(1, len(seg)) if self.wanted.membranes else len(seg)
                tried += [0.0] * every
                continue
            if not self.wanted.membranes:
                tried += seg_scores(found, truth)
            elif seg:
                tried.append(agreement(parted(found), parted_truth)[0])

    def _instances(self, one: Predicted, how: PredictConfig | None = None) -> Ids:
        """Returns what ``predict --instances`` finds, but where the mask is ignored."""
        mask, config, levels = one.prediction, self._config, None
        if one.probability is not None:
            levels = in_16_bits(one.probability)
        if how and one.probability is not None:
            mask = (one.probability > how.threshold).view(np.uint8)
            config = replace(config, predict=how)
        found = number_instances(mask, config, levels)
        return np.where(one.mask == IGNORE, 0, found)

    def totals(self) -> dict[str, Any]:
        """Returns seg, the mean over all true pieces, and the scores of membranes.

        instances are V_Rand and V_Info, means over the images that have any, of the
        instances parted by lines. best_instances are the thresholds of the best V_Rand,
        without membranes of the best seg, of all that were tried.
        """
        found: dict[str, Any] = {}
        if self.wanted.instances:
            found["seg"] = float(np.mean(self._seg)) if self._seg else math.nan
        if self._agreement:
            means = np.mean(self._agreement, 0).tolist()
            found["instances"] = dict(zip(("v_rand", "v_info"), means, strict=True))
        if any(self._tried.values()):
            tried = {how: float(np.mean(each)) for how, each in self._tried.items()}
            best = max(tried, key=tried.__getitem__)
            found["best_instances"] = {
                "boundary_threshold": best.boundary_threshold,
                "threshold": best.threshold,
                "v_rand" if self.wanted.membranes else "seg": tried[best],
            }
        if self.wanted.membranes:
            found["membranes"] = membrane_scores(self._membranes)
        return found
