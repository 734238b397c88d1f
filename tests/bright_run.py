"""A run whose network, set by hand, takes bright pixels for foreground."""

import dataclasses

import numpy as np
from PIL import Image

from keras_unet.config import Config, UNetConfig
from keras_unet.data_config import DataConfig
from keras_unet.files import write_whole
from keras_unet.model.unet import build_network
from keras_unet.run_folder import RunFolder

SIZE = (16, 24)


def make_run(folder, classes=1, padding="same", **data):
    """Returns a run folder whose network puts pixels into classes by brightness."""
    model = UNetConfig(
        classes=classes, filters=1, depth=1, dropout=0.0, padding=padding
    )
    meaning = {"mask_kind": "binary", "foreground_above": 127}
    if data.get("mask_kind") == "classes":
        meaning = {}
    config = Config(
        data=DataConfig(**{"image_size": SIZE, **meaning, **data}),
        model=model,
    )
    run = RunFolder(folder)
    run.save_config(dataclasses.replace(config, output=folder))
    network = build_network(model)
    set_weights(network, classes)
    with write_whole(run.weights_file) as file:
        network.save_weights(str(file))
    return run


def set_weights(network, classes):
    """Lets brightness 0..1 through the skip; logits are lines over it."""
    for layer in network.layers:
        layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    for name, value, offset in [
        # The three channels arrive as −1..1.
        ("down0_conv1", 1 / 6, 0.5),
        ("down0_conv2", 1.0, 0.0),
        ("up0_conv1", 1.0, 0.0),
        ("up0_conv2", 1.0, 0.0),
    ]:
        kernel, bias = network.get_layer(name).get_weights()
        kernel[1, 1, : 3 if name == "down0_conv1" else 1, 0] = value
        network.get_layer(name).set_weights([kernel, bias + offset])
    slopes = [20.0] if classes == 1 else [20.0 * k for k in range(classes)]
    # Class k begins where the brightness passes k / classes.
    offsets = [-10.0]
    if classes > 1:
        offsets = list(-20.0 / classes * np.cumsum(range(classes)))
    network.get_layer("logits").set_weights(
        [np.reshape(slopes, (1, 1, 1, -1)), np.array(offsets)]
    )


def draw(file, mask, levels=(20, 240)):
    """Writes a grey image whose classes have these levels, without loss."""
    file.parent.mkdir(parents=True, exist_ok=True)
    grey = np.array(levels, np.uint8)[mask]
    Image.fromarray(np.repeat(grey[..., None], 3, axis=-1)).save(file)


def square(size=SIZE, shift=0):
    """Returns a mask with a square of foreground."""
    mask = np.zeros(size, np.uint8)
    mask[4:12, 4 + shift : 14 + shift] = 1
    return mask


def make_data(folder, count=30, wrong=0):
    """Writes pairs whose bright pixels are the mask; ``wrong`` masks are shifted."""
    for index in range(count):
        draw(folder / "images" / f"car{index:02d}.png", square())
        truth = square(shift=4 if index < wrong else 0) * 255
        (folder / "masks").mkdir(exist_ok=True)
        Image.fromarray(truth).save(folder / "masks" / f"car{index:02d}.png")
    return folder


def load(file):
    """Returns the image as an array."""
    with Image.open(file) as image:
        return np.asarray(image)


def make_cells(folder, count=4, levels=(20, 128, 240)):
    """Writes images of two cells that touch, a border between them, and their ids.

    Background, cells and border have these levels.
    """
    cells = np.zeros(SIZE, np.uint8)
    cells[3:13, 2:11], cells[3:13, 11:21] = 1, 2
    seen = np.minimum(cells, 1)
    seen[3:13, 9:13] = 2
    for index in range(count):
        draw(folder / "images" / f"cells{index}.png", seen, levels)
        (folder / "masks").mkdir(exist_ok=True)
        Image.fromarray(cells).save(folder / "masks" / f"cells{index}.png")
    return folder


def make_border_run(folder, **data):
    """Returns a run that sees what ``make_cells`` draws as background, cell, border."""
    meaning = {"mask_kind": "instances", "mask_reading": "levels"}
    names = ("background", "cell", "border")
    more = {"foreground_above": 0, "targets": "borders", "class_names": names}
    return make_run(folder, 3, **{**meaning, **more, **data})
