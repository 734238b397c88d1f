"""The model card of a run: its README.md, as the Hugging Face Hub reads it.

https://huggingface.co/docs/hub/model-cards has the header's keys. By hand, so that a
training needs no client of the Hub; the tests read it with the Hub's own.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from keras_unet import __version__
from keras_unet.config import Config
from keras_unet.errors import BadData
from keras_unet.figures.charts import label, number
from keras_unet.files import read_json, read_rows, write_whole
from keras_unet.prediction.segmenter import class_names, describe_values
from keras_unet.run_folder import RunFolder

SCORES = ("dice", "iou", "precision", "recall", "boundary_iou", "hausdorff_95")
OVERALL = ("images", "seconds")
"""Entries of metrics.json that are about all parts together."""
_MARK = re.compile(r"<!-- written by keras_unet, ([0-9a-f]{16}); .* -->\s*\Z")

_HOLDS = {
    "config.json": "all that is needed to rebuild the network and to read images",
    "model.weights.h5": "the weights of the epoch with the best validation Dice",
    "split.csv": "the images it was made with, and what each was for",
    "history.csv": "a row an epoch",
    "metrics.json": "the scores, with their intervals, classes and groups",
    "per_image.csv": "the scores of each image",
    "figures": "training, data, predictions and scores, drawn",
    "checkpoint": "the full state of the training, to go on with it",
    "logs": "what the training logged",
    "saved_model": "the network for TensorFlow Serving",
    "serving": "how to start the server, and a client",
    "tflite": "files for phones, and a client",
    "onnx": "the network for ONNX runtimes",
    "web": "a page that segments in the browser",
    "export_report.json": "how far each export is from the Keras network",
}

_LIMITS = """\
- For images of the kind that it was trained on: the same objects, seen the same way. Of
  others nothing is known; score some of yours before you rely on it.
- {seen}
- The scores of its test are those of {count} images (groups: {groups}) that were kept
  apart from the training; with few groups they may not carry over.
