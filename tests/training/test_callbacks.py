import dataclasses

import numpy as np
import pytest
from splits import split_of
from tiny_run import write_pairs

from keras_unet.config import Config, DataConfig, FitConfig, UNetConfig
from keras_unet.model.unet import build_network
from keras_unet.run_folder import RunFolder
from keras_unet.training import checkpoint, devices
from keras_unet.training.fit import Plan, fit


@pytest.fixture
def config(tmp_path):
    write_pairs(tmp_path / "data")
    return Config(
        data=DataConfig(
            data=tmp_path / "data",
            image_size=(16, 24),
            mask_kind="binary",
            foreground_above=0,
        ),
        model=UNetConfig(filters=2, depth=2, normalization="batch", dropout=0.3),
        fit=FitConfig(
            epochs=3,
            batch_size=2,
            precision="float32",
            deterministic=True,
            checkpoint_minutes=1e-6,
        ),
    )


def plan_of(config, folder, say=print):
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
    with np.load(RunFolder(folder).checkpoint / checkpoint.FILE) as arrays:
        return {
            name: arrays[name] for name in arrays.files if not name.startswith("prog")
        }


def test_a_loss_that_is_no_number_names_step_and_images(config, tmp_path):
    wild = dataclasses.replace(
        config,
        fit=dataclasses.replace(
            config.fit, learning_rate=1e30, clip_norm=0.0, warmup=0.0, optimizer="sgd"
        ),
    )
    with pytest.raises(ValueError, match=r"the loss became .* at step \d.*\.png"):
        fit(plan_of(wild, tmp_path / "run"))


def test_with_ema_the_average_is_scored_and_kept(config, tmp_path):
    short = dataclasses.replace(config.fit, ema=0.99, epochs=1)
    fit(plan_of(dataclasses.replace(config, fit=short), tmp_path / "run"))
    run = RunFolder(tmp_path / "run")
    kept = build_network(config.model)
    kept.load_weights(run.weights_file)
    arrays = state(tmp_path / "run")
    averages = [arrays[f"average/{i}"] for i in range(len(kept.trainable_variables))]
    for one, average in zip(kept.trainable_variables, averages, strict=True):
        np.testing.assert_array_equal(np.asarray(one), average)
