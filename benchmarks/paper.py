"""Command: the paper's two sets, and what bought the score on the second of them.

ISBI 2012 (30 slices of one stack): cross-validation over 5 contiguous blocks, because
neighbours are alike; it is not the challenge's server, whose labels are not public.
DIC-C2DH-HeLa: train on one sequence, on gold masks where there are some and on silver
ones elsewhere, and score the gold frames of the other one.

Each training is a run folder in --output. The same command goes on where it stopped and
passes over what is finished.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.machine import packages, processor, run_module
from keras_unet import BadData, BadUsage, RunFolder
from keras_unet.console import parse, run_verb
from keras_unet.files import read_json, write_rows, write_whole

Rows = list[dict[str, object]]

BLOCKS = 5
"""Of the stack's slices; each is the test of one fold."""
SEQUENCES = ("01", "02")
PARTLY_LABELLED = "man_seg067.tif"
"""Of sequence 01, where it has 3 of 17 cells; it is left out of both sequences."""
_UNLABELLED = 65535

_BATCH = "--normalization batch"
_PAPER = f"--padding valid --elastic-pixels 10 {_BATCH}"
ABLATION = {
    "weight map, elastic, valid (the paper)": _PAPER,
    "no weight map": f"{_PAPER} --no-weight-map",
    "border class instead of the weight map": (f"{_PAPER} --targets borders"),
    "scaling and rotation alone, not elastic": f"--padding valid {_BATCH}",
    "padding same": f"--elastic-pixels 10 {_BATCH}",
    "padding same, not elastic": _BATCH,
    "the same, group normalisation (the preset)": "",
}


