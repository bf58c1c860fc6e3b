"""Describe the machine, because figures of different machines cannot be compared."""

import os
import platform
import tempfile
import time
from pathlib import Path

import psutil
from msgspec import Struct

from engage.bench.figures import median

SYNCS = 100
PAGE_BYTES = 8_192


class Machine(Struct, frozen=True):
    cpu: str
    cores: int
    memory_gib: float
    system: str
    python: str
    disk: str  # File system of the folder.
    sync_ms: float  # Median time of an fsync after writing a page there.


def describe(folder: Path | None) -> Machine:
    """Describe this machine and the disk of `folder`, or of the folder for temporary files."""
    path = folder or Path(tempfile.gettempdir())
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        disk=_file_system(path),
        sync_ms=round(_sync_s(path) * 1000, 3),
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")


def _file_system(path: Path) -> str:
    resolved = path.resolve()
    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    return next((mounts[folder] for folder in (resolved, *resolved.parents) if folder in mounts), "unknown")


def _sync_s(path: Path) -> float:
    """Measure an fsync. A time far below a millisecond means that the disk only caches the page."""
    times = []
    with tempfile.TemporaryFile(dir=path) as file:
        for page in range(SYNCS):
            os.pwrite(file.fileno(), os.urandom(PAGE_BYTES), page * PAGE_BYTES)
            started = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - started)
    return median(times)
