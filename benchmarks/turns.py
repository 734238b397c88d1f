"""Contestants of a benchmark take turns, each in a process of its own.

In one process two frameworks would fight over the threads; one after the other they
would meet a machine that has other things to do by then.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext

import numpy as np
import numpy.typing as npt

from keras_unet import BadData

Step = Callable[[], float]
Seconds = npt.NDArray[np.float64]

WIDEST = 0.2
"""Of the median, how far apart the quartiles of a contestant's turns may lie."""
_ROUNDS = 3


def take_turns(
    contestants: Mapping[str, Callable[[], Step]], warm_up: int, turns: int, steps: int
) -> dict[str, Seconds]:
    """Returns each contestant's seconds, (turns, steps); only one runs at a time.

    Turns that differ too much are taken anew.

    Args:
        contestants: functions that a new process can import; each makes a step.
        warm_up: steps before the clock runs.
        turns: how often each contestant has its turn.
        steps: steps of a turn.

    Raises:
        BadData: a contestant's process ended early, or the machine is too busy.
    """
    with _processes(contestants) as connections:
        for name in contestants:
            _run(name, connections[name], warm_up)
        for _ in range(_ROUNDS):
            rounds = [
                {name: _run(name, connections[name], steps) for name in contestants}
                for _ in range(turns)
            ]
            measured = {n: np.stack([turn[n] for turn in rounds]) for n in contestants}
            name = max(contestants, key=lambda name: _spread(measured[name]))
            if _spread(measured[name]) <= WIDEST:
                return measured
            print(f"the turns of {name} differ too much: again", file=sys.stderr)
    raise BadData(
        f"{name}: the quartiles of its turns lie {_spread(measured[name]):.0%} of "
        f"their median apart, more than {WIDEST:.0%}, {_ROUNDS} times. Measure again "
        "when the machine has nothing else to do"
    )


def new_processes() -> BaseContext:
    """Returns what starts a process that shares nothing with this one."""
    # A forkserver may have imported what all of them need; Windows has none.
    found = "forkserver" in multiprocessing.get_all_start_methods()
    return multiprocessing.get_context("forkserver" if found else "spawn")


def _spread(seconds: Seconds) -> float:
    low, middle, high = np.percentile(np.median(seconds, 1), (25, 50, 75))
    return float((high - low) / middle)


@contextmanager
def _processes(
    contestants: Mapping[str, Callable[[], Step]],
) -> Iterator[dict[str, Connection]]:
    """Yields a connection to a process for each contestant, and ends them."""
    new = new_processes()
    connections, processes = {}, []
    try:
        for name, make_step in contestants.items():
            connections[name], theirs = new.Pipe()
            process = new.Process(target=_serve, args=(theirs, make_step))
            process.start()
            processes.append(process)
            theirs.close()
        yield connections
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _serve(connection: Connection, make_step: Callable[[], Step]) -> None:
    """Answers each number of steps with the seconds that each of them took."""
    step = make_step()
    with suppress(EOFError):
        while True:
            connection.send([_seconds(step) for _ in range(connection.recv())])


def _seconds(step: Step) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def _run(name: str, connection: Connection, steps: int) -> Seconds:
    try:
        connection.send(steps)
        return np.array(connection.recv())
    except (EOFError, ConnectionError):
        raise BadData(f"{name} ended early; what it said is above") from None
