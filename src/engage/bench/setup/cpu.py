"""The CPU time of the processes that a benchmark measures."""

import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

CpuTimes = Mapping[int, float]  # Seconds by process.


def cpu_times(*, without: Iterable[int] = ()) -> CpuTimes:
    """Read the CPU time of this process and all its children, apart from some."""
    own = psutil.Process()
    family = {each.pid: each for each in [own, *own.children(recursive=True)]}
    for pid in without:
        family.pop(pid, None)
    return {pid: _cpu_s(each) for pid, each in family.items()}


def used_s(before: CpuTimes, after: CpuTimes) -> float:
    """The CPU time between two readings. Of a process that has ended meanwhile nothing counts."""
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


def cpu_of(pid: int) -> float:
    """Read the CPU time of one process, in seconds."""
    return _cpu_s(psutil.Process(pid))


def _cpu_s(process: psutil.Process) -> float:
    return _of_threads(process.pid) if sys.platform == "linux" else _by_ticks(process)


def _of_threads(pid: int) -> float:
    """Add up the nanoseconds that the threads of a process ran; psutil counts ticks of 10 ms on Linux."""
    running = 0
    with suppress(FileNotFoundError):  # The process has ended.
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):  # The thread has ended.
                running += int((thread / "schedstat").read_text(encoding="ascii").split()[0])
    return running / 1e9


def _by_ticks(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)
