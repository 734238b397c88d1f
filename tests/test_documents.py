"""What the documents say is so: commands parse and run, links lead somewhere."""

import configparser
import contextlib
import dataclasses
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_run
import yaml
from command_lines import parsed
from PIL import Image

import keras_unet
from keras_unet.export import serving, web
from keras_unet.export.saved_model import write_saved_model
from keras_unet.prediction.weights_file import load_network
from keras_unet.presets import preset

ROOT = Path(__file__).parents[1]
pytest.importorskip("benchmarks.structure", reason="needs the checkout")

PAGES = ["README.md", "README.es.md", "CONTRIBUTING.md", "exports/README.md"]
PAGES += [f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md"))]
HELPFUL = ["train", "evaluate", "predict", "export", "prediction.beam"]
HELPFUL += [f"data {verb}" for verb in ("check", "demo", "download", "records")]
FENCE = re.compile(r"(?ms)^( *)```(\w*)\n(.*?)^\1```$")
TINY = "--image-size 32 48 --filters 2 --depth 1 --batch-size 2 --formats"


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page, language=""):
    """Returns the fenced blocks in that language, those of a terminal by default."""
    found = FENCE.findall(text_of(page))
    return [re.sub(rf"(?m)^{indent}", "", text) for indent, kind, text in found
            if kind == language]  # fmt: skip


def lines(page):
    """Returns the lines for a terminal, also those within sentences."""
    whole = "".join(blocks(page)).replace("\\\n", "")
    inline = re.findall(r"`((?:python -m|pip install) [^`]+)`", prose(page))
    return [line for line in whole.splitlines() if line] + inline


def prose(page):
    return FENCE.sub("", text_of(page))


def commands():
    return dict.fromkeys(
        " ".join(line.split())
        for page in PAGES
        for line in lines(page)
        if "python -m" in line and " …" not in line
    )


