"""What is known of the machines that train before TensorFlow loads.

Which processes train together, as ``TF_CONFIG`` says, and whether a network fits.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from keras_unet.config import Config
from keras_unet.data.pair_cache import machine_memory
from keras_unet.errors import BadUsage

_LARGEST_GPU = 192 * 2**30
"""Bytes of the largest GPU that there is."""
_DEVICES = Path("/dev")


def workers() -> int:
    """Returns how many processes train together; 1 without ``TF_CONFIG``."""
    return max(1, sum(len(tasks) for tasks in _read().get("cluster", {}).values()))


def is_chief() -> bool:
    """Returns whether this process is the one that writes."""
    config = _read()
    task = config.get("task", {})
    first = "chief" if "chief" in config.get("cluster", {}) else "worker"
    alone = workers() == 1
    return alone or (task.get("type"), int(task.get("index", 0))) == (first, 0)


def require_possible(config: Config) -> None:
    """Refuses what no step of training can fit, and minutes on several clocks.

    Raises:
        BadUsage: names the flags, what they need at the least, and what there is.
    """
    if config.fit.minutes and workers() > 1:
        raise BadUsage("--minutes goes by one machine's clock: give --epochs")
    needed = least_memory(config)
    # A container may have been given any of the machine's.
    gpus = any(_DEVICES.glob("nvidia[0-9]*"))
    memory = max(machine_memory(), _LARGEST_GPU if gpus else 0)
    # Windows does not say how much memory there is.
    if needed > memory and hasattr(os, "sysconf"):
        height, width = config.data.network_size
        raise BadUsage(
            f"{config.data.size_flag} {height} {width}, "
            f"--batch-size {config.fit.batch_size}, "
            f"--filters {config.model.filters} and --depth {config.model.depth} need "
            f"{needed / 1e9:.0f} GB at the least, and there are {memory / 1e9:.0f} GB: "
            "take smaller ones"
        )


def least_memory(config: Config) -> int:
    """Returns how many bytes a training step takes at the least.

    That are the features that are kept for the gradients, of two bytes each, and the
    weights with their gradients and the optimizer's moments, of four.
    """
    height, width = config.data.network_size
    pixels = height * width * config.fit.batch_size // config.model.stem_stride**2
    features = weights = 0
    for level in range(config.model.depth + 1):
        channels = config.model.filters * 2**level
        # Two convolutions on each way; going up, the one before and what is joined.
        going_up = level < config.model.depth
        features += channels * (pixels // 4**level) * (5 if going_up else 2)
        weights += 9 * channels**2 * (4 if going_up else 1)
    return 2 * features + 4 * 3 * weights


def _read() -> dict[str, Any]:
    """Returns ``TF_CONFIG``.

    Raises:
        BadUsage: it is no JSON object.
    """
    text = os.environ.get("TF_CONFIG") or "{}"
    try:
        config = json.loads(text)
    except ValueError as error:
        raise BadUsage(f"TF_CONFIG is no JSON: {error}") from None
    if not isinstance(config, dict):
        raise BadUsage(f"TF_CONFIG must be a JSON object, not {text}")
    return config
