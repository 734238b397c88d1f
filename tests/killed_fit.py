"""``python -m killed_fit DATA RUN WHEN``: a training of tiny_fit that is killed.

WHEN is a file and a number (before the file is put in place for that time), or the
beginning of a line that is said.
"""

import os
import signal
import sys
from pathlib import Path

from tiny_fit import config_of, plan_of

from keras_unet.training.fit import fit


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def main(data, run, when):
    name, _, number = when.partition(" ")
    renamed = []

    def watch(event, arguments):
        if event == "os.rename" and Path(arguments[1]).name == name:
            renamed.append(name)
            if len(renamed) == int(number):
                kill()

    def say(line):
        if str(line).startswith(when):
            kill()

    sys.addaudithook(watch)
    fit(plan_of(config_of(Path(data), ema=0.9), Path(run), say))


if __name__ == "__main__":
    main(*sys.argv[1:])