@pytest.mark.parametrize("line", commands())
def test_the_commands_of_the_documents_have_flags_that_there_are(
    line, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    parsed(line.replace(" FILE...", " FILE"))


@pytest.mark.parametrize("page", PAGES)
def test_what_is_no_command_of_ours_is_known(page):
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    extras = {*setup["options.extras_require"]}
    for line in lines(page):
        if line.startswith("pip install"):
            named = re.findall(r'"(?:\.|keras-unet-studio)\[(.+)\]"', line)
            assert {extra for one in named for extra in one.split(",")} <= extras
        else:
            known = r"(TF_CONFIG='.*' )?python -m |docker run|sh curl.sh|git switch|"
            known += r"python (\S*/)?client\.py|jupyter lab|\.ci/run|cd \S+$|mkdir -p|"
            known += f"cp onnx/|npm install @litertjs/core@{re.escape(web.VERSION)}$"
            assert re.match(known, line), line


def test_the_pages_runtime_has_the_version_that_the_export_wants():
    texts = "".join(text_of(page) for page in PAGES)
    assert {*re.findall(r"@litertjs/core@([\d.]*\d)", texts)} == {web.VERSION}


@pytest.mark.parametrize("page", ["README.md", "README.es.md"])
def test_the_command_for_the_hub_is_one_that_the_hubs_client_takes(page, tmp_path):
    pytest.importorskip("huggingface_hub", reason="needs the extra test")
    (line,) = re.findall(r"`(hf upload [^`]+)`", prose(page))
    words = shlex.split(line.replace("RUN", shlex.quote(str(tmp_path))))[1:]
    done = subprocess.run(
        [sys.executable, "-m", "huggingface_hub.cli.hf", *words],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert "offline mode is enabled" in done.stderr + done.stdout


def test_a_server_is_started_and_asked_as_the_runs_own_readme_says(tmp_path):
    serving.write_serving(tmp_path / "serving", tiny_run.trained().load_config())
    written = (tmp_path / "serving" / "README.md").read_text(encoding="utf-8")
    start, ask = blocks("docs/serving.md")[:2]
    assert start in written
    assert ask in written


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_a_file_and_a_heading(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        there = (ROOT / page).parent / file if file else ROOT / page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def anchors(page):
    headings = re.findall(r"(?m)^#+ (.*)", FENCE.sub("", page.read_text("utf-8")))
    kept = (re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


def headings(page):
    return [level for level, _ in re.findall(r"(?m)^(#+) (.*)", prose(page))]


def links(page):
    every = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [link for link in every if link not in ("README.md", "README.es.md")]


def tables(page):
    """Returns the figures and the names in code of every row."""
    rows = re.findall(r"(?m)^\|.*", prose(page))
    return [sorted(re.findall(r"`[^`<>]+`|\d[\d,.×]*", row)) for row in rows]


@pytest.mark.parametrize("of", [headings, links, tables, blocks])
def test_the_readme_is_the_same_in_both_languages(of):
    assert of("README.md") == of("README.es.md")


def test_a_python_block_of_the_readme_is_the_same_in_both_languages():
    assert blocks("README.md", "python") == blocks("README.es.md", "python")


def help_of(command, capsys):
    """Returns what ``python -m keras_unet.COMMAND --help`` prints."""
    module, *words = command.split()
    with pytest.raises(SystemExit) as ended:
        run(f"keras_unet.{module}", [*words, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", HELPFUL)
def test_help_has_an_example_that_is_right(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(
        r"(?s)For\s+example:\s+(.*?)\n *\n", help_of(command, capsys)
    )
    example = " ".join(example.split())
    assert example.startswith(f"python -m keras_unet.{command} ")
    parsed(example)


@pytest.mark.parametrize("command", HELPFUL)
def test_help_says_of_each_flag_its_default_or_that_it_must_be_given(command, capsys):
    text = help_of(command, capsys)
    # In boxes, where the terminal has them.
    _, *flags = re.split(r"(?m)^(?:│ |  )(?=--[a-z])", text)
    assert flags or command == "data download"
    assert all(re.search(r"(?s)\((default:\s.*|required)\)", flag) for flag in flags)
    assert "picture" not in text


def test_the_table_of_presets_has_all_that_they_set_differently():
    table = text_of("docs/training.md").partition("## The network")[0]
    (names,) = re.findall(r"(?m)^\| flag \|(.*)\|$", table)
    rows = re.findall(r"(?m)^\| `--(\S+)` \|(.*)\|$", table)
    shown = {flag: [cell.strip() for cell in cells.split("|")] for flag, cells in rows}
    configs = [preset(name) for name in re.findall(r"`(\w+)`", names)]
    parts = ("data", "augment", "model", "loss", "fit", "predict", "export")
    for part in parts:
        every = [getattr(config, part) for config in configs]
        for field in dataclasses.fields(every[0]):
            values = [in_words(getattr(one, field.name)) for one in every]
            flag = field.name.replace("_", "-")
            if len({*values}) > 1:
                assert shown.pop(flag) == values, flag
    assert not shown


def in_words(value):
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_every_flag_of_training_is_on_some_page(capsys):
    texts = [help_of("train", capsys), "".join(text_of(page) for page in PAGES)]
    flags, named = ({*re.findall(r"--(?:no-)?([a-z][a-z-]*)", text)} for text in texts)
    assert flags - named == set()


def test_help_says_that_images_must_be_given(capsys):
    text = help_of("predict", capsys)
    assert re.search(r"(?s)list's\W+own\W+folder\.\W+\(required\)", text)


def test_the_flags_in_sentences_are_flags_of_some_command(capsys):
    texts = [help_of(command, capsys) for command in HELPFUL]
    known = {flag for text in texts for flag in re.findall(r"--[a-z][a-z-]*", text)}
    # Of Beam, and of TensorFlow Serving.
    known |= {"--runner", "--enable"}
    for page in PAGES:
        assert {*re.findall(r"(?<=`)--[a-z][a-z-]*", prose(page))} <= known, page


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Returns a folder in which what the documents speak of is there."""
    folder, run = tmp_path_factory.mktemp("place"), tiny_run.trained()
    demo = folder / "exports" / "demo"
    demo.mkdir(parents=True)
    for file in (run.config_file, run.weights_file, run.split_file):
        shutil.copy(file, demo)
    write_saved_model(load_network(run), run.load_config(), demo / "saved_model" / "1")
    (demo / "tflite").mkdir()
    made = tiny_run.tflite_files()["float32"]
    shutil.copy(made, demo / "tflite" / "model_float32.tflite")
    for data in ("DIR", "OTHER"):
        tiny_run.write_pairs(folder / data)
    shutil.copytree(folder / "DIR" / "images", folder / "IMAGES")
    Image.fromarray(tiny_run.make_image(1)[0]).save(folder / "car.jpg")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "makes"),
    [
        ("README.md", lambda names: names["probability"][..., 1]),
        ("docs/serving.md", lambda names: np.asarray(Image.open("mask.png"))),
        ("docs/phones.md", lambda names: names["mask"].squeeze()),
    ],
)
def test_the_python_of_the_documents_runs(page, makes, place, monkeypatch):
    if page == "docs/phones.md":
        pytest.importorskip("mediapipe", reason="is installed beside one stack only")
    monkeypatch.chdir(place)
    names = {}
    for block in blocks(page, "python"):
        exec(block, names)
    made = makes(names)
    truth = tiny_run.make_image(1)[1]
    assert made.shape == truth.shape
    assert made[truth == 1].mean() > 2 * made[truth == 0].mean()


def section(page, heading):
    """Returns our commands under the heading."""
    text = re.search(rf"(?ms)^## {heading}\n(.*?)(?=^## |\Z)", text_of(page))[1]
    every = FENCE.findall(text)
    return [line for *_, block in every for line in block.splitlines()]


@pytest.mark.slow
def test_the_commands_for_ones_own_images_run_one_after_the_other(place, monkeypatch):
    monkeypatch.chdir(place)
    lines = [
        *section("docs/data.md", "Look first"),
        *section("README.md", "Your own images")[:3],
        *section("README.md", "The run folder"),
        *section("docs/questions.md", "The masks that `predict` wrote are all black"),
    ]
    for line in dict.fromkeys(lines):
        module, *words = shlex.split(line.removeprefix("python -m "))
        if module.endswith(".train"):
            words += TINY.split() if "--resume" not in words else []
            words = [*words, "--epochs", "2" if "--resume" in words else "1"]
        assert run(module, words) == 0, line
    images = sorted(path.stem for path in Path("IMAGES").iterdir())
    assert sorted(path.stem for path in Path("masks").glob("*.png")) == images
    assert Path("OUT/pairs.csv").is_file()


def run(module, words):
    with contextlib.suppress(ModuleNotFoundError):
        return importlib.import_module(f"{module}.__main__").main(words)
    return importlib.import_module(module).main(words)


def test_the_citation_names_this_version_and_the_paper():
    cited = yaml.safe_load(text_of("CITATION.cff"))
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    assert cited["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "abstract"} <= {*cited}
    assert cited["version"] == keras_unet.__version__
    assert cited["license"] == setup["metadata"]["license"]
    (paper,) = cited["references"]
    assert [author["family-names"] for author in paper["authors"]] == [
        *("Ronneberger", "Fischer", "Brox"),
    ]
    assert paper["url"] == "https://arxiv.org/abs/1505.04597"


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-addons.txt"])
def test_requirements_pin_all_that_the_package_asks_for_and_the_package(file):
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    asked = setup["options"]["install_requires"].split("\n")[1:]
    named = [line for line in text_of(file).splitlines() if not line.startswith("#")]
    assert "." in named
    pinned = {line.partition("==")[0] for line in named if "==" in line}
    names = {re.split("[><=;]", one)[0] for one in asked if not one.startswith("#")}
    assert names | {"jupyter"} <= pinned
    assert len(pinned) > 100
