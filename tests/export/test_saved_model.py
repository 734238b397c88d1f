import dataclasses
import io
import json
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import random_run
import tensorflow as tf
import tiny_run
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

from keras_unet.config import Config, ExportConfig, UNetConfig
from keras_unet.data.images import read_image
from keras_unet.data_config import DataConfig
from keras_unet.export import saved_model
from keras_unet.export.saved_model import decode_in_graph, write_saved_model
from keras_unet.model.unet import build_network
from keras_unet.prediction.segmenter import (
    Segmenter,
    as_written,
    class_values,
)
from keras_unet.prediction.weights_file import load_network


def exported(run, folder):
    write_saved_model(load_network(run), run.load_config(), folder / "1")
    return tf.saved_model.load(str(folder / "1"))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return exported(tiny_run.trained(), tmp_path_factory.mktemp("saved_model"))


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter(tiny_run.trained())


def encoded(image, kind, **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def masks_of(loaded, *images):
    found = loaded.signatures["serving_default"](image_bytes=tf.constant(images))
    files = found["mask_png_bytes"].numpy()
    return [np.asarray(Image.open(io.BytesIO(file))) for file in files]


def test_images_of_different_sizes_get_masks_of_their_own_sizes(loaded, segmenter):
    images = [tiny_run.make_image(seed, (50 + seed, 80))[0] for seed in range(3)]
    for image, mask in zip(
        images, masks_of(loaded, *map(tiny_run.png, images)), strict=True
    ):
        np.testing.assert_array_equal(mask, 255 * tiny_run.keras_mask(segmenter, image))


def test_the_tensor_signature_gives_the_keras_networks_probability(loaded, segmenter):
    image, _ = tiny_run.make_image(3)
    found = loaded.signatures["tensor"](image=tf.constant(image[np.newaxis]))
    np.testing.assert_allclose(
        found["probability"][0], segmenter.probability(image), atol=1e-5
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_every_format_is_read_as_pillow_reads_it(loaded, segmenter, kind):
    content = encoded(tiny_run.make_image(5)[0], kind)
    image = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    (mask,) = masks_of(loaded, content)
    wanted = 255 * tiny_run.keras_mask(segmenter, image)
    assert np.mean(mask != wanted) < 0.002


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
@pytest.mark.parametrize("quality", [75, 95])
def test_a_jpeg_is_decoded_to_the_pixels_that_pillow_finds(quality, subsampling):
    random = np.random.default_rng(0)
    smooth = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8))
    photo = smooth.resize((160, 120), Image.Resampling.BICUBIC)
    noisy = np.clip(photo + random.normal(0, 8, (120, 160, 3)), 0, 255)
    options = {"quality": quality, "subsampling": subsampling}
    content = encoded(noisy.astype(np.uint8), "JPEG", **options)
    found = decode_in_graph(tf.constant(content), tf.constant(0), 10**6)
    np.testing.assert_array_equal(found, Image.open(io.BytesIO(content)))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1"])
def test_pngs_of_every_mode_are_read_as_pillow_reads_them(loaded, segmenter, mode):
    file = io.BytesIO()
    image = Image.fromarray(tiny_run.make_image(5)[0]).convert(mode)
    image.save(file, "PNG")
    (mask,) = masks_of(loaded, file.getvalue())
    wanted = tiny_run.keras_mask(segmenter, np.asarray(image.convert("RGB")))
    np.testing.assert_array_equal(mask, 255 * wanted)


