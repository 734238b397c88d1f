"""A command that is told to stop once it has begun to write."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras_unet


def stopped(words, begun, number=signal.SIGTERM):
    """Returns output and status of ``python -m`` words, stopped when ``begun()``."""
    process = subprocess.Popen(
        [sys.executable, "-m", *map(str, words)],
        env=os.environ | {"PYTHONPATH": str(Path(keras_unet.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until = time.monotonic() + 200
    while not begun():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(number)
    return process.communicate(timeout=100)[0], process.returncode
