"""Command: mutated image files against the SavedModel, all of them in one process.

Every file must get a mask of its own size or InvalidArgument, and memory must end where
it began; otherwise the status is 1. The seed is fixed: a run can be had again.
"""

from __future__ import annotations

import io
import random
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.machine import resident_bytes
from keras_unet import BadData, Config, DataConfig, UNetConfig, build_network
from keras_unet.console import load_tensorflow, parse, run_verb


@dataclass(frozen=True)
class Flags:
    """What is sent.

    Attributes:
        files: how many.
        seed: of the mutations.
        warm_up: files before memory is measured for the first time.
        megabytes: by how many the process may have grown at the end.
    """

    files: int = 2000
    seed: int = 0
    warm_up: int = 100
    megabytes: int = 200


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its status."""
    flags = parse(Flags, argv, prog="python -m benchmarks.fuzz_serving")
    return run_verb(lambda: fuzz(flags))


def fuzz(flags: Flags) -> None:
    """Prints how many files were answered in which way, and the memory.

    Raises:
        BadData: an answer is neither a mask nor InvalidArgument, or memory grew.
    """
    answer, chance = served(), random.Random(flags.seed)
    originals, answers, start = pictures(), Counter[str](), resident_bytes()
    for number in range(flags.files):
        kind, content = mutated(originals, chance)
        answers[f"{kind}: {answer(content)}"] += 1
        if number == flags.warm_up:
            start = resident_bytes()
    for text, count in sorted(answers.items()):
        print(f"{count:6} {text}")
    grown = (resident_bytes() - start) / 1e6
    print(f"memory: {start / 1e6:.0f} MB, at the end {grown:+.0f} MB")
    if grown > flags.megabytes:
        raise BadData(f"memory grew by {grown:.0f} MB, {flags.megabytes} are allowed")


def served() -> Any:
    """Returns a function from a file's bytes to the sort of answer that they get."""
    load_tensorflow()
    import tensorflow as tf

    from keras_unet.export.saved_model import write_saved_model

    config = Config(
        data=DataConfig(image_size=(30, 44)), model=UNetConfig(filters=2, depth=1)
    )
    with tempfile.TemporaryDirectory() as folder:
        version = Path(folder) / "1"
        write_saved_model(build_network(config.model), config, version)
        loaded = tf.saved_model.load(str(version))
    signature = loaded.signatures["serving_default"]

    def answer(content: bytes) -> str:
        try:
            found = signature(image_bytes=tf.constant([content]))
        except tf.errors.InvalidArgumentError:
            return "InvalidArgument"
        (mask,) = found["mask_png_bytes"].numpy()
        with Image.open(io.BytesIO(mask)) as image:
            image.load()
        # The graph lives as long as what it belongs to.
        return "a mask" if loaded else ""

    return answer


def pictures() -> dict[str, list[bytes]]:
    """Returns small files of four formats, some of each kind that they have."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 52, 4), np.uint8)
    made: dict[str, list[bytes]] = {"JPEG": [], "PNG": [], "GIF": [], "BMP": []}
    for name, modes in [
        ("JPEG", ("L", "RGB", "CMYK")),
        ("PNG", ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
        ("GIF", ("L", "P")),
        ("BMP", ("1", "L", "P", "RGB")),
    ]:
        for mode in modes:
            image = Image.fromarray(noise)
            if mode == "I;16":
                image = Image.fromarray(noise[..., 0].astype(np.uint16) << 8)
            image = image.convert("RGB") if mode not in ("I;16", "RGBA") else image
            made[name].append(encoded(image.convert(mode), name))
    rgb = Image.fromarray(noise[..., :3])
    made["JPEG"].append(encoded(rgb, "JPEG", progressive=True))
    made["JPEG"].append(encoded(rgb, "JPEG", restart_marker_rows=1))
    return made


def encoded(image: Image.Image, name: str, **options: Any) -> bytes:
    """Returns the bytes of a file."""
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


def mutated(
    originals: dict[str, list[bytes]], chance: random.Random
) -> tuple[str, bytes]:
    """Returns the format of a file and its bytes with one to four changes."""
    kind = chance.choice(["JPEG", "PNG"] * 4 + ["GIF", "BMP"])
    content = bytearray(chance.choice(originals[kind]))
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(content) + 1)
        # Every second change hits what the file says of itself.
        start = min(start, chance.choice([40, len(content)]))
        end = min(len(content), start + chance.choice([1, 1, 2, 4, 16, 300]))
        change = chance.randrange(6)
        if change == 0:
            content = content[:start]
        elif change == 1:
            del content[start:end]
        elif change == 2:
            content[start:start] = content[start:end] * chance.choice([1, 2, 300])
        elif change == 3:
            content[start:end] = bytes([chance.choice([0, 255])]) * (end - start)
        elif change == 4:
            content[start:end] = chance.choice(originals[kind])[start:end]
        else:
            content[start:end] = chance.randbytes(end - start)
    if kind == "PNG" and chance.random() < 0.7:
        content = with_right_sums(content)
    return kind, bytes(content)


def with_right_sums(png: bytearray) -> bytearray:
    """Returns the file with the checksums that its chunks should have.

    Without them no mutation gets past the first layer of the decoder.
    """
    place = 8
    while place + 12 <= len(png):
        end = place + 8 + int.from_bytes(png[place : place + 4], "big")
        if end + 4 > len(png):
            break
        png[end : end + 4] = zlib.crc32(png[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return png


if __name__ == "__main__":
    sys.exit(main())
