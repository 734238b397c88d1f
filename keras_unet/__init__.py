"""U-Net for Keras: train, score, draw and export; names load when first used."""

from __future__ import annotations

import importlib
from typing import Any

from keras_unet.model.registered import register_homes

__version__ = "0.1.0"

_HOMES = {
    "AugmentConfig": "config",
    "BadData": "errors",
    "BadUsage": "errors",
    "Config": "config",
    "DataConfig": "config",
    "ExportConfig": "config",
    "FitConfig": "config",
    "LossConfig": "config",
    "Pair": "data.pair",
    "RunFolder": "run_folder",
    "Segmenter": "prediction.segmenter",
    "SegmentationLoss": "model.losses",
    "UNetConfig": "config",
    "border_weights": "model.weight_map",
    "build_network": "model.unet",
    "build_unet": "model.unet",
    "compile_network": "training.fit",
    "draw_augmentation": "evaluation.report",
    "draw_data": "evaluation.report",
    "evaluate_run": "evaluation.report",
    "export_run": "export.artefacts",
    "load_network": "prediction.segmenter",
    "make_demo": "data.demo.make",
    "network_figure": "figures.network",
    "paint_mask": "figures.paint",
    "prepare": "data.pairs",
    "preset": "presets",
    "read_mask": "data.masks",
    "read_resized": "data.resize",
    "segmentation_metrics": "model.metrics",
    "training_batches": "data.pipeline",
    "unet_logits": "model.unet",
    "use_device": "training.devices",
    "validation_batches": "data.pipeline",
    "write_records": "data.records",
}

_LIGHT = ("config", "data.pair", "errors", "presets", "run_folder")
"""Homes without TensorFlow."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES[name]
    if home not in _LIGHT:
        importlib.import_module(f"{__name__}.console").load_tensorflow()
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])


register_homes()
