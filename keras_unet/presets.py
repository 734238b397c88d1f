"""The recipes: what each --preset means, as a config whose fields flags then change."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from keras_unet.config import (
    Config,
    ExportConfig,
    FitConfig,
    LossConfig,
    PredictConfig,
    PresetName,
    UNetConfig,
)
from keras_unet.data_config import AugmentConfig, DataConfig
from keras_unet.errors import flags_in


def preset(name: str) -> Config:
    """Returns the recipe of that name.

    Raises:
        KeyError: there is none.
    """
    return _PRESETS[name]


def preset_in(words: Sequence[str], default: PresetName = "demo") -> Config:
    """Returns the recipe that --preset names on a command line.

    Where it names none that there is, what parses the command line says so. With
    --image-size whole images are seen, also of one that sees pieces, and of that size,
    also with --minutes. With --targets borders neither weights nor thresholds part
    cells; without weights a pixel is foreground from the usual threshold on.
    """
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--preset", default=default)
    early.add_argument("--targets")
    early.add_argument("--no-weight-map", action="store_true")
    given = early.parse_known_args(words)[0]
    found = preset(given.preset if given.preset in _PRESETS else default)
    if given.targets == "borders":
        loss = replace(found.loss, weight_map=False)
        found = replace(found, loss=loss, predict=PredictConfig())
    elif given.no_weight_map:
        usual = replace(found.predict, threshold=PredictConfig().threshold)
        found = replace(found, predict=usual)
    if "--image-size" not in flags_in(words):
        return found
    return replace(
        found,
        data=replace(found.data, resolution=None, tile_size=None),
        fit=replace(found.fit, fit_image_size=False),
    )


_ISBI = Config(
    preset="isbi",
    data=DataConfig(resolution=1.0, tile_size=(256, 256)),
    augment=AugmentConfig(
        flip="both",
        rotation_degrees=180.0,
        scale=0.1,
        translation=0.1,
        elastic_pixels=10.0,
        brightness=0.1,
        contrast=0.1,
    ),
    model=UNetConfig(channels=1, filters=16, padding="valid", normalization="batch"),
    fit=FitConfig(epochs=40, batch_size=4),
)
"""The paper's (arXiv 1505.04597) way with few images, at a quarter of its width.

As there: unpadded convolutions, mirrored overlapping tiles at the image's own
resolution, elastic deformation (σ = 10 pixels on a 3×3 grid), drop-out at the bottom.
Not as there: Dice beside the cross-entropy and no weight map (``--weight-map --dice
0`` has 0.11 less V_Rand and 0.04 less V_Info on the first 6 slices); batch
normalisation and AdamW (``--normalization none --optimizer sgd --momentum 0.99
--learning-rate 1e-2`` has 0.05 and 0.02 less after as many epochs).
``--filters 64`` has the paper's width, for a GPU. Of ISBI 2012's 30 slices, with 21 to
train on, in 15 minutes of one core of an AMD EPYC, and means over five times 6 others:
V_Rand 0.973 and V_Info 0.983 of instances that ``--boundary-threshold 0.5`` cuts, 0.969
and 0.978 of what the probability of membranes encloses, over the eight forms of
``--test-time-flips`` (the paper averages seven turned ones; benchmarks/paper.md).

    python -m keras_unet.train --preset isbi --images image --masks label
    python -m keras_unet.evaluate exports/isbi --membranes --instances --test-time-flips
"""

_HELA = replace(
    _ISBI,
    preset="hela",
    data=replace(_ISBI.data, mask_kind="instances", resolution=0.5),
    augment=replace(_ISBI.augment, elastic_pixels=0.0),
    model=replace(_ISBI.model, padding="same", normalization="group"),
    # At half the resolution, the paper's gaps are half as wide.
    loss=LossConfig(dice=0.0, weight_map=True, border_sigma=2.5),
    fit=FitConfig(epochs=48, batch_size=2, learning_rate=2e-3),
    # The weights make the rims of cells improbable.
    predict=PredictConfig(threshold=0.2, boundary_threshold=0.5),
)
"""For masks that number cells, with the paper's weighted cross-entropy alone.

Not as in the paper, by what was measured (benchmarks/paper.md): padding "same", which
sees twice as many images in the same time and gained most; group normalisation, better
after 48 epochs, though not after 16; AdamW, because SGD with momentum 0.99 has 0.04
less SEG after as many; scaling and rotation alone, because elastic deformation gained
less than seeds differ. Half the resolution, at which the network sees a HeLa cell as a
whole, was compared with nothing. ``--padding valid
--elastic-pixels 10 --normalization none --resolution 1 --border-sigma 5`` has them
back. The weights balance the classes of each image, the paper's those of the set.
``--targets borders`` learns the border of two cells as a class instead.
DIC-C2DH-HeLa, sequence 01, in 12 minutes of one core of an AMD EPYC: SEG 0.828 to 0.841
on the gold frames of 02 (three seeds), with ``--test-time-flips`` 0.859 to 0.868;
``--epochs 160``, 41 minutes: 0.870 and 0.862 (one).

    python -m keras_unet.train --preset hela --images 01 --masks 01_ST/SEG
    python -m keras_unet.evaluate exports/hela --instances
"""

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
        # Of everything tried, outlines bought most, and then a stem, by which a step
        # takes a third of the time (benchmarks/carvana.md).
        model=UNetConfig(filters=16, normalization="batch", stem_stride=2, dropout=0.0),
        loss=LossConfig(dice=0.0, outline_weight=10.0),
        fit=FitConfig(epochs=20, batch_size=2, learning_rate=4e-3),
    ),
    "isbi": _ISBI,
    "hela": _HELA,
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
