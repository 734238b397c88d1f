import signal

import pytest

from keras_unet.training.interrupt import StopOnInterrupt


class Recorder:
    """Stands for the one that saves: an epoch of three steps."""

    def __init__(self):
        self.saved = 0

    def is_within(self, batch):
        return batch < 2

    def save(self):
        self.saved += 1


@pytest.fixture
def recorder():
    return Recorder()


def interrupted(stop, batch):
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="go on so"):
        stop.on_train_batch_end(batch)


def test_the_step_under_way_is_finished_and_its_state_saved(recorder):
    with StopOnInterrupt(recorder, True, "go on so") as stop:
        interrupted(stop, 0)
    assert recorder.saved == 1


def test_several_workers_do_not_save_within_an_epoch(recorder):
    with StopOnInterrupt(recorder, False, "go on so") as stop:
        interrupted(stop, 0)
    assert recorder.saved == 0


def test_after_the_last_step_the_epoch_is_validated_first(recorder):
    with StopOnInterrupt(recorder, True, "go on so") as stop:
        signal.raise_signal(signal.SIGINT)
        stop.on_train_batch_end(2)
        with pytest.raises(KeyboardInterrupt, match="go on so"):
            stop.on_epoch_end(0)
    assert recorder.saved == 0


def test_a_second_ctrl_c_does_not_wait(recorder):
    with StopOnInterrupt(recorder, True, "go on so"):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_the_signal_is_given_back_at_the_end(recorder):
    before = signal.getsignal(signal.SIGINT)
    with StopOnInterrupt(recorder, True, "go on so"):
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before
