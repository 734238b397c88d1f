"""Contestants of a benchmark take turns, each in a process of its own.

In one process two frameworks would fight over the threads; one after the other they
would meet a machine that has other things to do by then.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection

import numpy as np
import numpy.typing as npt

from keras_unet import BadData

Step = Callable[[], float]
Seconds = npt.NDArray[np.float64]


def take_turns(
    contestants: Mapping[str, Callable[[], Step]], warm_up: int, turns: int, steps: int
) -> dict[str, Seconds]:
    """Returns each contestant's seconds, (turns, steps); only one runs at a time.

    Args:
        contestants: functions that a new process can import; each makes a step.
        warm_up: steps before the clock runs.
        turns: how often each contestant has its turn.
        steps: steps of a turn.

    Raises:
        BadData: a contestant's process ended early.
    """
    measured: dict[str, list[Seconds]] = {name: [] for name in contestants}
    with _processes(contestants) as connections:
        for name in contestants:
            _run(name, connections[name], warm_up)
        for _ in range(turns):
            for name in contestants:
                measured[name].append(_run(name, connections[name], steps))
    return {name: np.stack(seconds) for name, seconds in measured.items()}


@contextmanager
def _processes(
    contestants: Mapping[str, Callable[[], Step]],
) -> Iterator[dict[str, Connection]]:
    """Yields a connection to a process for each contestant, and ends them."""
    spawn = multiprocessing.get_context("spawn")
    connections, processes = {}, []
    try:
        for name, make_step in contestants.items():
            connections[name], theirs = spawn.Pipe()
            process = spawn.Process(target=_serve, args=(theirs, make_step))
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
    except (EOFError, BrokenPipeError):
        raise BadData(f"{name} ended early; what it said is above") from None
