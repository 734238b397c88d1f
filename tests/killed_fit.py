"""``python -m killed_fit DATA RUN WHEN [pieces]``: a training of tiny_fit, killed.

WHEN is a file and a number (before the file is put in place for that time), the
beginning of a line that is said, or "validation": told to end in the first one.
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from tiny_fit import config_of, in_pieces, plan_of

from keras_unet.console import run_verb
from keras_unet.training.fit import fit


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def main(data, run, when, pieces=""):
    config = config_of(Path(data), ema=0.9)
    plan = plan_of(in_pieces(config) if pieces else config, Path(run))
    name, _, number = when.partition(" ")
    renamed, opened = [], []
    seen = str(plan.split.validation[0].image)

    def watch(event, arguments):
        if event == "os.rename" and Path(arguments[1]).name == name:
            renamed.append(name)
            if len(renamed) == int(number):
                kill()
        if event == "open" and str(arguments[0]) == seen:
            opened.append(name)
            # The first is for the images that are shown.
            if when == "validation" and len(opened) == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    def say(line):
        if str(line).startswith(when):
            kill()

    sys.addaudithook(watch)
    return run_verb(lambda: fit(replace(plan, say=say)) and 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