- The probability is not calibrated: 0.8 need not be right at 8 of 10 pixels.
- It was not examined for decisions on health, safety or persons."""


def write_card(run: RunFolder) -> bool:
    """Writes README.md of a run anew; one that was edited stays as it is.

    Folders are named without where they are.

    Returns:
        Whether it was written.

    Raises:
        BadData: the run's config, metrics.json or export_report.json is damaged.
    """
    if run.card_file.is_file():
        text = run.card_file.read_bytes().decode("utf-8", "replace")
        mark = _MARK.search(text)
        if not mark or mark[1] != _digest(text[: mark.start()]):
            return False
    config = run.load_config()
    try:
        text = "\n".join(_lines(run, config))
    except BadData:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise BadData(
            f"{run.path}: metrics.json, export_report.json or split.csv is damaged "
            f"({error!r}); remove it"
        ) from None
    text = text.encode("utf-8", "replace").decode()
    note = "it is written anew by evaluate and export as long as nobody edits it"
    mark_line = f"<!-- written by keras_unet, {_digest(text)}; {note} -->\n"
    with write_whole(run.card_file) as file:
        file.write_text(text + mark_line, "utf-8")
    return True


def _lines(run: RunFolder, config: Config) -> Iterator[str]:
    metrics = _read(run.metrics_file)
    parts = {name: metrics[name] for name in metrics if name not in OVERALL}
    yield from _header(run.path.resolve().name, config, parts)
    yield from _body(run, config, parts)
    yield ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.replace("\r\n", "\n").encode()).hexdigest()[:16]


def _read(file: Path) -> dict[str, Any]:
    try:
        return read_json(file, dict[str, Any]) if file.is_file() else {}
    except ValueError as error:
        raise BadData(f"{error}; remove it") from None


def _quoted(text: object) -> str:
    """Returns what YAML takes for that text, whatever it holds."""
    return json.dumps(str(text), ensure_ascii=False)


def _header(name: str, config: Config, parts: Mapping[str, Any]) -> Iterator[str]:
    yield from ("---", "library_name: keras", "pipeline_tag: image-segmentation")
    yield from ("tags:", "- image-segmentation", "- u-net", "- keras_unet")
    if any(_known(entry) for entry in parts.values()):
        yield from ("metrics:", *(f"- {score}" for score in SCORES))
        yield from ("model-index:", f"- name: {_quoted(name)}", "  results:")
    for part, entry in parts.items():
        if scores := _known(entry):
            yield from ("  - task:", "      type: image-segmentation")
            yield from ("    dataset:", f"      name: {_quoted(_data_name(entry))}")
            yield f"      type: {_quoted(_data_name(entry))}"
            yield from (f"      split: {_quoted(part)}", "    metrics:")
            for score, value in scores.items():
                yield from (f"    - type: {score}", f"      name: {label(score)}")
                yield f"      value: {value:.6f}"
    yield from ("---", "")


def _known(entry: Mapping[str, Any]) -> dict[str, float]:
    """Returns the scores of a part that are numbers."""
    return {score: entry[score] for score in SCORES if entry.get(score) is not None}


def _data_name(entry: Mapping[str, Any]) -> str:
    # A run may come from a system that parts folders otherwise.
    return PurePath(str(entry.get("data") or "data").replace("\\", "/")).name or "data"


def _body(run: RunFolder, config: Config, parts: Mapping[str, Any]) -> Iterator[str]:
    names = class_names(config)
    yield from (f"# {run.path.resolve().name}", "")
    yield (
        f"A [U-Net](https://arxiv.org/abs/1505.04597) that tells {_listed(names)} "
        f"apart in images: {config.model.filters} filters, depth {config.model.depth}, "
        f"preset {config.preset}, made with keras_unet {__version__}."
    )
    if (run.figures / "predictions.png").is_file():
        yield from ("", "![image, truth, prediction, errors](figures/predictions.png)")
    yield from ("", "## Data", "", *_data(run, config))
    yield from ("", "## Scores", "", *_scores(parts))
    yield from _exports(run)
    yield from ("", "## Intended use and limits", "")
    yield _LIMITS.format(
        seen=_seen(config),
        count=sum(row["part"] == "test" for row in read_rows(run.split_file)),
        groups=_groups(read_rows(run.split_file), "test"),
    )
    yield from ("", "## How to load it", "", *_loading(run))
    held = [
        (f"`{name}`", _HOLDS[name]) for name in _HOLDS if (run.path / name).exists()
    ]
    yield from ("", "## What is here", "", *_table(["name", "what"], held))
    yield ""


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]])


def _data(run: RunFolder, config: Config) -> Iterator[str]:
    rows = read_rows(run.split_file)
    source = config.data.source
    counts = [
        (part, sum(row["part"] == part for row in rows), _groups(rows, part))
        for part in ("train", "validation", "test")
    ]
    if source:
        yield from (f"From `{source.name}`, split by group:", "")
    yield from _table(["part", "images", "groups"], counts)
    yield from ("", f"A mask is written as {describe_values(config)}.")


def _groups(rows: Iterable[Mapping[str, str]], part: str) -> int:
    return len({row["group"] for row in rows if row["part"] == part})


def _scores(parts: Mapping[str, Any]) -> Iterator[str]:
    if not parts:
        yield "It was not scored yet."
        return
    each = parts.values()
    rows = [(label(one), *(_cell(one, entry) for entry in each)) for one in SCORES]
    keys = ["images", "threshold"]
    if any(entry.get("seg") is not None for entry in each):
        rows.append(("SEG", *(_cell("seg", entry) for entry in each)))
        keys.append("boundary_threshold")
    rows += [(key, *(entry.get(key) or "" for entry in each)) for key in keys]
    yield from _table(["score", *parts], rows)
    known = any(entry.get("intervals") for entry in each)
    more = "; in brackets 95 % intervals, by drawing groups again" if known else ""
    yield from ("", f"At the images' own size{more}.")


def _exports(run: RunFolder) -> Iterator[str]:
    """Yields what the exports are worth, on the validation images."""
    artefacts = _read(run.export_report).get("artefacts", {})
    rows = [
        (
            f"`{one['path']}`",
            f"{one['bytes'] / 1e6:.2f} MB" if "bytes" in one else "–",
            f"{one['dice']:.4f}" if "dice" in one else "–",
            f"{one['max_difference']:.1e}" if "max_difference" in one else "–",
        )
        for one in artefacts.values()
        if "path" in one
    ]
    if rows:
        head = ["export", "size", "Dice on validation", "difference in probability"]
        yield from ("", *_table(head, rows))


def _cell(score: str, entry: Mapping[str, Any]) -> str:
    value = entry.get(score)
    if value is None:
        return "–"
    between = entry.get("intervals", {}).get(score)
    text = number(score, value)
    if not between:
        return text
    return f"{text} ({'–'.join(number(score, end) for end in between)})"


def _seen(config: Config) -> str:
    height, width = config.data.network_size
    if config.data.tiles:
        share = config.data.resolution
        own = f"at {share:g} times their own size, " if share else ""
        return f"Images are seen {own}in pieces of {height}×{width} pixels."
    return (
        f"Images are brought to {height}×{width} pixels before the network sees them; "
        "what is finer than that is not found."
    )


def _loading(run: RunFolder) -> Iterator[str]:
    yield from _code(
        "import keras_unet  # pip install keras-unet-studio",
        "",
        'segmenter = keras_unet.Segmenter("FOLDER")  # this one, downloaded',
        'probability = segmenter.probability("image.jpg")  # float32 (h, w, classes)',
        "mask = segmenter.decide(probability)  # class ids (h, w)",
    )
    versions = [int(p.name) for p in run.saved_model.glob("*") if p.name.isdecimal()]
    if versions:
        yield from ("", "Without this package, by TensorFlow alone:", "")
        yield from _code(
            "import tensorflow as tf",
            "",
            f'served = tf.saved_model.load("FOLDER/saved_model/{max(versions)}")',
            'image = tf.io.read_file("image.jpg")',
            'found = served.signatures["serving_default"](image_bytes=image[None])',
            'mask_png = found["mask_png_bytes"][0].numpy()',
        )
    if files := sorted(file.name for file in run.tflite.glob("*.tflite")):
        yield from ("", "By the TFLite files, with NumPy, Pillow and ai-edge-litert:")
        yield from ("", "```", "cd FOLDER/tflite")
        yield from (f"python client.py {name} image.jpg mask.png" for name in files)
        yield "```"


def _code(*lines: str) -> Sequence[str]:
    return ("```python", *lines, "```")


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    for row in [head, ["---"] * len(head), *rows]:
        cells = (str(cell).replace("|", r"\|").replace("\n", " ") for cell in row)
        yield f"| {' | '.join(cells)} |"
