import dataclasses

import numpy as np
import pytest
from tiny_fit import make_config, plan_of, state

from keras_unet.model.unet import build_network
from keras_unet.run_folder import RunFolder
from keras_unet.training.fit import fit


@pytest.fixture
def config(tmp_path):
    return make_config(tmp_path / "data")


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