@pytest.mark.parametrize("bits", [10, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_pngs_of_16_bits_are_scaled_as_in_training(tmp_path, bits, channels):
    run = tiny_run.trained()
    config = run.load_config()
    data = dataclasses.replace(config.data, white=2**bits - 1)
    config = dataclasses.replace(config, data=data)
    write_saved_model(load_network(run), config, tmp_path / "1")
    image = tiny_run.make_image(5)[0][..., :channels].astype(np.uint16)
    wide = tf.io.encode_png(image << (bits - 8) | 1).numpy()
    (tmp_path / "wide.png").write_bytes(wide)
    read = read_image(tmp_path / "wide.png", 3, data)
    np.testing.assert_array_equal(read, np.broadcast_to(image, read.shape))
    (mask,) = masks_of(tf.saved_model.load(str(tmp_path / "1")), wide)
    wanted = tiny_run.keras_mask(Segmenter(run), read)
    np.testing.assert_array_equal(mask, 255 * wanted)


def test_12_of_16_bits_are_a_question_to_a_run_that_saw_8(loaded, segmenter):
    image = tiny_run.make_image(5)[0]
    wide = [tf.io.encode_png(image.astype(np.uint16) * n).numpy() for n in (16, 257)]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"16 bits, not.*\n?.*1"):
        masks_of(loaded, wide[1], wide[0])
    (mask,) = masks_of(loaded, wide[1])
    np.testing.assert_array_equal(mask, 255 * tiny_run.keras_mask(segmenter, image))


@pytest.mark.parametrize(
    "content", [b"", b"no image", b"\xff", b"RIFF____WEBP", b"GIF89a", b"BM"]
)
def test_bytes_that_are_no_image_are_named_by_their_position(loaded, content):
    good = tiny_run.png(tiny_run.make_image(0)[0])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"position.*\[1\]"):
        masks_of(loaded, good, content, good)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_truncated_file_fails_its_request_and_not_the_next(loaded, kind):
    good = encoded(tiny_run.make_image(0)[0], kind)
    with pytest.raises(tf.errors.InvalidArgumentError):
        masks_of(loaded, good[: len(good) // 2])
    assert len(masks_of(loaded, good)) == 1


def test_the_graph_needs_no_python_and_no_custom_operation(loaded):
    graph = loaded.signatures["serving_default"].graph.as_graph_def()
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    assert not {n.op for n in nodes if "Py" in n.op or "Base64" in n.op}


def test_every_weight_is_stored_once(tmp_path):
    network = build_network(UNetConfig(filters=16, depth=2))
    write_saved_model(network, Config(), tmp_path / "1")
    (stored,) = (tmp_path / "1" / "variables").glob("*.data*")
    assert stored.stat().st_size < 1.2 * 4 * network.count_params()


def test_a_network_of_three_classes_answers_with_class_ids(tmp_path):
    run = tiny_run.trained(classes=3)
    image, _ = tiny_run.make_image(1)
    (mask,) = masks_of(exported(run, tmp_path), tiny_run.png(image))
    np.testing.assert_array_equal(mask, tiny_run.keras_mask(Segmenter(run), image))


def test_a_grey_network_with_valid_padding_takes_rgb_and_keeps_the_size(tmp_path):
    run = tiny_run.trained(channels=1, padding="valid")
    image, _ = tiny_run.make_image(1)
    (mask,) = masks_of(exported(run, tmp_path), tiny_run.png(image))
    grey = np.asarray(Image.fromarray(image).convert("L"))[..., np.newaxis]
    assert np.mean(mask != 255 * tiny_run.keras_mask(Segmenter(run), grey)) < 0.002


def tensor_names(folder):
    model = saved_model_pb2.SavedModel()
    model.ParseFromString((folder / "saved_model.pb").read_bytes())
    return {
        end: info.name
        for signature in model.meta_graphs[0].signature_def.values()
        for ends in (signature.inputs, signature.outputs)
        for end, info in ends.items()
    }


@pytest.fixture(scope="module", params=["whole", "tiled"])
def through_c(request, tmp_path_factory):
    """A run; the mask's file and the probability that the C API gives of one image."""
    folder = tmp_path_factory.mktemp("c_api")
    if request.param == "tiled":
        data = {"resolution": 0.7, "tile_size": (32, 32)}
        run = random_run.make_run(folder / "run", data=data)
    else:
        run = tiny_run.trained()
    exported(run, folder)
    image, _ = tiny_run.make_image(4)
    (folder / "pixels").write_bytes(image.tobytes())
    (folder / "file").write_bytes(tiny_run.png(image))
    names = tensor_names(folder / "1")

    def asked(given, came, start, end, shape):
        files = {"given": str(folder / given), "came": str(folder / came)}
        return files | {"input": names[start], "output": names[end], "shape": shape}

    job = {
        "libraries": str(Path(tf.__file__).parent),
        "model": str(folder / "1"),
        "runs": [
            asked("file", "mask", "image_bytes", "mask_png_bytes", None),
            asked("pixels", "probability", "image", "probability", [1, *image.shape]),
        ],
    }
    (folder / "job.json").write_text(json.dumps(job))
    script = Path(__file__).parents[1] / "c_api.py"
    subprocess.run([sys.executable, script, folder / "job.json"], check=True)
    probability = np.frombuffer((folder / "probability").read_bytes(), np.float32)
    shape = (*image.shape[:2], 2)
    mask = (folder / "mask").read_bytes()
    return Segmenter(run), image, mask, probability.reshape(shape)


def test_the_c_api_gives_the_keras_networks_mask(through_c):
    segmenter, image, mask, _ = through_c
    wanted = 255 * tiny_run.keras_mask(segmenter, image)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(mask))), wanted)


