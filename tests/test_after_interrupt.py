import pytest

from keras_unet.after_interrupt import from_training_on, on_interrupt
from keras_unet.run_folder import RunFolder


def test_before_the_first_checkpoint_there_is_nothing_to_go_on_with(tmp_path):
    with (
        pytest.raises(
            KeyboardInterrupt, match=r"^Nothing is trained yet\. Give the same"
        ),
        on_interrupt(from_training_on, RunFolder(tmp_path), "train --resume"),
    ):
        raise KeyboardInterrupt


def test_with_a_checkpoint_there_is(tmp_path):
    (tmp_path / "checkpoint").mkdir()
    with (
        pytest.raises(KeyboardInterrupt, match=r"^Go on with: train --resume$"),
        on_interrupt(from_training_on, RunFolder(tmp_path), "train --resume"),
    ):
        raise KeyboardInterrupt


def test_what_was_said_already_stays(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt, match=r"^said$"),
        on_interrupt(from_training_on, RunFolder(tmp_path), "train --resume"),
    ):
        raise KeyboardInterrupt("said")
