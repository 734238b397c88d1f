import base64
import contextlib
import http.server
import io
import json
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent import futures

import numpy as np
import pytest
import random_run
import tensorflow as tf
import tiny_run
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
)
from PIL import Image

from keras_unet.export import client
from keras_unet.export.saved_model import write_saved_model
from keras_unet.export.serving import write_serving, write_warm_up
from keras_unet.prediction.segmenter import Segmenter
from keras_unet.prediction.weights_file import load_network

SERVER = shutil.which("tensorflow_model_server")
needs_server = pytest.mark.skipif(
    SERVER is None, reason="tensorflow_model_server is not on the PATH"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run folder's saved_model/1 and serving/."""
    folder, run = tmp_path_factory.mktemp("run"), tiny_run.trained()
    config = run.load_config()
    write_saved_model(load_network(run), config, folder / "saved_model" / "1")
    write_warm_up(folder / "saved_model" / "1", [tiny_run.make_image(0)[0]])
    write_serving(folder / "serving", config)
    image = tiny_run.make_image(4)[0]
    Image.fromarray(image).save(folder / "car.png")
    return folder


@pytest.fixture(scope="module")
def answer(folder):
    """What a server answers to the bytes of one image."""
    loaded = tf.saved_model.load(str(folder / "saved_model" / "1"))
    signature = loaded.signatures["serving_default"]
    return lambda images: signature(image_bytes=tf.constant(images))


@pytest.fixture(scope="module")
def wanted():
    return 255 * tiny_run.keras_mask(
        Segmenter(tiny_run.trained()), tiny_run.make_image(4)[0]
    )


def mask_in(file):
    return np.asarray(Image.open(file))


def protos():
    return pytest.importorskip(
        "tensorflow_serving.apis.prediction_log_pb2",
        reason="tensorflow-serving-api is installed beside the default stack only",
    )


def test_models_config_is_read_by_the_servers_proto(folder):
    protos()
    from tensorflow_serving.config import model_server_config_pb2

    text = (folder / "serving" / "models.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path) == ("unet", "/models/unet")


def batching_parameters():
    """The server's proto, which no Python package holds: only the names and numbers."""
    message = descriptor_pb2.DescriptorProto(name="BatchingParameters")
    field = descriptor_pb2.FieldDescriptorProto
    wrapped = dict.fromkeys(range(1, 5), ".google.protobuf.Int64Value")
    names = [
        "max_batch_size",
        "batch_timeout_micros",
        "max_enqueued_batches",
        "num_batch_threads",
    ]
    for number, name in enumerate(names, 1):
        message.field.add(
            name=name,
            number=number,
            type=field.TYPE_MESSAGE,
            type_name=wrapped[number],
            label=field.LABEL_OPTIONAL,
        )
    message.field.add(
        name="allowed_batch_sizes",
        number=6,
        type=field.TYPE_INT64,
        label=field.LABEL_REPEATED,
    )
    from google.protobuf import wrappers_pb2

    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(
        descriptor_pb2.FileDescriptorProto(
            name="session_bundle_config.proto",
            package="tensorflow.serving",
            syntax="proto3",
            dependency=["google/protobuf/wrappers.proto"],
            message_type=[message],
        )
    )
    found = pool.FindMessageTypeByName("tensorflow.serving.BatchingParameters")
    return message_factory.GetMessageClass(found)()


def test_batching_parameters_end_with_the_largest_batch_as_the_server_demands(folder):
    text = (folder / "serving" / "batching_params.pbtxt").read_text()
    batching = text_format.Parse(text, batching_parameters())
    sizes = list(batching.allowed_batch_sizes)
    assert sizes == sorted(sizes)
    assert sizes[-1] == batching.max_batch_size.value


def test_warm_up_requests_are_written_for_every_batch_size(folder):
    assert len(warm_up_records(folder)) == 3


def warm_up_records(folder):
    file = folder / "saved_model/1/assets.extra/tf_serving_warmup_requests"
    return [record.numpy() for record in tf.data.TFRecordDataset(str(file))]


def test_a_warm_up_request_is_to_the_byte_what_serving_s_own_package_writes(folder):
    log = protos().PredictionLog()
    for record in warm_up_records(folder):
        log.ParseFromString(record)
        assert log.predict_log.request.model_spec.name == "unet"
        assert log.SerializeToString(deterministic=True) == record


def test_warm_up_requests_of_every_batch_size_are_answered(folder, answer):
    log = protos().PredictionLog()
    sizes = []
    for record in warm_up_records(folder):
        log.ParseFromString(record)
        request = log.predict_log.request
        assert request.model_spec.signature_name == "serving_default"
        images = tf.make_ndarray(request.inputs["image_bytes"])
        sizes.append(len(answer(images.tolist())["mask_png_bytes"]))
    assert sizes == [1, 4, 16]


def test_the_readme_mounts_what_the_settings_name(folder):
    text = (folder / "serving" / "README.md").read_text()
    assert 'source="$PWD/saved_model",target=/models/unet' in text
    assert "--model_config_file=/serving/models.config" in text


@pytest.mark.parametrize(
    ("classes", "predict", "said"),
    [
        (
            2,
            {"threshold": 0.25},
            "A pixel is foreground where that is more probable than 0.25.",
        ),
        (
            2,
            {"test_time_flips": True},
            "more probable than 0.5, in the mean over 4 flipped forms of the image.",
        ),
        (3, {}, "Each pixel is of its most probable class."),
    ],
)
def test_the_readme_says_how_pixels_are_decided(tmp_path, classes, predict, said):
    run = random_run.make_run(
        tmp_path / "run", classes=classes, flip="both", predict=predict
    )
    write_serving(tmp_path / "serving", run.load_config())
    text = (tmp_path / "serving" / "README.md").read_text()
    assert said in " ".join(text.split())


def test_the_readme_says_what_goes_in_what_comes_out_and_what_to_put_in_front(folder):
    text = " ".join((folder / "serving" / "README.md").read_text().split())
    assert "JPEG or PNG files, each of its own size" in text
    assert "grey in 8 bits, 0 background, 255 foreground" in text
    assert "images above 25000000 pixels" in text
    assert "a proxy with a limit on the body in front" in text
    assert "do not batch across strangers" in text


@contextlib.contextmanager
def grpc_server(answer):
    """The real PredictionService over a real socket; the loaded SavedModel answers."""
    import grpc
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):  # noqa: N802
            images = tf.make_ndarray(request.inputs["image_bytes"]).tolist()
            try:
                found = answer(images)
            except tf.errors.InvalidArgumentError as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
            response = predict_pb2.PredictResponse()
            for name, tensor in found.items():
                response.outputs[name].CopyFrom(tf.make_tensor_proto(tensor.numpy()))
            return response

    server = grpc.server(futures.ThreadPoolExecutor(1))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        Service(), server
    )
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        yield f"localhost:{port}"
    finally:
        server.stop(None).wait()


