"""Lets Keras find this package's classes in a saved network before they are loaded.

``keras.models.load_model`` looks for a class among those that are registered, and from
Keras 3.11 on nowhere else. Registering the classes themselves would load TensorFlow.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from typing import Any

HOMES = {
    "AdamW": "training.optimizers",
    "CropLike": "model.layers",
    "FusedBatchNormalization": "model.layers",
    "ImageScore": "model.metrics",
    "MirrorBorder": "model.layers",
    "PixelScore": "model.metrics",
    "PlainGroupNormalization": "model.layers",
    "RMSprop": "training.optimizers",
    "SGD": "training.optimizers",
    "SegmentationLoss": "model.losses",
    "StatelessDropout": "model.layers",
}
"""The module of each class that is registered with Keras."""


def register_homes() -> None:
    """Tells Keras where the classes are: now, or as soon as it is imported."""
    if hasattr(sys.modules.get("keras"), "saving"):
        _register()
    else:
        sys.meta_path.insert(0, _WaitsForKeras())


def _register() -> None:
    registry = importlib.import_module("keras.saving").get_custom_objects()
    for name, home in HOMES.items():
        registry.setdefault(f"keras_unet>{name}", _Home(home, name))


class _Home:
    """Stands for a class until that is loaded, and registered in this one's place."""

    def __init__(self, home: str, name: str) -> None:
        self._home, self._name = home, name

    def from_config(self, config: dict[str, Any]) -> Any:
        home = importlib.import_module(f"keras_unet.{self._home}")
        return getattr(home, self._name).from_config(config)


class _WaitsForKeras:
    """Finds Keras as the other finders do, and has the homes registered behind it."""

    def find_spec(self, name: str, *where: Any) -> ModuleSpec | None:
        if name != "keras":
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        found = (finder.find_spec(name, *where) for finder in others)
        spec = next(filter(None, found), None)
        if spec and spec.loader:
            execute = spec.loader.exec_module

            def execute_and_register(module: Any) -> None:
                execute(module)
                _register()

            spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec
