"""Ctrl-C and SIGTERM: the step under way is finished and its state saved."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

import keras

from keras_unet.errors import Terminated
from keras_unet.training.callbacks import Recorder


class StopOnInterrupt(keras.callbacks.Callback):
    """Takes Ctrl-C and SIGTERM over within a ``with`` block.

    A second Ctrl-C does not wait. A second SIGTERM does: some senders send two.

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
        self.asked: type[KeyboardInterrupt] | None = None
        self.before: dict[int, Any] = {}

    def __enter__(self) -> StopOnInterrupt:
        """Takes over the signals, where that is allowed: in the main thread."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        """Gives the signals back, whatever ended the block."""
        for number in [*self.before]:
            self._give_back(number)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Saves and stops when asked to; after an epoch's last step, in validation."""
        if self.recorder.is_within(batch):
            self._stop_if_asked()

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Saves and stops when asked to; the validation begins anew afterwards."""
        self._stop_if_asked()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Stops when asked to; the recorder has saved the epoch."""
        if self.asked:
            raise self.asked(self.message)

    def _stop_if_asked(self) -> None:
        if self.asked and self.saves:
            self.recorder.save()
        if self.asked:
            raise self.asked(self.message)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = Terminated if number == signal.SIGTERM else KeyboardInterrupt
        if number == signal.SIGINT:
            self._give_back(number)

    def _give_back(self, number: int) -> None:
        signal.signal(number, self.before.pop(number) or signal.SIG_DFL)
