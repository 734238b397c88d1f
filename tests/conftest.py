"""A quiet TensorFlow, GPUs only for the tests that ask for them, and no leaks."""

import os
import sys

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def pytest_configure(config):
    if "gpu" not in (config.option.markexpr or ""):
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


@pytest.fixture(autouse=True)
def as_a_new_process_finds_it():
    """Undoes what a run in this process sets for all that come after it."""
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].mixed_precision.set_global_policy("float32")
    if "tensorflow" in sys.modules:
        # There is no public way back.
        from tensorflow.python.framework import config

        config.disable_op_determinism()
