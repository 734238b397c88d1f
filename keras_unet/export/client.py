"""Sends an image to TensorFlow Serving and saves the mask that comes back.

    python client.py car.jpg mask.png
    python client.py car.jpg mask.png --grpc localhost:8500

Over REST it needs Pillow, over gRPC tensorflow-serving-api too. The file stands alone:
a copy of it lies in the folder serving/ of every exported run.
"""

import argparse
import base64
import io
import json
import urllib.error
import urllib.request
from pathlib import Path

from PIL import Image, ImageOps

MODEL = "unet"
SECONDS = 60.0
ORIENTATION = 0x0112
"""Number of the EXIF tag; 1 is upright."""


def upright(file: Path) -> bytes:
    """Returns the file's bytes, turned first where EXIF says that it lies.

    The model reads JPEG and PNG, as they are stored. A turned image, or one of another
    format, is sent as PNG, which loses nothing; all others are sent as they are.

    Raises:
        OSError: Pillow cannot read it, or not all of what it holds.
    """
    with Image.open(file) as image:
        readable = image.format in ("JPEG", "PNG")
        # EXIF data behind the pixels of a PNG counted nowhere in the training.
        late = image.format == "PNG" and "exif" not in image.info
        if readable and (late or image.getexif().get(ORIENTATION, 1) == 1):
            return file.read_bytes()
        wide = ";16" in str(getattr(image, "tile", ""))
        if wide and not image.mode.startswith("I"):
            raise OSError(
                f"{file} has colours of 16 bits, of which Pillow keeps the upper 8: "
                "write it as an upright PNG, or with 8 bits"
            )
        turned, sent = ImageOps.exif_transpose(image), io.BytesIO()
        if turned.mode == "F":
            raise OSError(f"{file} holds fractions; write it with 8 or 16 bits")
        if turned.mode == "I":
            low, high = turned.getextrema()  # type: ignore[no-untyped-call]
            if low < 0 or high > 65535:
                raise OSError(f"{file} has values {low} to {high}, expected 0 to 65535")
            turned = turned.convert("I;16")
        # To RGB, Pillow would cut 16 bits off at 255.
        if not turned.mode.startswith("I"):
            turned = turned.convert("RGB")
        turned.save(sent, "PNG")
        return sent.getvalue()


def over_rest(server: str, image: bytes) -> bytes:
    """Returns the mask as a PNG file's bytes.

    Args:
        server: its address, http://localhost:8501 for example.
        image: a JPEG or PNG file's bytes.

    Raises:
        OSError: there is no server, or it says what is wrong with the image.
    """
    coded = base64.b64encode(image).decode("ascii")
    request = urllib.request.Request(
        f"{server}/v1/models/{MODEL}:predict",
        json.dumps({"instances": [{"image_bytes": {"b64": coded}}]}).encode("ascii"),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            # The only output's name is left out, and bytes come as {"b64": ...}.
            return base64.b64decode(json.load(answer)["predictions"][0]["b64"])
    except urllib.error.HTTPError as error:
        said = error.read().decode("utf-8", "replace")
        raise OSError(f"{error.url}: {error}. {said}") from None


def over_grpc(server: str, image: bytes) -> bytes:
    """Returns the mask as a PNG file's bytes.

    Args:
        server: host and port, localhost:8500 for example.
        image: a JPEG or PNG file's bytes.

    Raises:
        OSError: there is no server, or it says what is wrong with the image.
    """
    import grpc
    from tensorflow import make_tensor_proto
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    request = predict_pb2.PredictRequest()
    request.model_spec.name = MODEL
    request.model_spec.signature_name = "serving_default"
    request.inputs["image_bytes"].CopyFrom(make_tensor_proto([image]))
    # gRPC itself refuses answers above 4 MB.
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(server, options) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        try:
            answer = stub.Predict(request, SECONDS)
        except grpc.RpcError as error:
            raise OSError(f"{server}: {error.code().name}. {error.details()}") from None
    mask: bytes = answer.outputs["mask_png_bytes"].string_val[0]
    return mask


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", type=Path, help="any image that Pillow opens")
    parser.add_argument("mask", type=Path, help="the PNG to write")
    parser.add_argument("--rest", default="http://localhost:8501", metavar="URL")
    parser.add_argument("--grpc", metavar="HOST:PORT", help="use gRPC instead of REST")
    asked = parser.parse_args()
    at = asked.grpc or asked.rest
    try:
        image = upright(asked.image)
        mask = over_grpc(at, image) if asked.grpc else over_rest(at, image)
        asked.mask.write_bytes(mask)
    except (OSError, ImportError, Image.DecompressionBombError) as error:
        parser.exit(1, f"error: {error}\n")


if __name__ == "__main__":
    main()
