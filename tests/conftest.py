"""A quiet TensorFlow, GPUs only for the tests that ask for them, and no leaks."""

import atexit
import multiprocessing
import os
import shutil
import sys
import tempfile
from pathlib import Path

import forked
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Tiny networks keep no second thread busy; .ci/run has two where commands are killed.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")


def pytest_configure(config):
    # What is imported once for all processes of forked.py and of the benchmarks.
    if "forkserver" in multiprocessing.get_all_start_methods():
        modules = ["keras_unet.training.fit", "keras_unet.figures.canvas"]
        multiprocessing.set_forkserver_preload(modules)
    keep_looks_apart()
    if "gpu" not in (config.option.markexpr or ""):
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


def keep_looks_apart():
    """Has the tests and their processes remember files apart from the user's."""
    if "KERAS_UNET_TESTS_CACHE" not in os.environ:
        folder = tempfile.mkdtemp(prefix="keras_unet_cache_")
        os.environ["KERAS_UNET_TESTS_CACHE"] = folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # Matplotlib would make its list of fonts anew.
    fonts = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("MPLCONFIGDIR", str(fonts / "matplotlib"))
    os.environ["XDG_CACHE_HOME"] = os.environ["KERAS_UNET_TESTS_CACHE"]


def pytest_sessionstart():
    # Not before MPLCONFIGDIR is set.
    from keras_unet.figures import canvas

    canvas.DOTS_PER_INCH = forked.DOTS_PER_INCH


@pytest.fixture
def sharp(monkeypatch):
    """Has figures made as users have them."""
    monkeypatch.setattr("keras_unet.figures.canvas.DOTS_PER_INCH", 200)


@pytest.fixture(autouse=True)
def as_a_new_process_finds_it():
    """Random numbers of its own, and undone what a run sets for all that come after."""
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].mixed_precision.set_global_policy("float32")
    if "tensorflow" in sys.modules:
        # There is no public way back.
        from tensorflow.python.framework import config

        config.disable_op_determinism()
