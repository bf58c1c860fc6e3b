"""The machine that figures are of: without it they say nothing."""

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
    disk: str  # Kind of file system of the folder.
    sync_ms: float  # Median time to write a page there and have it on disk.


def describe(folder: Path | None) -> Machine:
    """Of this machine, with its files under `folder`, or where temporary files go."""
    where = folder or Path(tempfile.gettempdir())
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        disk=_file_system(where),
        sync_ms=round(_sync_s(where) * 1000, 3),
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")


def _file_system(where: Path) -> str:
    found = where.resolve()
    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    return next((mounts[path] for path in (found, *found.parents) if path in mounts), "unknown")


def _sync_s(where: Path) -> float:
    """A disk that claims to have what it only holds in memory shows here."""
    took = []
    with tempfile.TemporaryFile(dir=where) as file:
        for page in range(SYNCS):
            os.pwrite(file.fileno(), os.urandom(PAGE_BYTES), page * PAGE_BYTES)
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return median(took)
