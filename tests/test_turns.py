import itertools
import time
from functools import partial

import pytest

from benchmarks.turns import take_turns
from keras_unet import BadData


def _sleeper(seconds):
    turns = itertools.cycle(seconds)
    return lambda: time.sleep(next(turns))


def test_each_contestant_has_its_seconds_by_turn_and_step():
    steady = partial(_sleeper, [0.05])
    measured = take_turns({"one": steady, "other": steady}, warm_up=0, turns=2, steps=3)
    assert {name: seconds.shape for name, seconds in measured.items()} == {
        "one": (2, 3),
        "other": (2, 3),
    }
    assert all((seconds >= 0.05).all() for seconds in measured.values())


def _gone():
    raise SystemExit("no such file")


def test_a_contestant_that_does_not_begin_is_named():
    with pytest.raises(BadData, match="late ended early"):
        take_turns({"late": _gone}, warm_up=0, turns=1, steps=1)


def test_turns_that_differ_too_much_are_refused():
    restless = partial(_sleeper, [0.02, 0.2])
    with pytest.raises(BadData, match=r"restless: the quartiles .* more than 20%"):
        take_turns({"restless": restless}, warm_up=0, turns=4, steps=1)
