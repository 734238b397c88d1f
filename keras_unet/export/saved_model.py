"""A SavedModel whose graph goes from the bytes of an image to the bytes of a mask.

Decoding, resizing, the network, resizing back and encoding are core TensorFlow
operations, so TensorFlow Serving and the C API run it without any of our code.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import keras
import tensorflow as tf

from keras_unet.config import Config
from keras_unet.data.resize import resize_image
from keras_unet.export.image_bytes import assert_images, decode_in_graph
from keras_unet.model.head import most_probable
from keras_unet.prediction.segmenter import probability_of
from keras_unet.types import Tensor


def write_saved_model(network: keras.Model, config: Config, folder: Path) -> None:
    """Writes ``network`` into ``folder`` with two signatures.

    * ``serving_default``: ``image_bytes`` (string (b,): JPEG, PNG, GIF or BMP, each of
      its own size) to ``mask_png_bytes`` (string (b,): each mask at its image's size,
      0/255 of a binary network, else class ids).
    * ``tensor``: ``image`` (uint8 (b, h, w, 3)) to ``probability`` (float32 (b, h, w,
      classes), at least two channels that sum to one).

    Args:
        network: size-keeping, float32, from (b, h, w, channels) to logits.
        config: of the run; its image size and pixel limit are in the graph.
        folder: the version's folder, not yet there.
    """
    graph = ServingGraph(network, config)
    # Endpoints bring their variables; tracking the network too writes them twice.
    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        "serving_default",
        graph.masks,
        [tf.TensorSpec((None,), tf.string, name="image_bytes")],
    )
    archive.add_endpoint(
        "tensor",
        graph.probability,
        [tf.TensorSpec((None, None, None, 3), tf.uint8, name="image")],
    )
    # Keras prints its endpoints, and only Keras 3 can be asked not to.
    with contextlib.redirect_stdout(io.StringIO()):
        archive.write_out(str(folder))


class ServingGraph:
    """The two signatures' functions around one network.

    Args:
        network: from (b, h, w, channels) to logits of the same size.
        config: of the run.
    """

    def __init__(self, network: keras.Model, config: Config) -> None:
        """Keeps what the graph holds."""
        self.network = network
        self.size = config.data.image_size
        self.max_pixels = config.data.max_pixels
        self.foreground = 255 if config.model.classes == 1 else 1

    def probability(self, image: Tensor) -> dict[str, Tensor]:
        """Returns the classes' probabilities (b, h, w, classes) of (b, h, w, 3)."""
        probability = probability_of(self.network, resize_image(image, self.size))
        own_size = tf.shape(image)[1:3]
        return {"probability": tf.image.resize(probability, own_size)}

    def masks(self, image_bytes: Tensor) -> dict[str, Tensor]:
        """Returns one PNG an image; the images are files' bytes, of any sizes."""
        with tf.control_dependencies([assert_images(image_bytes)]):
            image_bytes = tf.identity(image_bytes)
        resized, own_sizes = tf.map_fn(
            self._read,
            (image_bytes, tf.range(tf.size(image_bytes))),
            fn_output_signature=(
                tf.TensorSpec((*self.size, 3), tf.float32),
                tf.TensorSpec((2,), tf.int32),
            ),
        )
        masks = tf.map_fn(
            self._encode,
            (probability_of(self.network, resized), own_sizes),
            fn_output_signature=tf.TensorSpec((), tf.string),
        )
        return {"mask_png_bytes": masks}

    def _read(self, one: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        image_bytes, position = one
        image = decode_in_graph(image_bytes, position, self.max_pixels)
        return resize_image(image, self.size), tf.shape(image)[:2]

    def _encode(self, one: tuple[Tensor, Tensor]) -> Tensor:
        probability, own_size = one
        own = tf.image.resize(probability, own_size)
        mask = most_probable(own) * tf.constant(self.foreground, tf.uint8)
        return tf.io.encode_png(mask[..., tf.newaxis])
