"""The processes that train together, as ``TF_CONFIG`` names them."""

from __future__ import annotations

import json
import os
from typing import Any

from keras_unet.errors import BadUsage


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
