"""A quiet TensorFlow, and GPUs only for the tests that ask for them."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def pytest_configure(config):
    if "gpu" not in (config.option.markexpr or ""):
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
