"""Palettes, by which some files have only one byte for each pixel."""

from __future__ import annotations


def grey_levels(palette: bytes) -> bytes | None:
    """Returns the level of each of the 256 indices; None if there are others or none.

    The palette as a whole decides, used or not, because a mask of a coloured set may
    happen to show only its grey entries.

    Args:
        palette: red, green and blue of each index, of 256 or fewer.
    """
    red = palette[::3]
    if not red or palette[1::3] != red or palette[2::3] != red:
        return None
    return (red * 256)[:256]
