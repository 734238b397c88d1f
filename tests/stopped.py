"""A command that is told to stop once it has begun to write."""

import signal
import time

import forked


def stopped(words, begun, number=signal.SIGTERM):
    """Returns output and status of ``python -m`` words, stopped when ``begun()``."""
    process = forked.Popen(["-m", *words])
    until = time.monotonic() + 200
    while not begun():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(number)
    return process.communicate(timeout=100)[0], process.returncode
