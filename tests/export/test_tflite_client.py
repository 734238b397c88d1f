import dataclasses
import json
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from random_run import make_run, noise

from keras_unet.config import PredictConfig
from keras_unet.export import client, onnx, tflite, tflite_client
from keras_unet.prediction.segmenter import Segmenter
from keras_unet.prediction.tiles import tile_network, tilings

LABELS = ("background", "foreground")


def write_files(run, config, folder):
    """Writes a TFLite and an ONNX file of a run and the client beside them."""
    segmenter = Segmenter(run, config.predict)
    rows, columns = tilings(config)
    network = segmenter.network
    part = tile_network(network) if config.data.tiles else network
    with tflite.frozen(part, (rows.tile, columns.tile)) as source:
        tflite.write_tflite(source, "float32", folder / "model.tflite", LABELS)
    if find_spec("tf2onnx"):
        onnx.write_onnx(part, config, folder / "model.onnx")
    tflite.write_client(folder, config, [])
    return segmenter


@pytest.mark.parametrize(
    ("data", "model", "size"),
    [
        ({"image_size": (16, 24)}, {}, (50, 37)),
        ({"resolution": 1.0, "tile_size": (16, 24)}, {}, (50, 61)),
        ({"resolution": 0.7, "tile_size": (16, 16)}, {}, (40, 51)),
        ({"resolution": 1.5, "tile_size": (16, 16)}, {"padding": "valid"}, (33, 20)),
        ({"resolution": 1.0, "tile_size": (16, 16)}, {}, (1, 1)),
        ({"image_size": (16, 24), "bands": (3, 1, 2)}, {}, (50, 37)),
    ],
)
def test_the_client_s_mask_is_that_of_predict(tmp_path, data, model, size):
    predict = PredictConfig(threshold=0.45, test_time_flips=True)
    flips = {"flip": "both", "turn": 180.0}
    run = make_run(tmp_path / "run", data=data, **flips, **model)
    config = dataclasses.replace(run.load_config(), predict=predict)
    segmenter = write_files(run, config, tmp_path)
    image = noise(size)
    Image.fromarray(image).save(tmp_path / "image.png")
    wanted = segmenter.decide(segmenter.probability(image))
    for file in [*tmp_path.glob("model.*")]:
        words = ["client.py", file.name, "image.png", "mask.png"]
        # Alone: without this package.
        command = [sys.executable, "-I", *words]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        mask = np.asarray(Image.open(tmp_path / "mask.png"))
        assert mask.shape == size
        assert set(np.unique(mask)) <= {0, 255}
        # Where rounding decides, one pixel in a hundred may differ.
        assert np.mean((mask > 0) != wanted) <= 0.01


@pytest.mark.parametrize(
    ("model", "image", "said"),
    [
        ("gone.tflite", "a.png", "No such file or directory: 'gone.tflite'"),
        ("client.py", "client.py", "cannot identify image file"),
        ("client.py", "a.png", "error: The model is not a valid"),
        ("client.py", "c.png", "c.png has colours of 16 bits"),
        ("client.py", "f.tif", "f.tif holds fractions"),
    ],
)
def test_the_client_says_in_a_line_what_is_wrong(tmp_path, model, image, said):
    config = make_run(tmp_path / "run", data={"white": 4095}).load_config()
    tflite.write_client(tmp_path, config, [])
    Image.fromarray(noise((9, 9))).save(tmp_path / "a.png")
    colours = tf.constant(noise((9, 9)).astype(np.uint16) * 16)
    (tmp_path / "c.png").write_bytes(tf.io.encode_png(colours).numpy())
    Image.fromarray(np.ones((9, 9), np.float32)).save(tmp_path / "f.tif")
    command = [sys.executable, "-I", "client.py", model, image, "mask.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert said in done.stderr


@pytest.mark.parametrize("channels", [1, 3])
def test_12_of_16_bits_are_a_question_where_the_training_saw_8(tmp_path, channels):
    config, file = make_run(tmp_path / "run").load_config(), tmp_path / "a.png"
    white = tflite.client_settings(config)["white"]
    dark = np.full((9, 9, channels), 3184, np.uint16)
    file.write_bytes(tf.io.encode_png(dark).numpy())
    with pytest.raises(OSError, match=r"12 are used.*client.json 4095, or 65535"):
        tflite_client.read(file, white)
    file.write_bytes(tf.io.encode_png(dark * 16).numpy())
    assert tflite_client.read(file, white).max() == 199


def test_values_below_0_have_no_known_black(tmp_path):
    Image.fromarray(np.full((9, 9), -744, np.int32)).save(tmp_path / "a.tif")
    for read in (tflite_client.read, client.upright):
        with pytest.raises(OSError, match=r"a.tif has values .*-744"):
            read(tmp_path / "a.tif")


def test_the_client_says_of_which_bands_images_must_be(tmp_path):
    run = make_run(tmp_path / "run", data={"bands": (4, 3, 2)})
    tflite.write_client(tmp_path, run.load_config(), [])
    told = json.loads((tmp_path / "client.json").read_text())
    assert told["bands"] == []
    assert "bands 4, 3, 2: give images that hold just these" in told["notes"][0]


def test_what_the_client_must_know_lies_beside_it(tmp_path):
    run = make_run(tmp_path / "run", data={"resolution": 0.5, "tile_size": (16, 24)})
    tflite.write_client(tmp_path, run.load_config(), [])
    told = json.loads((tmp_path / "client.json").read_text())
    assert (told["rows"]["tile"], told["columns"]["tile"]) == (16, 24)
    assert (told["resolution"], told["values"]) == (0.5, [0, 255])


def test_files_that_were_exported_before_keep_their_threshold(tmp_path):
    config = make_run(tmp_path / "run").load_config()
    for name, threshold in [("old.tflite", 0.3), ("new.tflite", 0.7)]:
        predict = PredictConfig(threshold=threshold, test_time_flips=True)
        config = dataclasses.replace(config, predict=predict)
        tflite.write_client(tmp_path, config, [name])
    told = json.loads((tmp_path / "client.json").read_text())
    assert told["files"] == {
        "old.tflite": {"threshold": 0.3, "flips": ["horizontal"]},
        "new.tflite": {"threshold": 0.7, "flips": ["horizontal"]},
    }


def test_files_of_a_release_without_that_keep_the_threshold_of_all(tmp_path):
    (tmp_path / "model_float32.tflite").touch()
    (tmp_path / "client.json").write_text('{"threshold": 0.4, "flips": [2]}')
    config = make_run(tmp_path / "run").load_config()
    tflite.write_client(tmp_path, config, ["model_int8.tflite"])
    files = json.loads((tmp_path / "client.json").read_text())["files"]
    assert files["model_float32.tflite"]["threshold"] == 0.4
    assert files["model_int8.tflite"]["threshold"] == 0.5