def test_the_c_api_gives_the_keras_networks_probability(through_c):
    segmenter, image, _, probability = through_c
    np.testing.assert_allclose(probability, segmenter.probability(image), atol=1e-5)


@pytest.mark.parametrize(
    "model", [{}, {"normalization": "group"}, {"padding": "valid"}, {"classes": 3}]
)
def test_no_images_get_no_masks(tmp_path, model):
    config = Config(
        # Not a multiple of the network's: the border is mirrored.
        data=DataConfig(image_size=(31, 45)),
        model=UNetConfig(filters=2, depth=1, **model),
    )
    write_saved_model(build_network(config.model), config, tmp_path / "1")
    loaded = tf.saved_model.load(str(tmp_path / "1"))
    found = loaded.signatures["serving_default"](image_bytes=tf.constant([], tf.string))
    assert found["mask_png_bytes"].shape == (0,)
    empty = tf.zeros((0, 20, 30, 3), tf.uint8)
    found = loaded.signatures["tensor"](image=empty)["probability"]
    assert found.shape == (0, 20, 30, max(2, config.model.classes))


MAX_PIXELS = 20_000


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    run = tiny_run.trained()
    config = dataclasses.replace(
        run.load_config(), export=ExportConfig(serve_max_pixels=MAX_PIXELS)
    )
    folder = tmp_path_factory.mktemp("strict") / "1"
    write_saved_model(load_network(run), config, folder)
    return tf.saved_model.load(str(folder))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_an_image_above_the_pixel_limit_is_named_by_its_position(strict, kind):
    small, large = np.zeros((10, 10, 3), np.uint8), np.zeros((101, 200, 3), np.uint8)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"above 20000.*\n?.*1"):
        masks_of(strict, encoded(small, kind), encoded(large, kind))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("length", range(3, 40, 3))
def test_a_file_that_ends_anywhere_fails_and_nothing_hangs(strict, kind, length):
    content = encoded(tiny_run.make_image(0)[0], kind)[:length]
    with pytest.raises(tf.errors.InvalidArgumentError):
        masks_of(strict, content)


def seconds_until_refused(loaded, content, match):
    start = time.perf_counter()
    with pytest.raises(tf.errors.InvalidArgumentError, match=match):
        masks_of(loaded, content)
    return time.perf_counter() - start


def test_files_that_promise_more_than_they_hold_are_refused_at_once(loaded):
    whole = bytearray(encoded(np.zeros((8, 8), np.uint8), "JPEG"))
    size = whole.index(b"\xff\xc0") + 5
    whole[size : size + 4] = struct.pack(">HH", 13000, 13000)
    masks_of(loaded, tiny_run.png(tiny_run.make_image(0)[0]))
    for content, match in [
        (bytes(whole), "above 25000000 pixels"),
        (one_pixel_gif(frames=100_000), "no JPEG or PNG"),
    ]:
        assert seconds_until_refused(loaded, content, match) < 0.5


def one_pixel_gif(frames):
    start = b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff"
    return start + b"\x2c\0\0\0\0\1\0\1\0\0\2\2\x44\1\0" * frames + b";"


def test_a_jpeg_of_more_scans_than_anybody_writes_is_refused_at_once(loaded):
    image = Image.new("L", (900, 900))
    content = encoded(np.asarray(image), "JPEG", progressive=True)
    assert len(masks_of(loaded, content)) == 1
    last = content[content.rindex(b"\xff\xda") : -2]
    many = content[:-2] + 20_000 * last + content[-2:]
    assert seconds_until_refused(loaded, many, "JPEG of more than 64 scans") < 0.5


