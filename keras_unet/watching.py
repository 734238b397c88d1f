"""A fixed strip of validation images, looked at after every epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_unet.checkpoint import Progress
from keras_unet.figures.paint import as_colour, paint_errors, paint_mask

Bytes = npt.NDArray[np.uint8]


class ValidationStrip(keras.callbacks.Callback):
    """Says when only one class is predicted, and draws the strip for TensorBoard.

    It shows what validation scores: behind ``WeightAverage`` in the list of callbacks,
    the averaged weights.

    Args:
        images: uint8 (b, h, w, c).
        masks: class ids (b, h, w).
        progress: where the training stands; its last row is drawn as scalars.
        logs: TensorBoard's folder, or None where the extra is not installed.
        say: prints a line.
    """

    def __init__(
        self,
        images: Bytes,
        masks: Bytes,
        progress: Progress,
        logs: Path | None,
        say: Callable[[str], None],
    ) -> None:
        """Keeps the arguments."""
        super().__init__()
        self.images, self.masks = images, masks
        self.progress, self.say = progress, say
        self.predictions = np.zeros_like(masks)
        # Makes the folder only with the first thing written.
        self.writer = tf.summary.create_file_writer(str(logs)) if logs else None

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Predicts the strip with the weights that are about to be scored."""
        # Not ``predict``, which would spread the strip over the workers.
        logits = self.model(self.images, training=False)
        self.predictions = class_ids(np.asarray(logits))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Tells what the strip looks like."""
        predictions = self.predictions
        if len(np.unique(predictions)) == 1 < len(np.unique(self.masks)):
            self.say(
                f"warning: every pixel of {len(self.images)} validation images is "
                f"predicted as class {predictions.flat[0]}; normal in a first epoch, "
                "later a sign of masks that do not fit (keras_unet.data check) or of "
                "too high a --learning-rate"
            )
        if self.writer:
            self._write(self.writer, epoch + 1, predictions)

    def _write(self, writer: Any, epoch: int, predictions: Bytes) -> None:
        with writer.as_default(step=epoch):
            for name, value in self.progress.history[-1].items():
                tf.summary.scalar(name, value)
            strip = draw_strip(self.images, self.masks, predictions)
            tf.summary.image("truth, prediction, error", strip[np.newaxis])
        writer.flush()


def class_ids(logits: npt.NDArray[np.float32]) -> Bytes:
    """Returns the predicted class of each pixel, (b, h, w), of logits (b, h, w, k)."""
    found = logits[..., 0] > 0 if logits.shape[-1] == 1 else logits.argmax(axis=-1)
    return np.asarray(found, np.uint8)


def draw_strip(
    images: Sequence[Bytes] | Bytes, masks: Bytes, predictions: Bytes
) -> Bytes:
    """Returns one picture: a row an image, in it truth, prediction and error."""
    rows = [
        np.hstack(
            [
                as_colour(paint_mask(image, mask)),
                as_colour(paint_mask(image, prediction)),
                paint_errors(image, mask, prediction),
            ]
        )
        for image, mask, prediction in zip(images, masks, predictions, strict=True)
    ]
    return np.vstack(rows)
