"""The scores of a run as tables and figures in its folder."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Column, Table

from keras_unet.config import Config
from keras_unet.console import Progress, Say, silent, speaker
from keras_unet.data.pair import Pair
from keras_unet.data.pairs import Split
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData
from keras_unet.evaluation.card import OVERALL, SCORES, write_card
from keras_unet.evaluation.drawings import (
    draw_augmentation,
    draw_data,
    draw_training,
    draw_weights,
    spread,
)
from keras_unet.evaluation.predictions import (
    PieceScores,
    Predicted,
    Scoring,
    predict_pairs,
)
from keras_unet.evaluation.scores import Scores, score_pairs
from keras_unet.figures import charts
from keras_unet.figures.charts import PartScores
from keras_unet.figures.samples import (
    Prediction,
    predictions_figure,
    thinned,
)
from keras_unet.files import read_json, read_rows, write_json, write_rows
from keras_unet.prediction.segmenter import Segmenter, class_names
from keras_unet.run_folder import RunFolder

Parts = Mapping[str, Sequence[Pair]]

MEMBRANES = (
    ("v_rand", "V_Rand"),
    ("v_info", "V_Info"),
    ("rand_error", "Rand error"),
    ("warping_error", "warping error"),
    ("pixel_error", "pixel error"),
)
DRAWN_PREDICTIONS = 4
NAMED_GROUPS = 5


def evaluate_run(
    run: RunFolder,
    split: Split,
    say: Say | None = None,
    progress: Progress = silent,
    how: Scoring | None = None,
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
    if config.loss.weight_map:
        draw_weights(split.train[0], config, run.figures / "weights.png")
    return score_parts(run, parts, config.data, say, progress, how)


def score_parts(
    run: RunFolder,
    parts: Parts,
    data: DataConfig,
    say: Say | None = None,
    progress: Progress = silent,
    how: Scoring | None = None,
) -> dict[str, Scores]:
    """Scores each part under its name and draws its predictions and scores.

    Writes metrics.json, per_image.csv and README.md of the run, where other parts stay
    as they were, and evaluation.png and, of the last part, predictions.png in figures/,
    of one part in a folder of its name there.

    Raises:
        BadData: the run has no weights, or a file cannot be read.
    """
    if not any(parts.values()):
        raise BadData(f"no images to score: {', '.join(parts)} has none")
    # Before the work, not after it.
    read_metrics(run.metrics_file)
    _rows(run.per_image_file)
    how = how or Scoring()
    segmenter = Segmenter(run, how.predict)
    config = dataclasses.replace(segmenter.config, data=data)
    of_pieces = {
        name: PieceScores(how, config, name == "validation")
        for name in parts
        if parts[name]
    }
    scored = {
        name: score_pairs(segmenter, parts[name], data, progress, pieces)
        for name, pieces in of_pieces.items()
    }
    more = {name: pieces.totals() for name, pieces in of_pieces.items()}
    columns = {name: pieces.columns for name, pieces in of_pieces.items()}
    write_scores(run, scored, data, more, columns, segmenter.config)
    flips = " --test-time-flips" * segmenter.config.predict.test_time_flips
    _tell(scored, flips, say or speaker())
    _tell_pieces(more, flips, say or speaker())
    names = class_names(segmenter.config)
    tables = [_part(name, scores) for name, scores in scored.items()]
    last = list(scored)[-1]
    folder = run.figures if len(parts) > 1 else run.figures / last
    charts.evaluation_figure(tables, names, folder / "evaluation.png")
    pairs = _from_worst_to_best(parts[last], scored[last])
    title = f"{last}: from the worst of {len(parts[last])} images to the best"
    samples = _predictions(segmenter, pairs, data, scored[last])
    predictions_figure(samples, folder / "predictions.png", title, names)
    write_card(run)
    return scored


def _tell(scored: Mapping[str, Scores], flips: str, say: Say) -> None:
    """Prints the scores; ``flips`` is the flag that a best threshold goes with."""
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
            f"evaluate, predict and export take it with --threshold best{flips}"
        )


def _tell_pieces(found: Mapping[str, Mapping[str, Any]], flips: str, say: Say) -> None:
    for name, scores in found.items():
        if "seg" in scores:
            say(f"{name}: SEG {scores['seg']:.4f}, mean over all true instances")
        if instances := scores.get("instances"):
            each = [f"{label} {instances[k]:.4f}" for k, label in MEMBRANES[:2]]
            say(f"{name}, instances with lines between them: {', '.join(each)}")
        if best := scores.get("best_instances"):
            key, label = ("seg", "SEG") if "seg" in best else MEMBRANES[0]
            say(
                "best for instances on validation: --boundary-threshold "
                f"{best['boundary_threshold']} --threshold {best['threshold']}{flips}, "
                f"{label} {best[key]:.4f}; evaluate and predict take these"
            )
        if membranes := scores.get("membranes"):
            at = membranes["thresholds"]
            each = [f"{label} {membranes[k]:.4f} at {at[k]}" for k, label in MEMBRANES]
            say(f"{name}, membranes, each at its best threshold: {', '.join(each)}")


def write_scores(
    run: RunFolder,
    scored: Mapping[str, Scores],
    data: DataConfig,
    more: Mapping[str, Mapping[str, Any]],
    columns: Mapping[str, Sequence[Mapping[str, float]]],
    config: Config,
) -> None:
    """Writes metrics.json and per_image.csv; parts scored earlier stay in both.

    Args:
        run: whose.
        scored: the scores of each part.
        data: where the images are.
        more: what else metrics.json has of a part.
        columns: what else per_image.csv has of each image of a part, or nothing.
        config: its ``predict`` made the masks that were scored.

    Raises:
        BadData: the metrics.json that is there is not one of ours.
    """
    metrics = read_metrics(run.metrics_file)
    rows = _rows(run.per_image_file)
    for name, scores in scored.items():
        entry = _entry(scores, data) | _decided(config)
        metrics[name] = entry | _rounded(more[name])
        if name == "validation" and (best := scores.best_threshold):
            keys = ("best_threshold", "dice_at_best_threshold")
            metrics[name] |= dict(zip(keys, best, strict=True))
        rows = [row for row in rows if row["part"] != name]
        own = columns[name] or [{}] * len(scores.images)
        rows += [
            {"part": name, **dataclasses.asdict(one), **other}
            for one, other in zip(scores.images, own, strict=True)
        ]
    overall = {
        key: round(sum(part[key] for part in metrics.values()), 3) for key in OVERALL
    }
    write_json(run.metrics_file, {**metrics, **overall})
    # Rows of earlier versions have fewer columns.
    every = dict.fromkeys(name for row in rows for name in row)
    write_rows(run.per_image_file, [{**every, **row} for row in rows])


def _entry(scores: Scores, data: DataConfig) -> dict[str, Any]:
    several = len(scores.groups) < len(scores.images)
    return {
        **_rounded(scores.totals),
        "images": len(scores.images),
        "seconds": round(scores.seconds, 3),
        "data": str(data.source.resolve()) if data.source else None,
        "intervals": {k: np.round(v, 6).tolist() for k, v in scores.intervals.items()},
        "classes": _rounded(scores.classes),
        "groups": _rounded(scores.groups if several else {}),
    }


def _decided(config: Config) -> dict[str, Any]:
    """Returns how probabilities became masks; several classes know no threshold."""
    decided = dataclasses.asdict(config.predict)
    if config.model.classes <= 2:
        return decided
    return decided | dict.fromkeys(("threshold", "boundary_threshold"))


def _rounded(found: Any) -> Any:
    """Returns what JSON can hold, which NaN is not, of a number or tables of them."""
    if isinstance(found, Mapping):
        return {name: _rounded(value) for name, value in found.items()}
    return None if math.isnan(found) else round(found, 6)


def score_tables(scored: Mapping[str, Scores]) -> list[Table]:
    """Returns the scores of each part, of its classes, and of its worst groups."""
    below = any(one.intervals for one in scored.values())
    more = "; below, 95 % intervals" if below else ""
    table = Table("score", caption=f"distances in pixels{more}")
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
        if 1 < len(worst) < len(scores.images):
            tables.append(_table(f"worst group, {name}", dict(worst[:NAMED_GROUPS])))
    return tables


def _table(title: str, rows: Mapping[str, Mapping[str, float]]) -> Table:
    table = Table(Column(title, overflow="fold"))
    for measure in SCORES:
        # Narrow, so that 80 letters a line leave enough to a name.
        table.add_column(charts.label(measure).replace(" ", "\n", 1), justify="right")
    for name, scores in rows.items():
        table.add_row(name, *(charts.number(one, scores[one]) for one in SCORES))
    return table


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
    return spread(ranked, DRAWN_PREDICTIONS)


def _predictions(
    segmenter: Segmenter, pairs: Sequence[Pair], data: DataConfig, scores: Scores
) -> list[Prediction]:
    dice = {score.image: score.dice for score in scores.images}

    def drawn(one: Predicted) -> Prediction:
        arrays = (thinned(one.image), thinned(one.mask), thinned(one.prediction))
        return Prediction(one.pair.image.name, *arrays, dice[str(one.pair.image)])

    # Not a comprehension, which keeps one until the next is read.
    return list(map(drawn, predict_pairs(segmenter, pairs, data)))


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
