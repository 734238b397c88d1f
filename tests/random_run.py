"""A run that nobody trained: random weights, by which every pixel counts."""

import numpy as np

from keras_unet.config import Config, PredictConfig, UNetConfig
from keras_unet.data_config import AugmentConfig, DataConfig
from keras_unet.model.unet import build_network
from keras_unet.run_folder import RunFolder


def make_run(folder, *, data=None, predict=None, flip="horizontal", turn=0.0, **model):
    """Returns a run folder whose network gives probabilities between 0.1 and 0.9.

    Args:
        folder: what is written.
        data: fields of DataConfig.
        predict: fields of PredictConfig.
        flip: of the augmentation.
        turn: of the augmentation, in degrees.
        model: fields of UNetConfig.
    """
    meaning = {"mask_kind": "binary", "foreground_above": 127}
    config = Config(
        output=folder,
        data=DataConfig(**meaning | (data or {})),
        augment=AugmentConfig(flip=flip, rotation_degrees=turn),
        model=UNetConfig(**{"filters": 2, "depth": 1, "dropout": 0.0} | model),
        predict=PredictConfig(**predict or {}),
    )
    run = RunFolder(folder)
    run.save_config(config)
    network = build_network(config.model)
    vary(network)
    network.save_weights(str(run.weights_file))
    return run


def vary(network, seed=0):
    """Sets weights with which the probability is no constant of the image."""
    rng = np.random.default_rng(seed)
    for layer in network.layers:
        layer.set_weights([_drawn(rng, old) for old in layer.get_weights()])


def _drawn(rng, old):
    if old.ndim < 2:
        return rng.uniform(0, 0.2, old.shape)
    return rng.normal(0, 1.6 / np.sqrt(old[..., 0].size), old.shape)


def noise(size, seed=0):
    """Returns an image (h, w, 3) that is alike nowhere."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 200, (size[0] // 9 + 1, size[1] // 9 + 1, 3))
    coarse = coarse.repeat(9, 0).repeat(9, 1)[: size[0], : size[1]]
    return (coarse + rng.uniform(0, 55, (*size, 3))).astype(np.uint8)
