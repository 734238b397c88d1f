"""What the package's own parsers make of a command line, without running it."""

import importlib
import re
import shlex

from keras_unet import evaluate, predict, train
from keras_unet.__main__ import COMMANDS
from keras_unet.console import parse
from keras_unet.data import __main__ as data
from keras_unet.export import __main__ as export
from keras_unet.prediction import beam


def parsed(line):
    """Returns what the flags of ``[NAME=VALUE] python -m MODULE ...`` are read as.

    A wrong flag ends with SystemExit.
    """
    words = shlex.split(line)
    while re.match(r"\w+=", words[0]):
        words = words[1:]
    python, option, module, *words = words
    assert (python, option) == ("python", "-m"), line
    return _PARSERS.get(module, lambda given: _flags(module, given))(words)


def _arguments(module):
    return lambda words: parse(module.Arguments, words)


def _data(words):
    name, *rest = words
    return parse(data.VERBS[name], rest, **data._defaults(name, rest))


def _beam(words):
    arguments, unknown = parse(beam.Arguments, words, return_unknown_args=True)
    assert not unknown
    return arguments


def _flags(module, words):
    """Returns the flags of one of the benchmarks."""
    return parse(importlib.import_module(module).Flags, words)


_PARSERS = {
    "keras_unet": lambda words: [COMMANDS[word] for word in words[:1]],
    "keras_unet.train": train.parse_config,
    "keras_unet.evaluate": _arguments(evaluate),
    "keras_unet.predict": _arguments(predict),
    "keras_unet.export": _arguments(export),
    "keras_unet.data": _data,
    "keras_unet.prediction.beam": _beam,
    "benchmarks": lambda words: _flags("benchmarks.__main__", words),
    # These take no flags.
    "benchmarks.structure": lambda words: [] if not words else 1 / 0,
    "http.server": lambda words: [] if not words else 1 / 0,
    "pytest": lambda words: words,
}
