"""What it takes to train a tiny network on ellipses, and the state that it leaves."""

from dataclasses import replace

import numpy as np
from splits import split_of
from tiny_run import write_pairs

from keras_unet.config import Config, FitConfig, UNetConfig
from keras_unet.data_config import DataConfig
from keras_unet.run_folder import RunFolder
from keras_unet.training import checkpoint, devices
from keras_unet.training.fit import Plan


def make_config(folder, ema=0.0):
    """Returns the config of three epochs on pairs that are written to the folder."""
    write_pairs(folder)
    return config_of(folder, ema)


def config_of(folder, ema=0.0):
    """Returns the config of three epochs on the pairs in the folder."""
    return Config(
        data=DataConfig(
            data=folder,
            image_size=(16, 24),
            mask_kind="binary",
            foreground_above=0,
        ),
        model=UNetConfig(filters=2, depth=1, normalization="batch", dropout=0.3),
        fit=FitConfig(
            epochs=3,
            batch_size=2,
            ema=ema,
            precision="float32",
            deterministic=True,
            checkpoint_minutes=1e-6,
        ),
    )


def in_pieces(config):
    """Returns the config with images seen in pieces, and their borders weighted."""
    data = replace(config.data, resolution=0.5, tile_size=(16, 24))
    turned = replace(config.augment, rotation_degrees=20.0, elastic_pixels=1.0)
    weighted = replace(config.loss, weight_map=True)
    return replace(config, data=data, augment=turned, loss=weighted)


def plan_of(config, folder, say=print):
    """Returns the plan of a training into the folder."""
    return Plan(
        run=RunFolder(folder),
        source=RunFolder(folder),
        config=config,
        split=split_of(config.data),
        device=devices.use_device(config.fit),
        verbose=0,
        say=say,
    )


def state(folder):
    """Returns the arrays of the checkpoint in the folder."""
    with np.load(RunFolder(folder).checkpoint / checkpoint.FILE) as arrays:
        return {
            name: arrays[name] for name in arrays.files if not name.startswith("prog")
        }
