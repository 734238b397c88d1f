"""Segments an image with a TFLite or ONNX file and saves the mask.

    python client.py model_float32.tflite car.jpg mask.png

It needs NumPy, Pillow, and ai-edge-litert or TensorFlow; for ONNX, onnxruntime. The
file stands alone: a copy of it lies beside the model, and client.json, which says how
images are cut into tiles. An image that is not tiled is one tile.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

Array = npt.NDArray[Any]

BLOCK = 256
"""Rows that are resized at a time."""


WHITE = 65535
"""Of 16 bits, as Pillow reads colours."""


def read(file: Path, white: int | None = None, bands: Sequence[int] = ()) -> Array:
    """Returns the bands of the upright image, uint8 (h, w, 3); RGB if there are none.

    Of 16 bits, ``white`` is what becomes 255; None where the training saw none.

    Raises:
        OSError: Pillow cannot read it, or not as the training did.
    """
    with Image.open(file) as stored:
        wide = ";16" in str(getattr(stored, "tile", ""))
        if wide and not stored.mode.startswith("I") and white not in (None, WHITE):
            raise OSError(
                f"{file} has colours of 16 bits, of which Pillow keeps the upper 8, "
                f"and white was {white} in the training: write it with 8 bits, as "
                "bright as there"
            )
        # EXIF data behind the pixels of a PNG counted nowhere in the training.
        turns = stored.format != "PNG" or "exif" in stored.info
        image = ImageOps.exif_transpose(stored) if turns else stored
        if image.mode == "F":
            raise OSError(f"{file} holds fractions; write it with 8 or 16 bits")
        # Up to release 10, Pillow opens 16 bits as I.
        if image.mode.startswith("I"):
            wide, image = True, _in_8_bits(file, np.asarray(image, np.int64), white)
        pixels = np.asarray(image.convert("RGB"))
    pixels = pixels[..., bands] if bands else pixels
    if wide and white is None and pixels.max() < 128:
        bits = 8 + int(pixels.max()).bit_length()
        raise OSError(
            f"{file} has 16 bits of which {bits} are used, and the training saw none, "
            'so that what counts as white is not known: as "white", give client.json '
            f"{2**bits - 1}, or {WHITE}"
        )
    return pixels


def _in_8_bits(file: Path, values: Array, white: int | None) -> Image.Image:
    low, high, white = values.min(), values.max(), white or WHITE
    if low < 0 or high > WHITE:
        raise OSError(f"{file} has values from {low} to {high}, expected 0 to {WHITE}")
    values = np.minimum(values, white) * 256 // (white + 1)
    return Image.fromarray(values.astype(np.uint8))


def resize(array: Array, size: Sequence[int]) -> Array:
    """Returns (h, w, c) at ``size`` as float32: shrinking averages, growing blends."""
    for axis, new in enumerate(size):
        turned = np.moveaxis(array, axis, 0)
        parts = [
            _resize_rows(turned, first, min(first + BLOCK, new), new)
            for first in range(0, new, BLOCK)
        ]
        array = np.moveaxis(np.concatenate(parts), 0, axis)
    return array


def _resize_rows(array: Array, first: int, last: int, count: int) -> Array:
    scale = len(array) / count
    top = max(int(first * scale - 1), 0)
    bottom = min(int(last * scale + 2), len(array))
    new, old = np.arange(first, last)[:, None], np.arange(top, bottom)
    begin, end = new * scale, (new + 1) * scale
    if scale > 1:
        share = (np.minimum(old + 1, end) - np.maximum(old, begin)) / scale
    else:
        place = np.clip((begin + end - 1) / 2, 0, len(array) - 1)
        share = 1 - abs(place - old)
    share = np.maximum(share, 0).astype(np.float32)
    return np.tensordot(share, array[top:bottom].astype(np.float32), 1)


class Axis:
    """The tiles along one axis of an image of ``size`` pixels."""

    def __init__(self, size: int, told: dict[str, Any]) -> None:
        """Lays them out; ``told`` is what client.json says of the axis."""
        tile, margin, padding = told["tile"], told["margin"], told["padding"]
        self.predicted = tile - 2 * margin
        step = 2 ** told["halvings"]
        least = -(-size // step) * step
        if padding == "valid":
            trim = 4 * (step - 1)
            least = step * (-(-(size + trim) // step) + 4) + trim
        padded = max(least, tile)
        before = ((least if padding == "valid" else padded) - size) // 2
        last, stride = padded - tile, told["stride"]
        self.starts = np.minimum(np.arange(1 - (-last // stride)) * stride, last)
        self.offset = before - margin
        period = max(2 * (size - 1), 1)
        place = (self.starts[:, None] - before + np.arange(tile)) % period
        self.pixels = np.minimum(place, period - place)
        self.weights = self._weights(stride, told["blind"], padding)

    def _weights(self, stride: int, blind: int, padding: str) -> Array:
        place = self.starts[:, None] + np.arange(self.predicted)
        raw = np.ones(place.shape, np.float32)
        if padding == "valid":
            raw[:-1] = place[:-1] < self.starts[1:, None]
        else:
            ramp = self.predicted - stride - 2 * blind
            inside = np.arange(self.predicted) + 0.5 - blind
            rising = np.clip(inside / max(ramp, 0.5), 0, 1)
            raw[1:] *= rising
            raw[:-1] *= rising[::-1]
        total = np.zeros(place.max() + 1, np.float32)
        np.add.at(total, place, raw)
        weights: Array = raw / total[place]
        return weights


class TFLite:
    """A TFLite file as a function of one tile."""

    def __init__(self, file: Path) -> None:
        """Opens it."""
        try:
            from ai_edge_litert import interpreter
        except ImportError:
            from tensorflow import lite as interpreter
        self._interpreter = interpreter.Interpreter(str(file))
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]

    def __call__(self, tile: Array) -> Array:
        """Returns the probability (h, w, classes) of a tile (h, w, 3) in 0..255."""
        if self._input["dtype"] == np.uint8:
            tile = tile + 0.5
        given = tile[np.newaxis].astype(self._input["dtype"])
        self._interpreter.set_tensor(self._input["index"], given)
        self._interpreter.invoke()
        came: Array = self._interpreter.get_tensor(self._output["index"])[0]
        scale, zero = self._output["quantization"]
        return (came.astype(np.float32) - zero) * scale if scale else came


class Onnx:
    """An ONNX file as a function of one tile."""

    def __init__(self, file: Path) -> None:
        """Opens it."""
        import onnxruntime

        self._session = onnxruntime.InferenceSession(
            str(file), providers=onnxruntime.get_available_providers()
        )

    def __call__(self, tile: Array) -> Array:
        """Returns the probability (h, w, classes) of a tile (h, w, 3) in 0..255."""
        found: Array = self._session.run(None, {"image": tile[np.newaxis]})[0][0]
        return found


Network = Callable[[Array], Array]


def mean_over(network: Network, tile: Array, flips: Sequence[str]) -> Array:
    """Returns the mean over the tile and its flipped forms."""
    if not flips:
        return network(tile)
    one, rest = flips[0], flips[1:]
    other = flipped(mean_over(network, flipped(tile, one), rest), one)
    mean: Array = (mean_over(network, tile, rest) + other) / 2
    return mean


def flipped(tile: Array, flip: str) -> Array:
    """Returns a tile (h, w, channels), mirrored vertical, horizontal or diagonal."""
    if flip == "diagonal":
        return np.swapaxes(tile, 0, 1)
    return np.flip(tile, 0 if flip == "vertical" else 1)


def probability(network: Network, image: Array, told: dict[str, Any]) -> Array:
    """Returns the classes' probability (h', w', classes) of an image (h, w, 3)."""
    size = told["image_size"]
    if told["resolution"]:
        size = [max(1, round(side * told["resolution"])) for side in image.shape[:2]]
    seen = image if tuple(size) == image.shape[:2] else resize(image, size)
    rows, columns = Axis(size[0], told["rows"]), Axis(size[1], told["columns"])
    whole = [axis.starts[-1] + axis.predicted for axis in (rows, columns)]
    sums = np.zeros((*whole, told["classes"]), np.float32)
    for row, top in enumerate(rows.starts):
        for column, left in enumerate(columns.starts):
            tile = seen[rows.pixels[row]][:, columns.pixels[column]]
            found = mean_over(network, tile.astype(np.float32), told["flips"])
            weight = rows.weights[row][:, None] * columns.weights[column]
            place = sums[top : top + rows.predicted, left : left + columns.predicted]
            place += found * weight[..., None]
    top, left = rows.offset, columns.offset
    return sums[top : top + size[0], left : left + size[1]]


