"""U-Net for Keras: train, score, draw and export; names load when first used.

``docs/python.md`` has the parts that fit into other programs, ten lines each.

So do the classes that a saved network names: ``keras.models.load_model`` looks for them
among those that are registered, and from Keras 3.11 on nowhere else. Registering the
classes themselves would load TensorFlow.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from typing import Any

__version__ = "0.2.0.dev0"

_HOMES = {
    "AugmentConfig": "data_config",
    "BadData": "errors",
    "BadUsage": "errors",
    "Config": "config",
    "DataConfig": "data_config",
    "ExportConfig": "config",
    "FitConfig": "config",
    "LossConfig": "config",
    "Pair": "data.pair",
    "PredictConfig": "config",
    "RunFolder": "run_folder",
    "Segmenter": "prediction.segmenter",
    "SegmentationLoss": "model.losses",
    "UNetConfig": "config",
    "border_weights": "model.weight_map",
    "build_network": "model.unet",
    "build_unet": "model.unet",
    "compile_network": "training.fit",
    "draw_augmentation": "evaluation.drawings",
    "draw_data": "evaluation.drawings",
    "evaluate_run": "evaluation.report",
    "export_run": "export.artefacts",
    "find_instances": "data.objects",
    "load_network": "prediction.weights_file",
    "make_demo": "data.demo.make",
    "network_figure": "figures.network",
    "paint_instances": "figures.canvas",
    "paint_mask": "figures.canvas",
    "prepare": "data.pairs",
    "preset": "presets",
    "read_mask": "data.masks",
    "read_resized": "data.resize",
    "segmentation_metrics": "model.metrics",
    "steps_per_epoch": "data.pairs",
    "train": "train",
    "training_batches": "data.pipeline",
    "unet_logits": "model.unet",
    "use_device": "training.devices",
    "validation_batches": "data.pipeline",
    "write_records": "data.records",
}

_LIGHT = (
    "config",
    "data_config",
    "data.pair",
    "errors",
    "presets",
    "run_folder",
    "train",
)
"""Homes without TensorFlow."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES[name]
    if home not in _LIGHT:
        importlib.import_module(f"{__name__}.console").load_tensorflow()
    module = importlib.import_module(f"{__name__}.{home}")
    # keras_unet.train is a module that can be called.
    return module if name == home else getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])


_REGISTERED = {
    "AdamW": "training.optimizers",
    "CropLike": "model.layers",
    "DoubleSize": "model.layers",
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


def _register_homes() -> None:
    """Tells Keras where the classes are: now, or as soon as it is imported."""
    if hasattr(sys.modules.get("keras"), "saving"):
        _register()
    else:
        sys.meta_path.insert(0, _WaitsForKeras())


def _register() -> None:
    registry = importlib.import_module("keras.saving").get_custom_objects()
    for name, home in _REGISTERED.items():
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


_register_homes()
