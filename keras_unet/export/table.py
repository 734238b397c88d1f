"""What an export measured, as a table for the terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table


def artefact_table(measured: dict[str, dict[str, Any]]) -> Table:
    """Returns a row for the Keras network and one for each artefact.

    Args:
        measured: what ``artefacts.export_run`` returned.
    """
    table = Table("artefact", caption="latency of one picture, on this machine's CPU")
    for title in ("size", "operators", "difference", "Dice", "latency"):
        table.add_column(title, justify="right")
    for figures in measured.values():
        table.add_row(
            figures.get("path", "Keras network").removeprefix("tflite/"),
            f"{figures['bytes'] / 1e6:.2f} MB" if "bytes" in figures else "",
            str(len(figures["operators"])) if "operators" in figures else "",
            f"{figures['max_difference']:.1e}" if "path" in figures else "",
            f"{figures['dice']:.4f}",
            f"{1e3 * figures['seconds_per_image']:.1f} ms",
        )
    return table