def at_size(found: Array, size: Sequence[int]) -> Array:
    """Returns a probability (h', w', classes) at ``size``, bilinear."""
    for axis, new in enumerate(size):
        old = found.shape[axis]
        place = (np.arange(new) + 0.5) * (old / new) - 0.5
        low = np.floor(place)
        share = (place - low).astype(np.float32).reshape((-1,) + (1,) * (2 - axis))
        above = np.take(found, np.maximum(low, 0).astype(int), axis)
        below = np.take(found, np.minimum(np.ceil(place), old - 1).astype(int), axis)
        found = above + (below - above) * share
    return found


def mask_of(found: Array, told: dict[str, Any]) -> Array:
    """Returns the values (h, w) or colours of a probability (h, w, classes)."""
    ids: Array = found.argmax(-1)
    if told["threshold"] != 0.5:
        ids = (found[..., 1] > np.float32(told["threshold"])).astype(int)
    values = np.array(told["values"])
    written: Array = values.astype(np.uint8 if values.max() < 256 else np.uint16)[ids]
    return written


def segment(model: Path, file: Path, mask: Path) -> None:
    """Writes the mask of an image."""
    told = json.loads(Path(__file__).with_name("client.json").read_text("utf-8"))
    # Files that were exported one by one may differ in these.
    told |= told["files"].get(model.name, {})
    for note in told["notes"]:
        print(f"note: {note}", file=sys.stderr)
    image = read(file, told["white"], told["bands"])
    with model.open("rb"):
        network = Onnx(model) if model.suffix == ".onnx" else TFLite(model)
    found = probability(network, image, told)
    made = mask_of(at_size(found, image.shape[:2]), told)
    Image.fromarray(made).save(mask, "PNG")


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="the TFLite or ONNX file")
    parser.add_argument("image", type=Path, help="any image that Pillow opens")
    parser.add_argument("mask", type=Path, help="the PNG to write")
    asked = parser.parse_args()
    try:
        segment(asked.model, asked.image, asked.mask)
    except (OSError, ValueError, ImportError, Image.DecompressionBombError) as error:
        parser.exit(1, f"error: {error}\n")


if __name__ == "__main__":
    main()
