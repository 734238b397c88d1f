"""U-Net for Keras: training, scores and exports. Public names load when first used."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"
