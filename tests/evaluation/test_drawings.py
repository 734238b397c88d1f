"""Figures of data and training: what is drawn, and of which runs."""

import dataclasses

import pytest
from bright_run import make_data, make_run
from PIL import Image
from splits import split_of

from keras_unet.config import LossConfig
from keras_unet.data_config import AugmentConfig
from keras_unet.errors import BadData
from keras_unet.evaluation.drawings import (
    draw_augmentation,
    draw_training,
    draw_weights,
)
from keras_unet.run_folder import RunFolder


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch,dice\n1,0.5\n", "val_dice: expected a number, found no such column"),
        ("epoch,val_dice\n1,x\n", "val_dice: expected a number, found 'x'"),
        ("epoch,val_dice\n1\n", "val_dice: expected a number, found None"),
        ("epoch,val_dice\n1,1,1\n", "None: expected a number, found"),
        ("epoch,val_dice\n1," + "1" * 200_000, "field larger"),
    ],
)
def test_a_history_of_something_else_is_refused(tmp_path, text, message):
    run = RunFolder(tmp_path)
    run.history_file.write_text(text)
    with pytest.raises(BadData, match=rf"history\.csv is damaged: .*{message}"):
        draw_training(run)


def test_every_transformation_of_the_run_is_drawn(tmp_path):
    run = make_run(tmp_path / "run", data=make_data(tmp_path / "data"))
    config = run.load_config()
    pair = split_of(config.data).train[0]
    sizes = []
    for augment in (AugmentConfig("none"), AugmentConfig("both", 10.0, noise=0.1)):
        changed = dataclasses.replace(config, augment=augment)
        draw_augmentation(pair, changed, tmp_path / "augmentation.png")
        with Image.open(tmp_path / "augmentation.png") as image:
            sizes.append(image.size[0])
    assert sizes[1] > 2 * sizes[0]


@pytest.mark.usefixtures("sharp")
def test_the_weights_of_an_image_are_drawn(tmp_path):
    config = make_run(tmp_path / "run", data=make_data(tmp_path / "data")).load_config()
    weighing = dataclasses.replace(config, loss=LossConfig(weight_map=True))
    pair = split_of(config.data).train[0]
    draw_weights(pair, weighing, tmp_path / "weights.png")
    with Image.open(tmp_path / "weights.png") as image:
        assert image.size[0] > 1500