@pytest.fixture(scope="module")
def grpc_address(answer):
    protos()
    with grpc_server(answer) as address:
        yield address


def test_the_client_saves_the_keras_networks_mask_over_grpc(
    folder, grpc_address, wanted, tmp_path
):
    script = folder / "serving" / "client.py"
    arguments = [folder / "car.png", tmp_path / "mask.png", "--grpc", grpc_address]
    subprocess.run([sys.executable, script, *arguments], check=True)
    np.testing.assert_array_equal(mask_in(tmp_path / "mask.png"), wanted)


def test_without_a_server_the_client_says_so_in_a_line(folder, tmp_path):
    protos()
    words = ["client.py", folder / "car.png", tmp_path / "mask.png"]
    done = subprocess.run(
        [sys.executable, *words, "--grpc", "localhost:1"],
        cwd=folder / "serving",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "error: localhost:1: UNAVAILABLE" in done.stderr
    assert "Traceback" not in done.stderr


def test_bad_bytes_fail_their_request_and_the_server_goes_on(grpc_address):
    with pytest.raises(OSError, match=r"(?s)INVALID_ARGUMENT.*position"):
        client.over_grpc(grpc_address, b"no image")
    assert client.over_grpc(grpc_address, tiny_run.png(tiny_run.make_image(1)[0]))


@pytest.fixture(scope="module")
def rest_address(answer):
    """A server that speaks the REST contract of TensorFlow Serving's documentation."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            if self.path != "/v1/models/unet:predict":
                self.send_error(404)
                return
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            coded = [one["image_bytes"]["b64"] for one in body["instances"]]
            masks = answer([base64.b64decode(b64, validate=True) for b64 in coded])
            found = [
                {"b64": base64.b64encode(mask).decode()}
                for mask in masks["mask_png_bytes"].numpy()
            ]
            text = json.dumps({"predictions": found}, indent=4).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("localhost", 0), Handler)
    threading.Thread(target=server.serve_forever).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_client_saves_the_keras_networks_mask_over_rest(
    folder, rest_address, wanted, tmp_path
):
    script = folder / "serving" / "client.py"
    arguments = [folder / "car.png", tmp_path / "mask.png", "--rest", rest_address]
    subprocess.run([sys.executable, script, *arguments], check=True)
    np.testing.assert_array_equal(mask_in(tmp_path / "mask.png"), wanted)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on the PATH")
def test_the_curl_example_saves_the_keras_networks_mask(
    folder, rest_address, wanted, tmp_path
):
    script = folder / "serving" / "curl.sh"
    arguments = [folder / "car.png", tmp_path / "mask.png", rest_address]
    subprocess.run(["sh", script, *arguments], check=True)
    np.testing.assert_array_equal(mask_in(tmp_path / "mask.png"), wanted)


@pytest.mark.parametrize(
    "words",
    [["sh", "curl.sh"], [sys.executable, "client.py", "--rest"]],
    ids=["curl", "client"],
)
@pytest.mark.parametrize(
    ("image", "said"), [("gone.png", "gone.png"), ("car.png", "404")]
)
def test_a_client_that_gets_no_mask_fails_and_keeps_what_was_there(
    folder, rest_address, tmp_path, words, image, said
):
    shell, script, *flag = words
    if not shutil.which("curl"):
        pytest.skip("curl is not on the PATH")
    (tmp_path / "mask.png").write_text("before")
    at = f"{rest_address}/elsewhere"
    files = [folder / image, tmp_path / "mask.png"]
    done = subprocess.run(
        [shell, folder / "serving" / script, *files, *flag, at],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "mask.png").read_text() == "before"


@pytest.fixture(scope="module")
def real_server(folder, tmp_path_factory):
    """tensorflow_model_server with two versions of the model; its addresses and log."""
    place = tmp_path_factory.mktemp("server")
    shutil.copytree(folder / "saved_model", place / "saved_model")
    shutil.copytree(place / "saved_model" / "1", place / "saved_model" / "2")
    shutil.copytree(folder / "serving", place / "serving")
    config = place / "serving" / "models.config"
    text = config.read_text().replace("/models/unet", str(place / "saved_model"))
    both = "    model_version_policy { specific { versions: 1 versions: 2 } }\n  }"
    config.write_text(text.replace("  }", both, 1))
    log = place / "log"
    command = [
        SERVER,
        "--port=18500",
        "--rest_api_port=18501",
        f"--model_config_file={config}",
        "--enable_batching",
        f"--batching_parameters_file={place / 'serving' / 'batching_params.pbtxt'}",
    ]
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            _wait_for("http://localhost:18501/v1/models/unet")
            yield "http://localhost:18501", "localhost:18500", log
        finally:
            server.terminate()
            server.wait()


def _wait_for(address, seconds=60):
    end = time.monotonic() + seconds
    while True:
        try:
            return urllib.request.urlopen(address, timeout=5).read()
        except urllib.error.URLError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


@needs_server
def test_the_server_itself_gives_the_keras_networks_mask(real_server, wanted):
    rest, grpc_at, _ = real_server
    image = tiny_run.png(tiny_run.make_image(4)[0])
    for mask in (client.over_rest(rest, image), client.over_grpc(grpc_at, image)):
        np.testing.assert_array_equal(mask_in(io.BytesIO(mask)), wanted)


@needs_server
def test_the_server_itself_has_both_versions_available(real_server):
    status = json.loads(_wait_for(f"{real_server[0]}/v1/models/unet"))
    states = {one["version"]: one["state"] for one in status["model_version_status"]}
    assert states == {"1": "AVAILABLE", "2": "AVAILABLE"}


@needs_server
def test_the_server_itself_reads_the_warm_up_requests(real_server):
    assert "Finished reading warmup data" in real_server[2].read_text()


@needs_server
def test_the_server_itself_serves_on_under_bad_bytes(real_server):
    rest, _, _ = real_server
    good = tiny_run.png(tiny_run.make_image(4)[0])

    def send(image):
        try:
            return bool(client.over_rest(rest, image))
        except urllib.error.HTTPError as error:
            return error.code

    with futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(send, [good, b"no image"] * 16))
    assert send(good) is True
