"""The scores of a run as tables and figures in its folder."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from rich.table import Table

from keras_unet.config import Config, PredictConfig
from keras_unet.console import Progress, Say, silent, speaker
from keras_unet.data.augment import augment
from keras_unet.data.masks import read_mask, read_pair
from keras_unet.data.pair import Pair
from keras_unet.data.pairs import Split
from keras_unet.data.pieces import cut_of, middle
from keras_unet.data.pipeline import example
from keras_unet.data.resize import at_size, read_resized
from keras_unet.data_config import AugmentConfig, DataConfig
from keras_unet.errors import BadData
from keras_unet.evaluation.scores import Scores, predict_pairs, score_pairs
from keras_unet.figures import charts, paint
from keras_unet.figures.charts import PartScores
from keras_unet.figures.samples import (
    Prediction,
    Sample,
    augmentation_figure,
    data_figure,
    predictions_figure,
    thinned,
)
from keras_unet.files import read_json, read_rows, write_rows, write_whole
from keras_unet.prediction.segmenter import Segmenter, class_names
from keras_unet.run_folder import RunFolder
from keras_unet.types import Image, Mask

Parts = Mapping[str, Sequence[Pair]]

OVERALL = ("images", "seconds")
"""Entries of metrics.json that are about all parts together."""
DRAWN_PAIRS, DRAWN_PREDICTIONS, TRIED_SEEDS, SEEN_PIXELS = 8, 4, 8, 480
NAMED_GROUPS = 5


def evaluate_run(
    run: RunFolder,
    split: Split,
    say: Say | None = None,
    progress: Progress = silent,
    predict: PredictConfig | None = None,
) -> dict[str, Scores]:
    """Scores the validation and test images and draws every figure of the run.

    Raises:
        BadData: the run has no weights, or a file cannot be read.
    """
    parts = {"validation": split.validation, "test": split.test}
    config = run.load_config()
    draw_training(run)
    draw_data(split.train, config, run.figures / "data.png")
    # The first car's first view is its front, which a flip hardly changes.
    draw_augmentation(split.train[:2][-1], config, run.figures / "augmentation.png")
    return score_parts(run, parts, config.data, say, progress, predict)


def score_parts(
    run: RunFolder,
    parts: Parts,
    data: DataConfig,
    say: Say | None = None,
    progress: Progress = silent,
    predict: PredictConfig | None = None,
) -> dict[str, Scores]:
    """Scores each part under its name and draws its predictions and scores.

    Writes metrics.json and per_image.csv of the run, where other parts stay as they
    were, and evaluation.png and, of the last part, predictions.png in figures/, of one
    part in a folder of its name there.

    Raises:
        BadData: the run has no weights, or a file cannot be read.
    """
    if not any(parts.values()):
        raise BadData(f"no images to score: {', '.join(parts)} has none")
    read_metrics(run.metrics_file)  # Before the work, not after it.
    segmenter = Segmenter(run, predict)
    scored = {
        name: score_pairs(segmenter, pairs, data, progress)
        for name, pairs in parts.items()
        if pairs
    }
    write_scores(run, scored, data)
    _tell(scored, say or speaker())
    names = class_names(segmenter.config)
    tables = [_part(name, scores) for name, scores in scored.items()]
    last = list(scored)[-1]
    folder = run.figures if len(parts) > 1 else run.figures / last
    charts.evaluation_figure(tables, names, folder / "evaluation.png")
    pairs = _from_worst_to_best(parts[last], scored[last])
    title = f"{last}: from the worst of {len(parts[last])} images to the best"
    samples = _predictions(segmenter, pairs, data, scored[last])
    predictions_figure(samples, folder / "predictions.png", title, names)
    return scored


def _tell(scored: Mapping[str, Scores], say: Say) -> None:
    for name, scores in scored.items():
        totals, count = scores.totals, len(scores.images)
        say(
            f"{name}: Dice {totals['dice']:.4f}, IoU {totals['iou']:.4f}, "
            f"{count} images, {scores.seconds / count:.2f} s each"
        )
    for table in score_tables(scored):
        say(table)
    if "validation" in scored and (best := scored["validation"].best_threshold):
        say(
            f"best on validation: --threshold {best[0]:.3f}, Dice {best[1]:.4f}; "
            "evaluate, predict and export take it with --threshold best"
        )


def write_scores(
    run: RunFolder, scored: Mapping[str, Scores], data: DataConfig
) -> None:
    """Writes metrics.json and per_image.csv; parts scored earlier stay in both.

    Raises:
        BadData: the metrics.json that is there is not one of ours.
    """
    metrics = read_metrics(run.metrics_file)
    rows = _rows(run.per_image_file)
    for name, scores in scored.items():
        metrics[name] = _entry(scores, data)
        if name == "validation" and (best := scores.best_threshold):
            keys = ("best_threshold", "dice_at_best_threshold")
            metrics[name] |= dict(zip(keys, best, strict=True))
        rows = [row for row in rows if row["part"] != name]
        rows += [{"part": name, **dataclasses.asdict(one)} for one in scores.images]
    overall = {
        key: round(sum(part[key] for part in metrics.values()), 3) for key in OVERALL
    }
    with write_whole(run.metrics_file) as file:
        file.write_text(json.dumps({**metrics, **overall}, indent=2) + "\n", "utf-8")
    # Rows of earlier versions have fewer columns.
    columns = dict.fromkeys(name for row in rows for name in row)
    write_rows(run.per_image_file, [{**dict.fromkeys(columns), **row} for row in rows])


def _entry(scores: Scores, data: DataConfig) -> dict[str, Any]:
    source = data.data or data.pairs or data.images
    several = len(scores.groups) < len(scores.images)
    return {
        **_rounded(scores.totals),
        "images": len(scores.images),
        "seconds": round(scores.seconds, 3),
        "data": str(source.resolve()) if source else None,
        "intervals": {k: np.round(v, 6).tolist() for k, v in scores.intervals.items()},
        "classes": {k: _rounded(v) for k, v in scores.classes.items()},
        "groups": {k: _rounded(v) for k, v in scores.groups.items() if several},
    }


def _rounded(scores: Mapping[str, float]) -> dict[str, float | None]:
    """Returns what JSON can hold, which NaN is not."""
    return {
        name: None if math.isnan(value) else round(value, 6)
        for name, value in scores.items()
    }


def score_tables(scored: Mapping[str, Scores]) -> list[Table]:
    """Returns the scores of each part, of its classes, and of its worst groups."""
    table = Table("score", caption="distances in pixels; below, 95 % intervals")
    for name in scored:
        table.add_column(name, justify="right")
    for measure in next(iter(scored.values())).totals:
        cells = [
            charts.with_interval(measure, one.totals, one.intervals)
            for one in scored.values()
        ]
        table.add_row(charts.label(measure), *cells)
    tables = [table]
    for name, scores in scored.items():
        worst = sorted(scores.groups.items(), key=lambda group: group[1]["dice"])
        if scores.classes:
            tables.append(_table(f"class, {name}", scores.classes))
        if len(worst) < len(scores.images):
            tables.append(_table(f"worst group, {name}", dict(worst[:NAMED_GROUPS])))
    return tables


def _table(title: str, rows: Mapping[str, Mapping[str, float]]) -> Table:
    measures = ("dice", "iou", "precision", "recall", "boundary_iou", "hausdorff_95")
    table = Table(title)
    for measure in measures:
        table.add_column(charts.label(measure), justify="right")
    for name, scores in rows.items():
        table.add_row(name, *(charts.number(one, scores[one]) for one in measures))
    return table


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
        for pair in _spread(pairs, DRAWN_PAIRS)
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
    image = paint.paint_grid(image)
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


def _part(name: str, scores: Scores) -> PartScores:
    return PartScores(
        name,
        [Path(score.image).name for score in scores.images],
        [score.group for score in scores.images],
        [score.dice for score in scores.images],
        scores.totals,
        scores.intervals,
        scores.confusion,
    )


def _from_worst_to_best(pairs: Sequence[Pair], scores: Scores) -> list[Pair]:
    dice = [score.dice for score in scores.images]
    ranked = [pairs[index] for index in np.argsort(dice, kind="stable")]
    return _spread(ranked, DRAWN_PREDICTIONS)


def _predictions(
    segmenter: Segmenter, pairs: Sequence[Pair], data: DataConfig, scores: Scores
) -> list[Prediction]:
    dice = {score.image: score.dice for score in scores.images}
    return [
        Prediction(
            one.pair.image.name,
            *(thinned(one.image), thinned(one.mask), thinned(one.prediction)),
            dice[str(one.pair.image)],
        )
        for one in predict_pairs(segmenter, pairs, data)
    ]


def _spread(pairs: Sequence[Pair], most: int) -> list[Pair]:
    """Returns at most that many pairs, evenly apart, the first and last among them."""
    places = np.linspace(0, len(pairs) - 1, min(most, len(pairs))).round()
    return [pairs[int(place)] for place in places]


def read_metrics(file: Path) -> dict[str, Any]:
    """Returns what metrics.json says of each part; nothing where there is no file.

    Raises:
        BadData: it is not one of ours.
    """
    if not file.is_file():
        return {}
    try:
        metrics = read_json(file, dict[str, Any])
    except ValueError as error:
        raise BadData(f"{error}; remove it") from None
    parts = {key: metrics[key] for key in metrics if key not in OVERALL}
    for name, part in parts.items():
        for key in OVERALL:
            value = part.get(key) if isinstance(part, dict) else part
            if not isinstance(part, dict) or not isinstance(value, int | float):
                raise BadData(
                    f"{file}: {name}.{key}: expected a number, found {value!r}; "
                    "remove the file"
                )
    return parts


def _rows(file: Path) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = [*read_rows(file)]
    except ValueError as error:
        raise BadData(f"{file} holds no scores of ours ({error}); remove it") from None
    if any("part" not in row for row in rows):
        raise BadData(f"{file} holds no scores of ours (no column part); remove it")
    return rows
