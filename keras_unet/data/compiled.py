"""Functions as graphs that XLA compiles, on every machine whose TensorFlow has XLA."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_unet.console import held_back_stderr

_NO_COMPILER = (
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.UnimplementedError,
)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns ``function`` as a graph, compiled by XLA where there is one.

    Not every build of TensorFlow can compile for the processor, which is where pictures
    are read and changed. There the graph runs as it is: slower, equal up to rounding.
    """
    with_xla = tf.function(function, jit_compile=True, autograph=False)
    without = tf.function(function, autograph=False)

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        return (with_xla if has_xla() else without)(*arguments)

    return call


@functools.cache
def has_xla() -> bool:
    """Returns whether this TensorFlow can compile for the processor."""
    # Also when it is first asked while a graph is being made. The first that XLA
    # compiles is announced by TensorFlow 2.15, whatever its level of logging.
    with held_back_stderr(), tf.init_scope(), tf.device("CPU"):
        try:
            tf.function(lambda x: x + 1, jit_compile=True)(tf.constant(1))
        except _NO_COMPILER:
            return False
    return True
