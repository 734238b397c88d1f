"""What is in a figure that a function writes: matplotlib's objects, not pixels."""

from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from matplotlib.figure import Figure


def figure_of(draw: Callable[[Path], None], file: Path) -> Figure:
    """Returns the figure that ``draw`` writes to ``file``."""
    with patch.object(
        Figure, "savefig", autospec=True, side_effect=Figure.savefig
    ) as save:
        draw(file)
    return save.call_args.args[0]
