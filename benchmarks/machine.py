"""What a benchmark's numbers hold for, and the commands that it measures."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path

from keras_unet import BadData


def processor() -> str:
    """Returns the processor's name and the number of its cores."""
    listing, name = Path("/proc/cpuinfo"), platform.processor()
    if listing.is_file():
        lines = listing.read_text("utf-8").splitlines()
        models = [line for line in lines if line.startswith("model name")]
        name = models[0].partition(":")[2].strip() if models else name
    return f"{name or platform.machine()}, {os.cpu_count()} cores"


def packages(*names: str) -> str:
    """Returns the versions that are installed, as one line."""
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def run_module(*words: str) -> None:
    """Runs ``python -m WORDS``; what it says goes beside the table.

    Raises:
        BadData: it failed.
    """
    status = subprocess.run([sys.executable, "-m", *words], stdout=sys.stderr)
    if status.returncode:
        raise BadData(
            f"{shlex.join(words)} ended with status {status.returncode}; what it said "
            "is above"
        )


def resident_bytes() -> int:
    """Returns how much memory this process holds, as Linux tells it."""
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
