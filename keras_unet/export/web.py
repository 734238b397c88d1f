"""A static page that segments images in the browser, on LiteRT, without a server.

LiteRT (``@litertjs/core``) and not MediaPipe (``@mediapipe/tasks-vision``): it takes
the very tensor that the network was scored with. MediaPipe needs WebGL, resizes images
in its own way, and stretches to a tile what unpadded networks predict of its middle.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

from keras_unet.config import Config
from keras_unet.errors import BadUsage
from keras_unet.export.tflite import client_settings, notes_on_bands
from keras_unet.export.tflite_tables import output_quantization
from keras_unet.figures.canvas import BLACK, class_colour
from keras_unet.prediction.segmenter import class_names

VERSION = "2.5.3"
"""Of both packages of the runtime."""

CDN = "https://cdn.jsdelivr.net"
RUNTIME_FILES = {
    # For browsers with relaxed SIMD and for those without, Safari among them.
    "@litertjs/core": (
        "package.json",
        "dist/index.js",
        "wasm/litert_wasm_internal.js",
        "wasm/litert_wasm_internal.wasm",
        "wasm/litert_wasm_compat_internal.js",
        "wasm/litert_wasm_compat_internal.wasm",
    ),
    "@litertjs/wasm-utils": ("package.json", "dist/index.js"),
}
_PAGE = Path(__file__).with_name("web_page")
_AS_THEY_ARE = ("style.css", "page.js", "segment.js", "service-worker.js")


def model_kind(formats: Sequence[str], tflite: Path) -> str:
    """Returns which TFLite file a page gets: int8 if the run exports it, or did.

    Args:
        formats: that are asked for.
        tflite: folder of the files of earlier exports.
    """
    has = "int8" in formats or (tflite / "model_int8.tflite").is_file()
    return "int8" if has else "float32"


def require_runtime(folder: Path | None, formats: Sequence[str] = ("web",)) -> None:
    """Refuses a folder that is not the runtime of this page's version.

    Raises:
        BadUsage: names what is missing, and the command that makes the folder; or no
            page is among the formats.
    """
    if folder is None:
        return
    if "web" not in formats:
        raise BadUsage(
            f"--web-runtime {folder} is for a page that --formats does not ask for: "
            "add web to --formats, or leave it out"
        )
    make = f"npm install @litertjs/core@{VERSION} makes it, as node_modules"
    for name, files in RUNTIME_FILES.items():
        for file in files:
            if not (folder / name / file).is_file():
                raise BadUsage(
                    f"--web-runtime {folder} has no {name}/{file}: expected the "
                    f"folder that holds {name} {VERSION}; {make}"
                )
        found = _version(folder / name / "package.json")
        if found != VERSION:
            raise BadUsage(
                f"--web-runtime {folder} has {name} {found}, expected {VERSION}; {make}"
            )


def _version(file: Path) -> str:
    try:
        return str(json.loads(file.read_text("utf-8"))["version"])
    except (ValueError, LookupError, TypeError):
        return "without a version"


def write_web(
    folder: Path, config: Config, model: Path, title: str, runtime: Path | None = None
) -> None:
    """Writes the page: HTML, scripts, the network, and its runtime if that is given.

    Args:
        folder: what is written, not yet there.
        config: of the run.
        model: the TFLite file, int8 or float32.
        title: the run's name.
        runtime: folder that ``require_runtime`` passes; without it, the page loads
            the runtime from a CDN.
    """
    folder.mkdir()
    # Not their permissions: an installed package may be there to be read alone.
    for source in [*(_PAGE / name for name in _AS_THEY_ARE), model]:
        shutil.copyfile(source, folder / source.name)
    if runtime:
        for name, files in RUNTIME_FILES.items():
            for file in files:
                place = folder / "runtime" / f"{name}@{VERSION}" / file
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(runtime / name / file, place)
    base = "./runtime" if runtime else f"{CDN}/npm"
    page = _html(base, "" if runtime else f" {CDN}")
    (folder / "index.html").write_text(page, "utf-8", newline="\n")
    told = _settings(config, model, title, base)
    text = json.dumps(told, indent=2) + "\n"
    (folder / "settings.json").write_text(text, "utf-8", newline="\n")


def _html(base: str, origin: str) -> str:
    places = {name: f"{base}/{name}@{VERSION}/dist/index.js" for name in RUNTIME_FILES}
    # Nothing of the run is in it, so that there is nothing to escape.
    imports = json.dumps({"imports": places})
    digest = base64.b64encode(hashlib.sha256(imports.encode()).digest()).decode()
    words = {"map": imports, "map_hash": f"'sha256-{digest}'", "origin": origin}
    return Template((_PAGE / "index.html").read_text("utf-8")).substitute(words)


def _settings(config: Config, model: Path, title: str, base: str) -> dict[str, Any]:
    content, names = model.read_bytes(), class_names(config)
    colours = [BLACK, *map(class_colour, range(1, len(names)))]
    digest = hashlib.sha256(content).hexdigest()[:16]
    return client_settings(config) | {
        "title": title,
        "kind": model.stem.removeprefix("model_"),
        "bytes": len(content),
        # Named by its content, because browsers keep what they have seen.
        "model": f"{model.name}?sha256={digest}",
        "output": output_quantization(content),
        "runtime": f"{base}/@litertjs/core@{VERSION}/wasm/",
        "names": names,
        "colours": colours,
        "notes": _notes(config),
    }


def _notes(config: Config) -> list[str]:
    """Returns in what the page's images must be like those of the training."""
    notes = notes_on_bands(config.data.bands)
    if (config.data.white or 0xFFFF) not in (0xFF, 0xFFFF):
        notes.append(
            f"The network was trained on 16-bit images whose white is "
            f"{config.data.white}. Browsers read the upper 8 of 16 bits: give images "
            "of 8 bits, bright as in the training."
        )
    return notes
