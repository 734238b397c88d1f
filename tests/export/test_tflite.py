import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_run

from keras_unet.config import UNetConfig
from keras_unet.errors import BadData
from keras_unet.export.tflite import frozen, write_tflite
from keras_unet.export.tflite_tables import operators
from keras_unet.model.unet import build_network
from keras_unet.prediction.segmenter import Segmenter

KINDS = tiny_run.KINDS
LARGEST_DIFFERENCE = {"float32": 1e-4, "float16": 5e-3, "dynamic": 0.1, "int8": 0.3}
LABELS = ("background", "foreground")
IMAGE = tiny_run.make_image(100, tiny_run.SIZE)[0]


@pytest.fixture
def interpreter():
    """LiteRT, the runtime that phones have: opens a file with so many threads."""
    litert = pytest.importorskip(
        "ai_edge_litert.interpreter",
        reason="ai-edge-litert is not installed; it has no wheels for Intel Macs",
    )

    def opened(file, threads=1):
        made = litert.Interpreter(str(file), num_threads=threads)
        made.allocate_tensors()
        return made

    return opened


def run(interpreter, image):
    start, end = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    interpreter.set_tensor(start["index"], image[np.newaxis].astype(start["dtype"]))
    interpreter.invoke()
    came = interpreter.get_tensor(end["index"])[0]
    scale, zero = end["quantization"]
    return (came.astype(np.float32) - zero) * scale if scale else came


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("threads", [1, 2])
def test_litert_gives_the_keras_networks_probability(interpreter, kind, threads):
    image = IMAGE
    wanted = Segmenter(tiny_run.trained()).probability(image)
    came = run(interpreter(tiny_run.tflite_files()[kind], threads), image)
    assert np.abs(came - wanted).max() <= LARGEST_DIFFERENCE[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_the_channels_sum_to_one(interpreter, kind):
    came = run(interpreter(tiny_run.tflite_files()[kind]), IMAGE)
    np.testing.assert_allclose(came.sum(-1), 1.0, atol=0.01)


def test_a_pixel_goes_into_int8_as_it_is(interpreter):
    start = interpreter(tiny_run.tflite_files()["int8"]).get_input_details()[0]
    assert (start["dtype"], start["quantization"]) == (np.uint8, (1.0, 0))


def test_int8_answers_in_uint8(interpreter):
    assert (
        interpreter(tiny_run.tflite_files()["int8"]).get_output_details()[0]["dtype"]
        == np.uint8
    )


@pytest.mark.parametrize("kind", KINDS)
def test_batch_and_size_are_fixed(interpreter, kind):
    opened = interpreter(tiny_run.tflite_files()[kind])
    assert opened.get_input_details()[0]["shape"].tolist() == [1, *tiny_run.SIZE, 3]
    assert opened.get_output_details()[0]["shape"].tolist() == [1, *tiny_run.SIZE, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_grey_network_takes_rgb_and_turns_it_to_luma_inside(interpreter, kind):
    image = IMAGE
    grey = np.rint(image @ np.array([0.299, 0.587, 0.114]))[..., np.newaxis]
    # One level less leaves logits so near to 0 that 8 bits decide anew.
    network = {"channels": 1, "depth": 2}
    segmenter = Segmenter(tiny_run.trained(**network))
    wanted = segmenter.probability(grey.astype(np.uint8)).argmax(-1)
    came = run(interpreter(tiny_run.tflite_files(**network)[kind]), image).argmax(-1)
    assert np.mean(came != wanted) < 0.01


def test_the_same_padded_network_needs_these_operators_and_no_others():
    assert operators(tiny_run.tflite_files()["float32"].read_bytes()) == [
        "ADD",
        "CONCATENATION",
        "CONV_2D",
        "MAX_POOL_2D",
        "MUL",
        "PAD",
        "SOFTMAX",
        "TRANSPOSE_CONV",
    ]


@pytest.mark.parametrize(
    "model",
    [
        {"padding": "valid", "classes": 3},
        {"normalization": "batch", "upsampling": "bilinear", "stem_stride": 2},
        {"normalization": "batch", "stem_stride": 2},
        {"normalization": "group"},
    ],
    ids=["valid", "mobile", "carvana", "group"],
)
def test_every_architecture_converts_to_operators_that_phones_take(model, tmp_path):
    network = build_network(UNetConfig(filters=4, depth=2, **model))
    with frozen(network, (50, 70)) as source:
        write_tflite(source, "float32", tmp_path / "model.tflite", LABELS)
    assert (tmp_path / "model.tflite").is_file()


def test_an_operator_that_phones_refuse_is_named(tmp_path):
    image = keras.Input((None, None, 3))
    angles = keras.layers.Conv2D(1, 1, activation=lambda x: tf.atan2(x, x + 1.0))(image)
    with (
        frozen(keras.Model(image, angles), (8, 8)) as source,
        pytest.raises(BadData, match="ATAN2"),
    ):
        write_tflite(source, "float32", tmp_path / "model.tflite", LABELS)


def segmented(kind, image):
    vision = pytest.importorskip(
        "mediapipe.tasks.python.vision",
        reason="mediapipe is installed beside the default stack only",
    )
    import mediapipe
    from mediapipe.tasks.python import BaseOptions

    options = vision.ImageSegmenterOptions(
        base_options=BaseOptions(model_asset_path=str(tiny_run.tflite_files()[kind])),
        output_category_mask=True,
        output_confidence_masks=True,
    )
    given = mediapipe.Image(mediapipe.ImageFormat.SRGB, image)
    with vision.ImageSegmenter.create_from_options(options) as segmenter:
        found = segmenter.segment(given)
        labels = list(segmenter.labels)
    category = found.category_mask.numpy_view().squeeze()
    confidence = [mask.numpy_view().squeeze() for mask in found.confidence_masks]
    return category, np.stack(confidence, -1), labels


@pytest.mark.parametrize("kind", KINDS)
def test_mediapipe_gives_the_keras_networks_mask_and_confidence(kind):
    image = IMAGE
    wanted = Segmenter(tiny_run.trained()).probability(image)
    category, confidence, labels = segmented(kind, image)
    foreground = wanted.argmax(-1) == 1
    union, both = (category == 1) | foreground, (category == 1) & foreground
    assert both.sum() / union.sum() >= (0.97 if kind == "int8" else 0.995)
    assert np.abs(confidence - wanted).max() <= LARGEST_DIFFERENCE[kind]
    assert labels == ["class 0", "class 1"]
