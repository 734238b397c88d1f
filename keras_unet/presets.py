"""The recipes: what each --preset means, as a config whose fields flags then change."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from keras_unet.config import Config, ExportConfig, FitConfig, PresetName, UNetConfig
from keras_unet.data_config import AugmentConfig, DataConfig


def preset(name: str) -> Config:
    """Returns the recipe of that name.

    Raises:
        KeyError: there is none.
    """
    return _PRESETS[name]


def preset_in(words: Sequence[str], default: PresetName = "demo") -> Config:
    """Returns the recipe that --preset names on a command line.

    Where it names none that there is, what parses the command line says so.
    """
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--preset", default=default)
    name = early.parse_known_args(words)[0].preset
    return preset(name if name in _PRESETS else default)


# As in the paper: few images, each bent in many ways.
_CELLS = Config(
    preset="isbi",
    data=DataConfig(image_size=(512, 512)),
    augment=AugmentConfig(
        flip="both",
        rotation_degrees=180.0,
        scale=0.1,
        translation=0.1,
        elastic_pixels=10.0,
        brightness=0.1,
        contrast=0.1,
    ),
    model=UNetConfig(channels=1, filters=32, normalization="batch"),
    fit=FitConfig(epochs=200, batch_size=2, learning_rate=1e-3),
)

_PRESETS = {
    "demo": Config(
        preset="demo",
        data=DataConfig(image_size=(160, 240)),
        augment=AugmentConfig(flip="horizontal", brightness=0.1, contrast=0.1),
        model=UNetConfig(filters=16, normalization="batch", dropout=0.0),
        fit=FitConfig(epochs=6, batch_size=8, learning_rate=2e-3),
    ),
    "carvana": Config(
        preset="carvana",
        data=DataConfig(image_size=(320, 480)),
        augment=AugmentConfig(
            flip="horizontal", brightness=0.1, contrast=0.1, hue=0.05
        ),
        model=UNetConfig(filters=16, normalization="batch", dropout=0.0),
        fit=FitConfig(epochs=10, batch_size=4, learning_rate=2e-3),
    ),
    "isbi": _CELLS,
    "hela": replace(
        _CELLS, preset="hela", data=replace(_CELLS.data, mask_kind="instances")
    ),
    "mobile": Config(
        preset="mobile",
        data=DataConfig(image_size=(256, 256)),
        augment=AugmentConfig(flip="horizontal", brightness=0.1, contrast=0.1),
        model=UNetConfig(
            filters=8,
            normalization="batch",
            upsampling="bilinear",
            stem_stride=2,
            dropout=0.0,
        ),
        fit=FitConfig(epochs=20, batch_size=8, learning_rate=4e-3),
        export=ExportConfig(
            formats=("saved_model", "float32", "float16", "dynamic", "int8")
        ),
    ),
}
