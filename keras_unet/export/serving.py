"""What TensorFlow Serving wants beside a SavedModel: settings, warm-up, clients."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_unet.config import Config
from keras_unet.export import client
from keras_unet.export.saved_model import MOST_SCANS
from keras_unet.export.tflite import notes_on_bands
from keras_unet.prediction.segmenter import (
    class_names,
    describe_values,
    test_time_flips,
)
from keras_unet.types import Image

BATCHES = (1, 4, 16)
"""Images in the requests that a server is set up, warmed up and measured for."""

_MODELS = """\
# The folder saved_model/ of the run is mounted there; its highest version is served.
model_config_list {{
  config {{
    name: "{model}"
    base_path: "/models/{model}"
    model_platform: "tensorflow"
  }}
}}
"""

_BATCHING = """\
# Requests that wait at most 5 ms for each other become one batch.
max_batch_size {{ value: {largest} }}
batch_timeout_micros {{ value: 5000 }}
max_enqueued_batches {{ value: 100 }}
# As many as the server has cores.
num_batch_threads {{ value: 4 }}
# A batch is filled up to one of these sizes; all of them are warmed up.
{allowed}
"""

_CURL = """\
#!/bin/sh
# Usage: sh curl.sh car.jpg mask.png [http://localhost:8501]
set -eu
: < "$1"
answer=$(
  {{
    printf '{{"instances": [{{"image_bytes": {{"b64": "'
    base64 < "$1" | tr -d '\\n'
    printf '"}}}}]}}'
  }} |
    curl --silent --show-error --fail-with-body --data @- \\
      "${{3:-http://localhost:8501}}/v1/models/{model}:predict"
) || {{
  echo "$answer" >&2
  exit 1
}}
printf '%s' "$answer" |
  tr -d '\\n' | sed 's/.*"b64": *"\\([^"]*\\)".*/\\1/' | base64 -d > "$2"
"""

_README = """\
# Serving this run

From the run folder, the one that holds `saved_model/` and `serving/`:

```
docker run --rm -p 8500:8500 -p 8501:8501 \\
  --mount type=bind,source="$PWD/saved_model",target=/models/{model} \\
  --mount type=bind,source="$PWD/serving",target=/serving \\
  tensorflow/serving \\
  --model_config_file=/serving/models.config \\
  --enable_batching --batching_parameters_file=/serving/batching_params.pbtxt
```

Then, with the files in this folder:

```
sh curl.sh car.jpg mask.png
python client.py car.jpg mask.png
python client.py car.jpg mask.png --grpc localhost:8500
```

Signature `serving_default`:

- in: `image_bytes`, string [n], JPEG or PNG files, each of its own size
- out: `mask_png_bytes`, string [n], PNG files, each of its image's size: {values}

Signature `tensor`:

- in: `image`, uint8 [n, h, w, 3], {channels_in}
- out: `probability`, float32 [n, h, w, {channels}], channels that sum to one, in
  this order: {names}

What to know:

- {decided}
- Send standard base64, once; the server decodes it. Web-safe base64 fails.
- An image is read as it is stored. Where its EXIF says that it lies on its side, turn
  it first, as `client.py` does.
{bands}- Other formats, images above {max_pixels} pixels (`serve_max_pixels` in the
  run's `config.json`; export again after a change), JPEGs of more than {scans} scans
  and, where the training saw no 16 bits, PNGs of 16 of which the highest is not used
  end their request with InvalidArgument and the position in the batch. With batching
  on the server, the requests that shared the batch fail with it: do not batch across
  strangers, leave out `--enable_batching`.
- Put a proxy with a limit on the body in front of the server, after unpacking: its REST
  side takes gzip, of which a few bytes may become gigabytes.
- Versions: every export adds `saved_model/<next number>/`, which the server takes up
  while it runs. Remove a folder to go back.
"""


def write_serving(folder: Path, config: Config) -> None:
    """Writes settings, clients and their README for a server of a run's network.

    Args:
        folder: what is written, not yet there.
        config: of the run.
    """
    folder.mkdir()
    bands = config.data.bands
    words = {
        "model": client.MODEL,
        "largest": BATCHES[-1],
        "allowed": "\n".join(f"allowed_batch_sizes: {size}" for size in BATCHES),
        "values": describe_values(config),
        "channels": len(class_names(config)),
        "names": ", ".join(class_names(config)),
        "max_pixels": config.export.serve_max_pixels,
        "scans": MOST_SCANS,
        "bands": "".join(f"- {note}\n" for note in notes_on_bands(bands)),
        "channels_in": _channels(bands),
        "decided": _decided(config),
    }
    for name, text in [
        ("models.config", _MODELS),
        ("batching_params.pbtxt", _BATCHING),
        ("curl.sh", _CURL),
        ("README.md", _README),
    ]:
        (folder / name).write_text(text.format(**words), "utf-8", newline="\n")
    shutil.copyfile(client.__file__, folder / "client.py")


def _channels(bands: tuple[int, ...]) -> str:
    if not bands:
        return "RGB"
    three = ", ".join(map(str, bands * (3 // len(bands))))
    return f"the images' bands {three}, in this order"


def _decided(config: Config) -> str:
    """Returns in words how a pixel's probability becomes its class."""
    names, flips = class_names(config), test_time_flips(config)
    found = "Each pixel is of its most probable class"
    if len(names) == 2:
        threshold = config.predict.threshold
        found = f"A pixel is {names[1]} where that is more probable than {threshold}"
    over = f", in the mean over {2 ** len(flips)} flipped forms of the image"
    return f"{found}{over if flips else ''}."


def within_limit(image: Image, config: Config) -> Image:
    """Returns the image, or as few of its pixels as the SavedModel accepts."""
    share = image.shape[0] * image.shape[1] / config.export.serve_max_pixels
    step = max(1, math.ceil(math.sqrt(share)))
    return image[::step, ::step]


def write_warm_up(version: Path, images: Sequence[np.ndarray]) -> None:
    """Writes requests that a server answers before its first client.

    There is one request of each batch size.

    Args:
        version: folder of one version of the SavedModel.
        images: (h, w, 3) uint8, one at least, as clients would send them.
    """
    file = version / "assets.extra" / "tf_serving_warmup_requests"
    file.parent.mkdir()
    jpegs = [tf.io.encode_jpeg(image).numpy() for image in images]
    with tf.io.TFRecordWriter(str(file)) as writer:
        for batch in BATCHES:
            chosen = [jpegs[place % len(jpegs)] for place in range(batch)]
            writer.write(_prediction_log(tf.make_tensor_proto(chosen)))


def _prediction_log(image_bytes: Any) -> bytes:
    """Returns TensorFlow Serving's PredictionLog of a request to "serving_default".

    Its messages come with tensorflow-serving-api only, which pins TensorFlow; the
    numbers are those of their fields in prediction_log, predict and model.proto.
    """
    model_spec = _field(1, client.MODEL.encode()) + _field(3, b"serving_default")
    entry = _field(1, b"image_bytes") + _field(2, image_bytes.SerializeToString())
    request = _field(1, model_spec) + _field(2, entry)
    return _field(6, _field(1, request))


def _field(number: int, content: bytes) -> bytes:
    """Returns a string, bytes or a message as a field of another, as protobuf does."""
    length, rest = b"", len(content)
    while rest > 0x7F:
        length, rest = length + bytes([rest & 0x7F | 0x80]), rest >> 7
    return bytes([number << 3 | 2]) + length + bytes([rest]) + content