@dataclass(frozen=True)
class Flags:
    """What is trained.

    Attributes:
        data: folder of isbi-em (image/, label/) or dic-hela (01/, 01_GT/, 01_ST/, ...).
        output: folder for the run folders.
        ablation: of dic-hela, the parts of the paper's way, one left out at a time.
        folds: which folds, from 0; by default all of them, of the ablation the first.
        seeds: one training each.
        filters: channels of the first level; the paper has 64.
        epochs: of each training; by default the preset's.
        minutes: of each training, instead of epochs.
        train: more flags of keras_unet.train: --train="--batch-size 2".
        edge: of dic-hela, background nearer than this to an image's edge is not learnt:
            no cell of the masks to learn from lies within 50 pixels of it as a whole,
            though such cells are in the images.
    """

    data: Path
    output: Path = Path("exports/paper")
    ablation: bool = False
    folds: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()
    filters: int = 16
    epochs: int = 0
    minutes: float = 0.0
    train: str = ""
    edge: int = 0

    @property
    def budget(self) -> list[str]:
        """Returns the words that end a training."""
        if self.minutes:
            return ["--minutes", f"{self.minutes:g}"]
        return ["--epochs", str(self.epochs)] if self.epochs else []


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its status."""

    def verb() -> None:
        flags = parse(Flags, argv, prog="python -m benchmarks.paper")
        for line in table_of(flags):
            print(line, flush=True)

    return run_verb(verb)


def table_of(flags: Flags) -> Iterator[str]:
    """Trains what is not trained yet and yields the lines of the table.

    Raises:
        BadUsage: there is no such fold, or a flag is not of this set.
        BadData: the folder is neither set, or a command failed.
    """
    preset, folds = folds_of(flags.data)
    for flag in ("ablation", "edge"):
        if getattr(flags, flag) and preset != "hela":
            raise BadUsage(f"--{flag} is of dic-hela, and {flags.data} is {preset}")
    if flags.edge < 0:
        raise BadUsage(f"--edge must be 0 or more, not {flags.edge}")
    chosen = flags.folds or ((0,) if flags.ablation else tuple(range(len(folds))))
    if not all(0 <= fold < len(folds) for fold in chosen):
        raise BadUsage(f"--folds must be 0 to {len(folds) - 1}, not {chosen}")
    seeds = flags.seeds or ((0, 1) if flags.ablation else (0,))
    yield f"{processor()}; {packages('tensorflow', 'keras')}"
    chosen_flags = ["--filters", str(flags.filters), *flags.budget]
    yield f"{shlex.join(chosen_flags)} {flags.train}, seeds {seeds}"
    yield ""
    variants = ABLATION if flags.ablation else {"preset": ""}
    columns = MEMBRANES if preset == "isbi" else CELLS
    yield "| run | fold | " + " | ".join(columns) + " |"
    yield "|---" * (2 + len(columns)) + "|"
    for number, (name, words) in enumerate(variants.items()):
        every = []
        for fold in chosen:
            runs = [
                _scored(flags, preset, f"{number}-fold{fold}-seed{seed}", folds[fold])(
                    [*shlex.split(words), "--seed", str(seed)]
                )
                for seed in seeds
            ]
            every += runs
            yield _row(name, str(fold), columns, runs)
        if len(chosen) > 1:
            yield _row(name, "mean", columns, every)


def folds_of(data: Path) -> tuple[str, list[Rows]]:
    """Returns the preset for a set, and the pairs of each fold with their parts.

    Raises:
        BadData: the folder is neither set.
    """
    if (data / "image").is_dir() and (data / "label").is_dir():
        return "isbi", _blocks(data.resolve())
    if all((data / f"{name}_GT" / "SEG").is_dir() for name in SEQUENCES):
        first, second = SEQUENCES
        root = data.resolve()
        return "hela", [_across(root, first, second), _across(root, second, first)]
    raise BadData(
        f"{data}: expected isbi-em (image/, label/) or dic-hela (01/, 01_GT/SEG/, "
        "01_ST/SEG/, 02/, ...), found neither"
    )


def _blocks(data: Path) -> list[Rows]:
    """Returns a fold for each block: validation are the slices behind it, to its half.

    So training has no neighbour of the test on that side.
    """
    images = sorted((data / "image").glob("*.png"), key=lambda file: int(file.stem))
    blocks = np.array_split(np.arange(len(images)), BLOCKS)
    folds = []
    for block in blocks:
        near = (block[-1] + 1 + np.arange(-(-len(block) // 2))) % len(images)
        part = dict.fromkeys(range(len(images)), "train")
        part |= dict.fromkeys(near.tolist(), "validation")
        part |= dict.fromkeys(block.tolist(), "test")
        folds.append(
            [
                _pair(file, data / "label" / file.name, part[place])
                for place, file in enumerate(images)
            ]
        )
    return folds


def _across(data: Path, seen: str, other: str) -> Rows:
    """Returns the pairs of a sequence to train on, and of the other one to score.

    Its last tenth is validation: frames that follow each other are alike.
    """
    frames = sorted((data / seen).glob("t*.tif"))
    masks = [_gold(data, seen, frame) or _silver(data, seen, frame) for frame in frames]
    first = len(frames) - max(1, len(frames) // 10)
    rows = [
        _pair(frame, mask, "train" if place < first else "validation")
        for place, (frame, mask) in enumerate(zip(frames, masks, strict=True))
    ]
    scored = [(f, _gold(data, other, f)) for f in sorted((data / other).glob("t*.tif"))]
    return rows + [_pair(frame, mask, "test") for frame, mask in scored if mask]


def _gold(data: Path, sequence: str, frame: Path) -> Path | None:
    mask = data / f"{sequence}_GT" / "SEG" / f"man_seg{frame.stem[1:]}.tif"
    return mask if mask.is_file() and mask.name != PARTLY_LABELLED else None


def _silver(data: Path, sequence: str, frame: Path) -> Path:
    return data / f"{sequence}_ST" / "SEG" / f"man_seg{frame.stem[1:]}.tif"


def _pair(image: Path, mask: Path, part: str) -> dict[str, object]:
    group = f"{image.parent.name}/{image.stem}"
    return {"image": image, "mask": mask, "group": group, "part": part}


def _without_edge(pair: dict[str, object], flags: Flags) -> dict[str, object]:
    """Returns a pair whose mask, unless it is the test's, says nothing at the edge."""
    if not flags.edge or pair["part"] == "test":
        return pair
    file = flags.output / f"masks_{flags.edge}" / f"{pair['group']}.png"
    # A run that goes on finds the file that it began with.
    if not file.exists():
        cells = np.asarray(Image.open(Path(str(pair["mask"])))).astype(np.uint16)
        edge = np.ones(cells.shape, bool)
        edge[flags.edge : -flags.edge, flags.edge : -flags.edge] = False
        cells[edge & (cells == 0)] = _UNLABELLED
        with write_whole(file) as aside:
            Image.fromarray(cells).save(aside, "PNG")
    return {**pair, "mask": file.resolve()}


