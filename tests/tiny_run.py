"""A run of a few seconds: bright ellipses on dark noise, found by a tiny network."""

import atexit
import dataclasses
import functools
import io
import shutil
import tempfile
from pathlib import Path

import keras
import numpy as np
from PIL import Image, ImageDraw
from splits import remember

from keras_unet.config import Config, UNetConfig
from keras_unet.data_config import DataConfig
from keras_unet.export.tflite import frozen, write_tflite
from keras_unet.model.unet import build_network
from keras_unet.prediction.weights_file import load_network
from keras_unet.run_folder import RunFolder

KINDS = ("float32", "float16", "dynamic", "int8")
SIZE = (48, 64)
OWN_SIZE = (60, 90)


def scratch():
    """Returns a new folder that goes when the tests end."""
    folder = Path(tempfile.mkdtemp(prefix="tiny_run_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def make_image(seed, size=OWN_SIZE):
    """Returns an image (h, w, 3) and its mask (h, w) of 0 and 1."""
    height, width = size
    rng = np.random.default_rng(seed)
    mask = Image.new("L", (width, height))
    x, y = rng.uniform(0.15, 0.45, 2) * (width, height)
    corners = [x, y, x + 0.4 * width, y + 0.45 * height]
    ImageDraw.Draw(mask).ellipse(corners, fill=1)
    mask = np.asarray(mask)
    colours = np.array([[60, 40, 30], [200, 170, 120]])
    noise = rng.normal(0, 12, (height, width, 3))
    return np.clip(colours[mask] + noise, 0, 255).astype(np.uint8), mask


def png(image):
    """Returns the bytes of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def write_pairs(folder, count=12):
    """Writes images/ and masks/ with foreground 255."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for seed in range(count):
        image, mask = make_image(seed)
        Image.fromarray(image).save(folder / f"images/p{seed:02}.png")
        Image.fromarray(mask * np.uint8(255)).save(folder / f"masks/p{seed:02}.png")


@functools.cache
def trained(**model):
    """Returns the folder of a run whose network finds the ellipses; do not write to it.

    Args:
        model: fields of UNetConfig.
    """
    folder = scratch()
    write_pairs(folder / "data")
    unet = UNetConfig(**{"filters": 4, "depth": 1, "dropout": 0.0} | model)
    data = DataConfig(
        data=folder / "data",
        image_size=SIZE,
        mask_kind="binary",
        foreground_above=127,
    )
    run = RunFolder(folder / "run")
    run.save_config(dataclasses.replace(Config(), data=data, model=unet))
    remember(run)
    _fit(unet).save_weights(run.weights_file)
    return run


@functools.cache
def tflite_files(**model):
    """Returns the four files of a trained network, by kind; the labels are numbers."""
    network, folder = load_network(trained(**model)), scratch()
    made = {kind: folder / f"{kind}.tflite" for kind in KINDS}
    labels = [f"class {number}" for number in range(max(2, model.get("classes", 1)))]
    images = [make_image(seed, SIZE)[0] for seed in range(100, 108)]
    with frozen(network, SIZE) as source:
        for kind, file in made.items():
            write_tflite(source, kind, file, labels, images)
    return made


def _fit(unet):
    keras.utils.set_random_seed(0)
    network = build_network(unet)
    images, masks = zip(
        *(make_image(seed, SIZE) for seed in range(100, 116)), strict=True
    )
    images = np.stack(images).astype("float32")
    if unet.channels == 1:
        images = images @ np.array([[0.299], [0.587], [0.114]], "float32")
    masks = np.stack(masks)[..., np.newaxis]
    if unet.classes == 1:
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(0.01), loss)
    network.fit(images, masks, batch_size=8, epochs=25, verbose=0)
    return network


def keras_mask(segmenter, image):
    """Returns the class ids that the Keras network finds at the image's own size."""
    return segmenter.probability(image).argmax(-1)
