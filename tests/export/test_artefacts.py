import dataclasses
import json
import shutil
from importlib.util import find_spec

import bright_run
import numpy as np
import pytest
import tiny_run
from PIL import Image
from splits import remember, split_of

from keras_unet.config import PredictConfig
from keras_unet.errors import BadData
from keras_unet.export.artefacts import export_run
from keras_unet.run_folder import RunFolder

ALL = ("saved_model", "float32", "float16", "dynamic", "int8")
if find_spec("tf2onnx") and find_spec("onnxruntime"):
    ALL += ("onnx",)


def copy_of(run, folder):
    shutil.copytree(run.path, folder / "run")
    return RunFolder(folder / "run")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    run = copy_of(tiny_run.trained(), tmp_path_factory.mktemp("exported"))
    return run, export_run(run, ALL)


def files(run):
    return {
        path.relative_to(run.path).as_posix(): path.stat().st_mtime_ns
        for path in run.path.rglob("*")
        if path.is_file()
    }


def test_every_format_lies_where_the_run_folder_promises_it(exported):
    run, measured = exported
    assert (run.saved_model / "1" / "saved_model.pb").is_file()
    assert sorted(p.name for p in run.tflite.iterdir()) == [
        "client.json",
        "client.py",
        "model_dynamic.tflite",
        "model_float16.tflite",
        "model_float32.tflite",
        "model_int8.tflite",
    ]
    assert all((run.path / measured[name]["path"]).exists() for name in ALL)


def test_an_onnx_file_lies_beside_its_client_and_triton_s_config(exported):
    run, measured = exported
    if "onnx" not in measured:
        pytest.skip("needs the extra onnx")
    assert measured["onnx"]["path"] == "onnx/model.onnx"
    names = ["client.json", "client.py", "config.pbtxt", "model.onnx"]
    assert sorted(path.name for path in run.onnx.iterdir()) == names


def test_the_report_holds_what_was_measured_of_each(exported):
    run, measured = exported
    report = json.loads(run.export_report.read_text())
    assert report["artefacts"] == measured
    for name in ALL:
        assert {
            "bytes",
            "operators",
            "max_difference",
            "mean_difference",
            "dice",
            "seconds_per_image",
        } <= set(report["artefacts"][name])


def test_float_files_agree_with_keras_as_far_as_floats_go(exported):
    _, measured = exported
    assert measured["saved_model"]["max_difference"] <= 1e-4
    assert measured["float32"]["max_difference"] <= 1e-4
    assert measured["float16"]["max_difference"] <= 5e-3
    if "onnx" in measured:
        assert measured["onnx"]["max_difference"] <= 1e-4


def test_nothing_is_left_aside(exported):
    run, _ = exported
    assert not [path for path in run.path.iterdir() if path.name.startswith(".")]


def test_the_latency_of_requests_of_one_four_and_sixteen_is_measured(exported):
    _, measured = exported
    latency = measured["saved_model"]["latency"]
    assert [one["batch"] for one in latency] == [1, 4, 16]
    assert all(one["images_per_second"] > 0 for one in latency)


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    """A run whose training images are black, so that int8's ranges are garbage."""
    folder = tmp_path_factory.mktemp("spoilt")
    run = copy_of(tiny_run.trained(), folder)
    export_run(run, ("saved_model", "int8"))
    before = files(run)
    config = run.load_config()
    data = folder / "black"
    shutil.copytree(config.data.data, data)
    moved = dataclasses.replace(config.data, data=data)
    split = split_of(moved)
    for pair in split.train:
        Image.fromarray(np.zeros((*tiny_run.OWN_SIZE, 3), np.uint8)).save(pair.image)
    with pytest.raises(BadData) as error:
        export_run(run, ("saved_model", "int8"), split)
    return str(error.value), before, files(run)


def test_a_garbage_representative_set_fails_the_export_with_the_numbers(spoilt):
    message, _, _ = spoilt
    assert "int8 has Dice 0." in message


def test_a_failed_export_keeps_every_file_of_the_last_one(spoilt):
    _, before, after = spoilt
    assert after == before


def test_a_second_export_is_the_next_version_and_keeps_the_first(tmp_path):
    run = copy_of(tiny_run.trained(), tmp_path)
    (run.saved_model / "7").mkdir(parents=True)
    export_run(run, ("saved_model",))
    assert sorted(p.name for p in run.saved_model.iterdir()) == ["7", "8"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "missing required field"),
        ('{"validation_images": 1, "artefacts": [1]}', "artefacts: expected object"),
        ("[" * 100_000, "is nested too deeply"),
    ],
)
def test_a_report_of_something_else_is_refused_before_anything_is_made(
    tmp_path, text, message
):
    run = copy_of(tiny_run.trained(), tmp_path)
    run.export_report.write_text(text)
    with pytest.raises(BadData, match=rf"export_report\.json: .*{message}.*; remove"):
        export_run(run, ("float32",))
    assert not run.tflite.exists()


def test_a_run_whose_images_are_gone_says_which_folder_is_missing(tmp_path):
    run = copy_of(tiny_run.trained(), tmp_path)
    text = run.config_file.read_text()
    run.config_file.write_text(text.replace("tiny_run_", "gone_"))
    with pytest.raises(BadData, match="gone_"):
        export_run(run, ("float32",))


def test_a_server_s_limit_below_the_run_s_own_images_is_no_reason_to_fail(tmp_path):
    run = copy_of(tiny_run.trained(), tmp_path)
    config = run.load_config()
    strict = dataclasses.replace(config.export, serve_max_pixels=2000)
    run.save_config(dataclasses.replace(config, export=strict))
    assert export_run(run, ("saved_model",))["saved_model"]["latency"]
    assert "images above 2000 pixels" in (run.serving / "README.md").read_text()


@pytest.fixture(scope="module", params=["same", "valid"])
def tiled(request, tmp_path_factory):
    """A run on tiles, exported with a threshold and flips, and an image for it."""
    folder = tmp_path_factory.mktemp("tiled")
    for number in range(30):
        mask = np.kron(bright_run.square(shift=number % 5), np.ones((4, 3), np.uint8))
        name = f"p{number:02}.png"
        bright_run.draw(folder / "data" / "images" / name, mask, levels=(90, 170))
        (folder / "data" / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask * 255).save(folder / "data" / "masks" / name)
    data = {"data": folder / "data", "resolution": 0.9, "tile_size": (32, 16)}
    run = bright_run.make_run(folder / "run", padding=request.param, **data)
    remember(run)
    predict = PredictConfig(threshold=0.6, test_time_flips=True)
    formats = [name for name in ALL if name not in ("float16", "dynamic")]
    # Padding is the network's, which each of the others holds alike.
    formats = formats if request.param == "valid" else formats[:1]
    return run, predict, export_run(run, formats, predict=predict)


def test_artefacts_of_a_tiled_run_agree_with_it(tiled):
    _, _, measured = tiled
    assert measured["keras"]["dice"] > 0.9
    for name in {"saved_model", "float32", "onnx"} & measured.keys():
        assert measured[name]["max_difference"] <= 1e-4


def test_the_report_says_how_masks_are_made(tiled):
    run, _, measured = tiled
    report = json.loads(run.export_report.read_text())["artefacts"]
    wanted = {"threshold": 0.6, "test_time_flips": True}
    for name in measured:
        assert report[name]["predict"] == wanted
    assert run.load_config().predict == PredictConfig()
