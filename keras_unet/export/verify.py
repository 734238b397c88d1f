"""Has a fresh interpreter open exported files, and judges what it measured."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_unet.config import Config
from keras_unet.data.pair import Pair
from keras_unet.errors import BadData
from keras_unet.run_folder import RunFolder

LARGEST_DIFFERENCE = {"saved_model": 1e-4, "float32": 1e-4, "float16": 5e-3}
"""Of probabilities from the Keras network's; quantised files are judged by Dice."""

LARGEST_LOSS = {
    "saved_model": 0.001,
    "float32": 0.001,
    "float16": 0.002,
    "dynamic": 0.01,
    "int8": 0.01,
}
"""Of Dice, on the validation images at their own size, against the Keras network's."""


def examine(
    run: RunFolder, config: Config, pairs: Sequence[Pair], artefacts: dict[str, Path]
) -> dict[str, dict[str, Any]]:
    """Returns what ``measure.measure`` finds in an interpreter that made none of it.

    Args:
        run: folder with the weights.
        config: of the run; its data are those of ``pairs``.
        pairs: images and masks, one at least.
        artefacts: folder of the SavedModel and files of TFLite, by format.

    Raises:
        BadData: an artefact cannot be opened and run.
    """
    places = {name: path.resolve() for name, path in artefacts.items()}
    told = (RunFolder(run.path.resolve()), config, list(pairs), places)
    with tempfile.TemporaryDirectory() as folder:
        job, result = Path(folder) / "job", Path(folder) / "result.json"
        job.write_bytes(pickle.dumps(told))
        _run_fresh("keras_unet.export.measure", str(job), str(result))
        measured: dict[str, dict[str, Any]] = json.loads(result.read_text("utf-8"))
    return measured


def judge(measured: dict[str, dict[str, Any]]) -> None:
    """Passes artefacts that agree with the Keras network.

    Args:
        measured: what ``examine`` returned.

    Raises:
        BadData: one differs too much, or scores too low; the message has the numbers.
    """
    wrong = [
        complaint
        for name, figures in measured.items()
        if name != "keras"
        for complaint in _complaints(name, figures, measured["keras"]["dice"])
    ]
    if wrong:
        raise BadData("; ".join(wrong) + ". The files of before were kept.")


def _complaints(name: str, figures: dict[str, Any], wanted_dice: float) -> list[str]:
    wrong = []
    difference, allowed = figures["max_difference"], LARGEST_DIFFERENCE.get(name)
    # The comparisons are written so that a NaN does not pass.
    if allowed is not None and not difference <= allowed:
        wrong.append(
            f"the exported {name} differs from the Keras network by {difference:.2g} "
            f"in probability, at most {allowed:.0e} is allowed"
        )
    if not figures["dice"] >= wanted_dice - LARGEST_LOSS[name]:
        wrong.append(
            f"the exported {name} has Dice {figures['dice']:.4f} on the validation "
            f"images, the Keras network {wanted_dice:.4f}; "
            f"at most {LARGEST_LOSS[name]} may be lost"
        )
    return wrong


def _run_fresh(module: str, *arguments: str) -> None:
    package = str(Path(__file__).parents[2])
    paths = [package, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        # A GPU rounds differently, and may be full of the network just trained.
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        # The interpreter's own message follows TensorFlow's start-up chatter.
        cause = done.stderr.rpartition("error: ")[2].strip()[-2000:]
        raise BadData(
            "the exported files could not be measured in a fresh interpreter "
            f"(status {done.returncode}): {cause}"
        )
