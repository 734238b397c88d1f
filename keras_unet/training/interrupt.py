"""Ctrl-C: the step under way is finished and its state saved before the run ends."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

import keras

from keras_unet.training.callbacks import Recorder


class StopOnInterrupt(keras.callbacks.Callback):
    """Takes Ctrl-C over within a ``with`` block; a second one does not wait.

    Args:
        recorder: that saves the state.
        saves: whether a state within an epoch can be saved; several workers could do
            so only together.
        message: what to tell the user, such as the command that resumes.
    """

    def __init__(self, recorder: Recorder, saves: bool, message: str) -> None:
        """Keeps the arguments."""
        super().__init__()
        self.recorder, self.saves, self.message = recorder, saves, message
        self.asked = False
        self.before: Any = None

    def __enter__(self) -> StopOnInterrupt:
        """Takes over the signal, where that is allowed: in the main thread."""
        if threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        """Gives the signal back, whatever ended the block."""
        self._give_back()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Saves and interrupts when asked to; an epoch's last step is validated yet."""
        if self.asked and self.recorder.is_within(batch):
            if self.saves:
                self.recorder.save()
            raise KeyboardInterrupt(self.message)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Interrupts when asked to; the recorder has saved the epoch."""
        if self.asked:
            raise KeyboardInterrupt(self.message)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._give_back()

    def _give_back(self) -> None:
        if self.before is not None:
            signal.signal(signal.SIGINT, self.before)
            self.before = None
