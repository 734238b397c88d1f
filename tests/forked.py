"""Processes of their own for which TensorFlow need not be imported again.

They are forked from a server that has imported what conftest.py says and has run
nothing, which saves four seconds of a core each. What is read at import, such as
KERAS_BACKEND, is the server's, and no handlers of atexit run.
"""

import multiprocessing
import os
import runpy
import sys
import tempfile
from pathlib import Path

DOTS_PER_INCH = 40
"""Of figures: most are made beside what is tested, and 200 take a third of the time."""


class Popen:
    """``python`` with words, as ``subprocess.Popen`` starts it; its outputs are one."""

    def __init__(self, words, env=None, cwd=None):
        output, name = tempfile.mkstemp(prefix="forked_")
        os.close(output)
        self._output, words = Path(name), [str(word) for word in words]
        arguments = (name, words, dict(env or os.environ), cwd or Path.cwd())
        server = multiprocessing.get_context("forkserver")
        self._process = server.Process(target=_run, args=arguments, daemon=True)
        self._process.start()

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self._process.exitcode

    def send_signal(self, number):
        os.kill(self._process.pid, number)

    def kill(self):
        self._process.kill()

    def communicate(self, timeout=None):
        """Returns all that was said, and None, once the process has ended."""
        self._process.join(timeout)
        assert self._process.exitcode is not None, "it goes on"
        said = self._output.read_text()
        self._output.unlink()
        return said, None


def run(words, env=None, cwd=None):
    """Returns the status of ``python`` with words, and all that was said."""
    process = Popen(words, env, cwd)
    said, _ = process.communicate()
    return process.returncode, said


def _run(output, words, environment, folder):
    file = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    # Not before the environment is the process's own.
    from keras_unet.figures import canvas

    canvas.DOTS_PER_INCH = DOTS_PER_INCH
    how, what, *more = words
    if how == "-m":
        sys.argv = [what, *more]
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        sys.argv = [how, *more]
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