Metrics = dict[str, Any]


def _scored(
    flags: Flags, preset: str, name: str, pairs: Rows
) -> Callable[[list[str]], Metrics]:
    """Returns what trains and scores a run with more words, unless that is done."""

    def scored(words: list[str]) -> Metrics:
        run = RunFolder(flags.output / f"{preset}-{name}")
        measures = ["--instances"] + ["--membranes"] * (preset == "isbi")
        listing = run.path.with_suffix(".csv")
        words = ["--preset", preset, "--pairs", str(listing), *words]
        words += ["--filters", str(flags.filters), *flags.budget]
        words += [*shlex.split(flags.train), "--formats"]
        if flags.edge:
            words += ["--ignore-values", str(_UNLABELLED)]
        asked = shlex.join(words) + f" --edge {flags.edge}" * (flags.edge > 0)
        _require_same(run.path.with_suffix(".txt"), asked)
        found = _test_of(run)
        if "seg" in found:
            return found
        write_rows(listing, [_without_edge(pair, flags) for pair in pairs])
        going_on = ["--resume"] if run.config_file.is_file() else []
        run_module("keras_unet.train", "--output", str(run.path), *words, *going_on)
        how = [*measures, *_best_on_validation(run, measures)]
        run_module("keras_unet.evaluate", str(run.path), "--split", "test", *how)
        return _test_of(run)

    return scored


def _best_on_validation(run: RunFolder, measures: Sequence[str]) -> list[str]:
    """Returns the thresholds that are best for instances on validation."""
    words = ("keras_unet.evaluate", str(run.path), "--split", "validation")
    run_module(*words, *measures)
    metrics = read_json(run.metrics_file, dict[str, Any])
    best = metrics["validation"].get("best_instances")
    if not best:
        return []
    flags = [f"--boundary-threshold={best['boundary_threshold']}"]
    return [*flags, f"--threshold={best['threshold']}"]


def _require_same(file: Path, words: str) -> None:
    """Keeps the words that a run is trained with, or refuses others.

    Raises:
        BadUsage: it was begun with others.
    """
    if file.is_file() and (before := file.read_text("utf-8")) != words:
        raise BadUsage(
            f"--output {file.parent} has {file.stem} with other flags: {before}. Give "
            "the same ones, or another --output"
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(words, "utf-8")


def _test_of(run: RunFolder) -> Metrics:
    if not run.metrics_file.is_file():
        return {}
    metrics = read_json(run.metrics_file, dict[str, Any])
    return dict(metrics.get("test", {}))


def _membrane(name: str) -> Callable[[Metrics], float]:
    return lambda test: float(test["membranes"][name])


def _iou(test: Metrics) -> float:
    """Returns the IoU of cells, of runs with a class border that of their insides."""
    return float(test["classes"]["cell"]["iou"] if test["classes"] else test["iou"])


MEMBRANES: dict[str, Callable[[Metrics], float]] = {
    "V_Rand": _membrane("v_rand"),
    "V_Info": _membrane("v_info"),
    "Rand error": _membrane("rand_error"),
    "warping error": _membrane("warping_error"),
    "pixel error": _membrane("pixel_error"),
    "V_Rand of instances": lambda test: float(test["instances"]["v_rand"]),
    "V_Info of instances": lambda test: float(test["instances"]["v_info"]),
}
CELLS: dict[str, Callable[[Metrics], float]] = {
    "SEG": lambda test: float(test["seg"]),
    "pixel IoU": _iou,
}


def _row(
    name: str,
    fold: str,
    columns: dict[str, Callable[[Metrics], float]],
    runs: Sequence[Metrics],
) -> str:
    """Returns a line of the table: means, and what each of a few runs has."""
    cells = []
    for measure in columns.values():
        values = [measure(test) for test in runs]
        each = f" ({', '.join(f'{v:.4f}' for v in values)})" if len(values) > 1 else ""
        cells.append(f"{np.mean(values):.4f}{each}")
    return f"| {name} | {fold} | {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
