import dataclasses
import http.server
import io
import json
import os
import re
import shutil
import threading
from functools import partial
from pathlib import Path

import bright_run
import numpy as np
import pytest
import random_run
import tiny_run
from PIL import Image

from keras_unet import train
from keras_unet.config import PredictConfig
from keras_unet.data.demo.make import make_demo
from keras_unet.errors import BadUsage
from keras_unet.export import tflite, web
from keras_unet.export.__main__ import main
from keras_unet.prediction.segmenter import Segmenter, class_names
from keras_unet.prediction.tiles import tile_network, tilings
from keras_unet.run_folder import RunFolder

RUNTIME = os.environ.get("WEB_RUNTIME")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
PAGE = ["index.html", "page.js", "segment.js", "service-worker.js", "style.css"]


def settings(folder):
    return json.loads((folder / "settings.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A run that was exported from beside its folder as a page, and nothing else."""
    folder = tmp_path_factory.mktemp("exported") / "run"
    run = RunFolder(shutil.copytree(tiny_run.trained().path, folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        assert main([folder.name, "--formats", "web"]) == 0
    return run


def test_a_page_is_written_with_the_network_that_it_needs(exported):
    names = sorted(path.name for path in exported.web.iterdir())
    assert names == sorted([*PAGE, "settings.json", "model_float32.tflite"])
    made = exported.tflite / "model_float32.tflite"
    assert (exported.web / "model_float32.tflite").read_bytes() == made.read_bytes()


def test_the_report_has_the_page_and_its_network_s_figures(exported):
    report = json.loads(exported.export_report.read_text())["artefacts"]
    page, network = report["web"], report["float32"]
    assert (page["path"], page["model"]) == ("web", "float32")
    assert page["dice"] == network["dice"]
    assert page["bytes"] > network["bytes"]
    assert "seconds_per_image" not in page


def test_without_a_runtime_of_its_own_a_page_names_a_cdn_and_the_version(exported):
    html = (exported.web / "index.html").read_text()
    assert f"{web.CDN}/npm/@litertjs/core@{web.VERSION}/dist/index.js" in html
    assert settings(exported.web)["runtime"].startswith(f"{web.CDN}/npm/")


def test_a_run_with_an_int8_file_gets_a_page_with_a_new_one(exported, tmp_path):
    run = RunFolder(shutil.copytree(exported.path, tmp_path / "run"))
    (run.tflite / "model_int8.tflite").write_text("of older weights")
    assert main([str(run.path), "--formats", "web"]) == 0
    new = (run.tflite / "model_int8.tflite").read_bytes()
    assert (run.web / "model_int8.tflite").read_bytes() == new
    assert not (run.web / "model_float32.tflite").exists()
    told = settings(run.web)
    assert (told["kind"], told["output"]) == ("int8", {"scale": 1 / 256, "zero": 0})


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({}, "has no @litertjs/core/package.json"),
        ({"version": "1.0.0"}, f"has @litertjs/core 1.0.0, expected {web.VERSION}"),
    ],
)
def test_a_folder_that_is_not_the_runtime_is_refused(
    exported, tmp_path, capsys, written, message
):
    before = (exported.web / "index.html").stat().st_mtime_ns
    for name, files in web.RUNTIME_FILES.items():
        for file in files if written else ():
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_text(json.dumps(written))
    words = [str(exported.path), "--formats", "web", "--web-runtime", str(tmp_path)]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert message in said
    assert f"npm install @litertjs/core@{web.VERSION}" in said
    assert (exported.web / "index.html").stat().st_mtime_ns == before


def test_what_images_must_be_like_is_noted_on_the_page(tmp_path):
    run = random_run.make_run(tmp_path / "run", data={"bands": (4, 3, 2)})
    config = run.load_config()
    data = dataclasses.replace(config.data, white=4095)
    made = written(run, dataclasses.replace(config, data=data), tmp_path, None)
    bands, white = settings(made)["notes"]
    assert "bands 4, 3, 2" in bands
    assert "white is 4095" in white


def written(run, config, folder, runtime, kind="float32"):
    """Writes the page of a run that was not exported; returns its folder."""
    rows, columns = tilings(config)
    network = Segmenter(run, config.predict).network
    part = tile_network(network) if config.data.tiles else network
    file = folder / f"model_{kind}.tflite"
    images = [tiny_run.make_image(0, (rows.tile, columns.tile))[0]]
    with tflite.frozen(part, (rows.tile, columns.tile)) as source:
        tflite.write_tflite(source, kind, file, class_names(config), images)
    web.write_web(folder / "web", config, file, "a run", runtime)
    return folder / "web"


def test_a_runtime_without_a_page_is_refused(tmp_path):
    with pytest.raises(BadUsage, match="add web to --formats"):
        web.require_runtime(tmp_path, ["float32"])


# From here on in Chromium.


@pytest.fixture(scope="module")
def runtime():
    if RUNTIME is None:
        pytest.skip(
            f"WEB_RUNTIME is not set: npm install @litertjs/core@{web.VERSION}, "
            "and name the folder node_modules"
        )
    web.require_runtime(Path(RUNTIME))
    return Path(RUNTIME)


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is in the extra test only"
    )
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on the PATH")
    flags = [
        "--no-sandbox",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
    ]
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


class Visit:
    """A page that is served and opened, and all that it asks for."""

    def __init__(self, browser, folder, routes=None):
        handler = partial(Quiet, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}/"
        kept = "block" if routes else "allow"
        self.context = browser.new_context(service_workers=kept)
        for pattern, handler in (routes or {}).items():
            self.context.route(pattern, handler)
        self.requests = []
        self.context.on("request", lambda one: self.requests.append(one.url))
        self.routed = bool(routes)
        self.page = self.context.new_page()
        self.page.goto(self.address)
        if not routes:
            self.wait("#status", "Ready")

    def wait(self, place, text):
        from playwright.sync_api import expect

        expect(self.page.locator(place)).to_contain_text(
            re.compile(text), timeout=60_000
        )

    def open(self, name, content):
        kind = "image/png"
        file = {"name": name, "mimeType": kind, "buffer": content}
        self.page.set_input_files("#file", file)

    def mask(self, image):
        """Returns what is downloaded as the mask of an image (h, w, 3)."""
        self.open("image.png", tiny_run.png(image))
        self.wait("#status", "Done")
        with self.page.expect_download() as download:
            self.page.click("#download")
        assert download.value.suggested_filename == "image_mask.png"
        content = Path(download.value.path()).read_bytes()
        return load(io.BytesIO(content))

    def stop_server(self):
        self.server.shutdown()
        self.server.server_close()

    def close(self):
        self.context.close()
        self.stop_server()


@pytest.fixture
def visit(chromium):
    visits = []

    def opened(folder, routes=None):
        visits.append(Visit(chromium, folder, routes))
        return visits[-1]

    yield opened
    for one in visits:
        one.close()
    for one in visits:
        ours = (one.address, "blob:", "data:", web.CDN if one.routed else one.address)
        assert [url for url in one.requests if not url.startswith(ours)] == []


def load(file):
    with Image.open(file) as image:
        return np.asarray(image)


def iou(one, other):
    return np.sum(one & other) / np.sum(one | other)


@pytest.fixture(scope="module")
def cars(tmp_path_factory, runtime, chromium):
    """A run that train exported as a page, and images of cars that it never saw."""
    folder = tmp_path_factory.mktemp("cars")
    make_demo(folder / "data", cars=6, views=8, size=(96, 144))
    words = ["--data", str(folder / "data"), "--output", str(folder / "run")]
    network = ["--image-size", "48", "72", "--filters", "8", "--depth", "2"]
    fit = ["--epochs", "6", "--batch-size", "4", "--precision", "float32"]
    formats = ["--formats", "float32", "int8", "web"]
    assert train.main([*words, *network, *fit, *formats]) == 0
    make_demo(folder / "more", cars=1, views=2, seed=7)
    return RunFolder(folder / "run"), sorted((folder / "more" / "train").glob("*"))


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize(("kind", "least"), [("float32", 0.99), ("int8", 0.97)])
def test_a_car_has_the_keras_network_s_mask(
    cars, runtime, visit, tmp_path, kind, least
):
    run, images = cars
    model = run.tflite / f"model_{kind}.tflite"
    web.write_web(tmp_path / "web", run.load_config(), model, "cars", runtime)
    image = load(images[1])
    segmenter = Segmenter(run)
    wanted = segmenter.decide(segmenter.probability(image))
    truth = load(next(run.path.parent.glob("more/train_masks/*_02*")))
    mask = visit(tmp_path / "web").mask(image)
    assert set(np.unique(mask)) == {0, 255}
    assert iou(mask > 0, wanted > 0) >= least
    assert iou(mask > 0, truth > 0) > 0.7


@pytest.mark.browser
@pytest.mark.parametrize(
    ("data", "model", "size"),
    [
        ({"image_size": (16, 24)}, {}, (50, 37)),
        ({"resolution": 0.7, "tile_size": (16, 16)}, {}, (40, 51)),
        ({"resolution": 1.5, "tile_size": (16, 16)}, {"padding": "valid"}, (33, 20)),
        ({"resolution": 1.0, "tile_size": (16, 24), "bands": (3, 1, 2)}, {}, (50, 61)),
    ],
    ids=["whole", "tiles", "valid", "bands"],
)
def test_the_page_s_mask_is_that_of_predict(
    runtime, visit, tmp_path, data, model, size
):
    predict = PredictConfig(threshold=0.45, test_time_flips=True)
    flips = {"flip": "both", "turn": 180.0}
    run = random_run.make_run(tmp_path / "run", data=data, **flips, **model)
    config = dataclasses.replace(run.load_config(), predict=predict)
    image = random_run.noise(size)
    mask = visit(written(run, config, tmp_path, runtime)).mask(image)
    segmenter = Segmenter(run, predict)
    wanted = segmenter.decide(segmenter.probability(image))
    assert mask.shape == size
    # Where rounding decides, one pixel in a hundred may differ.
    assert np.mean((mask > 0) != wanted) <= 0.01


@pytest.mark.browser
@pytest.mark.parametrize(
    ("values", "reading"),
    [((7, 300, 9), "levels"), ((0x102030, 0xFF0000, 0x00FF00), "colours")],
)
def test_several_classes_come_in_their_own_values_and_with_their_names(
    runtime, visit, tmp_path, values, reading
):
    names = ("ground", "<img src=x onerror=alert(1)>", "a & b")
    kinds = {"mask_kind": "classes", "foreground_above": None, "mask_reading": reading}
    run = bright_run.make_run(
        tmp_path / "run", 3, class_values=values, class_names=names, **kinds
    )
    image = np.full((*bright_run.SIZE, 3), 20, np.uint8)
    image[:, 8:16], image[:, 16:] = 128, 240
    shown = visit(written(run, run.load_config(), tmp_path, runtime))
    mask = shown.mask(image)
    found = np.array(values)[[0, 1, 2]]
    if reading == "colours":
        mask = mask.astype(int) @ [0x10000, 0x100, 1]
    assert mask[8, [3, 12, 20]].tolist() == found.tolist()
    assert not shown.page.is_visible("#threshold")
    said = shown.page.locator("#legend li").all_inner_texts()
    assert [line.split("\n")[0] for line in said] == list(names[1:])


@pytest.fixture(scope="module")
def folder(runtime, tmp_path_factory):
    run = tiny_run.trained()
    return written(run, run.load_config(), tmp_path_factory.mktemp("page"), runtime)


@pytest.fixture
def page(folder, visit):
    return visit(folder)


@pytest.mark.browser
def test_a_file_of_something_else_is_answered_in_a_sentence_and_changes_nothing(page):
    image = tiny_run.make_image(1)[0]
    before = page.mask(image)
    page.open("notes.txt", b"not an image")
    page.wait("#error", r"notes\.txt is no image that this browser reads")
    page.open("cut.png", tiny_run.png(image)[:100])
    page.wait("#error", r"cut\.png is no image that this browser reads")
    assert page.page.get_attribute("#result", "aria-label").startswith("image.png")
    np.testing.assert_array_equal(page.mask(image), before)


DROPPED = """(content) => {
  const data = new DataTransfer();
  if (content) data.items.add(new File([Uint8Array.from(content)], "dropped.png"));
  else data.setData("text/plain", "no file");
  document.dispatchEvent(new DragEvent("drop", { dataTransfer: data }));
}"""


@pytest.mark.browser
def test_an_image_that_is_dropped_is_segmented_and_a_text_is_not(page):
    page.page.evaluate(DROPPED, None)
    page.wait("#error", "What was dropped is no file")
    page.page.evaluate(DROPPED, list(tiny_run.png(tiny_run.make_image(1)[0])))
    page.wait("#status", "Done")


@pytest.mark.browser
def test_a_page_without_its_own_runtime_loads_it_from_the_cdn_or_says_so(
    folder, runtime, visit, tmp_path
):
    run = tiny_run.trained()
    model = folder / "model_float32.tflite"
    web.write_web(tmp_path / "web", run.load_config(), model, "a run")
    away = visit(tmp_path / "web", {f"{web.CDN}/**": lambda route: route.abort()})
    away.wait("#error", r"could not be loaded from cdn\.jsdelivr\.net")

    def as_the_cdn(route):
        name = route.request.url.removeprefix(f"{web.CDN}/npm/")
        file = runtime / name.replace(f"@{web.VERSION}/", "/")
        free = {"Access-Control-Allow-Origin": "*"}
        route.fulfill(path=file, headers=free, content_type=TYPES[file.suffix])

    there = visit(tmp_path / "web", {f"{web.CDN}/**": as_the_cdn})
    there.wait("#status", "Ready")
    assert there.mask(tiny_run.make_image(1)[0]).any()


TYPES = {".js": "text/javascript", ".wasm": "application/wasm"}


@pytest.mark.browser
def test_the_page_works_without_its_server_after_the_first_load(page):
    image = tiny_run.make_image(1)[0]
    before = page.mask(image)
    page.wait("#offline", "works offline")
    page.stop_server()
    page.page.reload()
    page.wait("#status", "Ready")
    np.testing.assert_array_equal(page.mask(image), before)


@pytest.mark.browser
def test_the_keyboard_reaches_everything_and_what_happens_is_read_out(page):
    page.mask(tiny_run.make_image(1)[0])
    focus, keys = ["file"], page.page.keyboard
    page.page.focus("#file")
    for _ in range(4):
        keys.press("Tab")
        focus.append(page.page.evaluate("document.activeElement.id"))
    assert focus == ["file", "camera", "threshold", "show", "download"]
    page.page.focus("#threshold")
    keys.press("End")
    page.wait("#status", "Above 0.99")
    keys.press("Home")
    page.wait("#status", "Above 0.01")
    tree = page.page.locator("body").aria_snapshot()
    for line in (
        'slider "Threshold"',
        'button "Download the mask (PNG)"',
        'checkbox "Show the mask"',
        'img "image.png with its mask: foreground',
        "status",
    ):
        assert line in tree, tree


@pytest.mark.browser
def test_the_threshold_moves_the_mask_s_edge(page):
    def share():
        text = page.page.locator("#legend").inner_text()
        return float(re.search(r"([\d.]+)\s%", text)[1])

    page.mask(tiny_run.make_image(1)[0])
    at = {}
    for value in ("0.05", "0.5", "0.95"):
        page.page.locator("#threshold").fill(value)
        at[value] = share()
    assert at["0.05"] > at["0.5"] > at["0.95"]


@pytest.mark.browser
def test_the_camera_s_last_image_can_be_kept(page):
    page.page.click("#camera")
    page.wait("#status", "The camera runs")
    page.wait("#size", "×")
    page.page.click("#camera")
    page.wait("#status", "The camera stopped")
    with page.page.expect_download() as download:
        page.page.click("#download")
    assert download.value.suggested_filename == "camera_mask.png"