@pytest.mark.parametrize("bands", [(3, 2, 1), (2,)])
def test_bands_of_rgb_are_picked_in_the_graph(tmp_path, bands):
    run = tiny_run.trained()
    config = run.load_config()
    data = dataclasses.replace(config.data, bands=bands)
    config = dataclasses.replace(config, data=data)
    write_saved_model(load_network(run), config, tmp_path / "1")
    content = tiny_run.png(tiny_run.make_image(5)[0])
    (tmp_path / "image.png").write_bytes(content)
    (mask,) = masks_of(tf.saved_model.load(str(tmp_path / "1")), content)
    read = read_image(tmp_path / "image.png", 3, data)
    np.testing.assert_array_equal(mask, 255 * tiny_run.keras_mask(Segmenter(run), read))


TILED = [
    ({"resolution": 1.0, "tile_size": (32, 48), "tile_overlap": 0.5}, {}),
    ({"resolution": 0.6, "tile_size": (32, 32)}, {"classes": 4}),
    (
        {"resolution": 1.7, "tile_size": (32, 32)},
        {
            "padding": "valid",
            "flip": "both",
            "turn": 180.0,
            "predict": {"threshold": 0.7, "test_time_flips": True},
        },
    ),
    ({"image_size": (100, 90), "tile_size": (32, 32)}, {"channels": 1}),
]


@pytest.mark.parametrize(("data", "rest"), TILED)
def test_a_tiled_run_is_tiled_within_the_graph(tmp_path, data, rest):
    run = random_run.make_run(tmp_path / "run", data=data, **rest)
    loaded, segmenter = exported(run, tmp_path), Segmenter(run)
    for size in [(70, 101), (1, 1), (33, 7), (2, 120)]:
        image = random_run.noise(size)
        wanted = segmenter.probability(image)
        found = loaded.signatures["tensor"](image=tf.constant(np.stack([image] * 2)))
        # A grey network's image is rounded beforehand, but not in the graph.
        for one in found["probability"]:
            np.testing.assert_allclose(one, wanted, atol=0.01)
        # Their values take the place of the ids, and TensorFlow owns what it made.
        classes = segmenter.decide(wanted).copy()
        wanted = as_written(classes, class_values(segmenter.config))
        for mask in masks_of(loaded, tiny_run.png(image), tiny_run.png(image)):
            assert np.mean(mask != wanted) < 0.02


@pytest.mark.parametrize("tiled", [True, False])
def test_many_images_of_a_request_take_turns(tmp_path, tiled, monkeypatch):
    monkeypatch.setattr(saved_model, "AT_ONCE", 2)
    data = {"resolution": 1.0} if tiled else {}
    loaded = exported(random_run.make_run(tmp_path / "run", data=data), tmp_path)
    images = [random_run.noise((9 + index, 7)) for index in range(5)]
    masks = masks_of(loaded, *map(tiny_run.png, images))
    for image, mask in zip(images, masks, strict=True):
        np.testing.assert_array_equal(mask, masks_of(loaded, tiny_run.png(image))[0])
    same = np.stack([image[:9] for image in images])
    found = loaded.signatures["tensor"](image=tf.constant(same))["probability"]
    assert found.shape == (5, 9, 7, 2)
    alone = loaded.signatures["tensor"](image=tf.constant(same[4:]))["probability"]
    np.testing.assert_allclose(found[4:], alone, atol=1e-6)


@pytest.mark.parametrize("tiled", [True, False])
def test_no_image_gets_no_answer(tmp_path, tiled):
    data = {"resolution": 1.0} if tiled else {}
    loaded = exported(random_run.make_run(tmp_path / "run", data=data), tmp_path)
    none = tf.zeros((0, 9, 7, 3), tf.uint8)
    found = loaded.signatures["tensor"](image=none)["probability"]
    assert found.shape == (0, 9, 7, 2)


@pytest.mark.parametrize("data", [{"image_size": (40, 48)}, {"resolution": 1.0}])
@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_the_threshold_and_the_flips_are_in_the_graph(tmp_path, data, threshold):
    predict = {"threshold": threshold, "test_time_flips": True}
    run = random_run.make_run(tmp_path / "run", data=data, predict=predict, flip="both")
    image = random_run.noise((60, 50))
    (mask,) = masks_of(exported(run, tmp_path), tiny_run.png(image))
    segmenter = Segmenter(run)
    wanted = segmenter.decide(segmenter.probability(image))
    np.testing.assert_array_equal(mask, 255 * wanted)
