"""How images of 16 bits become ones of 8: which value counts as white."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_unet.types import Image

BRIGHTEST = 0xFFFF
"""What counts as white where nothing is known: all 16 bits are used."""


def to_8_bits(values: npt.NDArray[Any], white: int | None) -> Image:
    """Returns values, uint8 or uint16 of any shape, as uint8.

    Args:
        values: uint8 stays as it is.
        white: the 16-bit value that becomes 255, as all above it do; 0 becomes 0. Of
            2**k - 1, the upper 8 of k bits are kept.
    """
    if values.dtype == np.uint8:
        return values
    levels: Image = _table(BRIGHTEST if white is None else white)[values]
    return levels


@functools.lru_cache(maxsize=4)
def _table(white: int) -> Image:
    values = np.minimum(np.arange(BRIGHTEST + 1), white)
    return (values * 256 // (white + 1)).astype(np.uint8)


def find_white(
    brightest: Sequence[int], white: int | None
) -> tuple[int | None, list[str]]:
    """Returns what counts as white, and what is to be said of it.

    Args:
        brightest: the largest value of each image of 16 bits.
        white: what the user says; None leaves it open.
    """
    if not brightest:
        return white, []
    most = max(brightest)
    if white is not None:
        above = sum(value > white for value in brightest)
        note = f"images: {above} of 16 bits have values above --white {white} ({most})"
        return white, [f"{note}, which become white too"] if above else []
    bits = max(8, most.bit_length())
    white = 2**bits - 1
    if bits == 16:
        return white, []
    used = f"images: 16 bits of which {bits} are used"
    return white, [f"{used}: {white} counts as white (--white)"]
