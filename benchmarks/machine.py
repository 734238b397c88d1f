"""What a benchmark's numbers hold for: processor, versions, memory of its process."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path


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


def resident_bytes() -> int:
    """Returns how much memory this process holds, as Linux tells it."""
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
