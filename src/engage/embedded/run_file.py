"""`run.json`: how others reach a running installation, and whom to end when it was killed."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil

from engage.embedded.data_folder import DataFolder, write_private

END_S = 10.0  # How long a leftover may take to stop before it is killed.
MARK = "ENGAGE_DATA_FOLDER"  # In the environment of every child: the folder whose child it is.


class Kin(msgspec.Struct, frozen=True):
    """A child of the installation. A pid alone is not enough to know it by: pids are used again."""

    name: str
    pid: int
    created: float  # As psutil tells it.
    stop_signal: int


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """`environment` is empty until the servers answer."""

    environment: dict[str, str] = {}
    kin: list[Kin] = []
    scratch: list[str] = []  # Folders outside the data folder that the run made.


def read(folder: DataFolder) -> Run | None:
    """None where nothing runs, or where the file does not say."""
    try:
        return msgspec.json.decode(folder.run.read_bytes(), type=Run)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def write(folder: DataFolder, run: Run) -> None:
    write_private(folder.run, msgspec.json.encode(run))


def clear_away(folder: DataFolder) -> None:
    """At the end of a run: what it noted, and what it made elsewhere."""
    run = read(folder)
    for path in () if run is None else run.scratch:
        _remove_scratch(Path(path))
    folder.run.unlink(missing_ok=True)


def kin_of(name: str, pid: int, stop_signal: int) -> Kin | None:
    """None where it has already ended."""
    try:
        return Kin(name, pid, psutil.Process(pid).create_time(), stop_signal)
    except psutil.NoSuchProcess:
        return None


async def end_leftovers(folder: DataFolder) -> list[str]:
    """End what a killed run left running, and say what it was. Call it with the folder held."""
    run = read(folder)
    if run is None:
        return []
    found = [kin for kin in run.kin if _is_alive(kin)]
    # In the order they were started, the servers come first; they are needed until the parts are gone.
    for kin in reversed(found):
        await _end(kin)
    _kill_strays(folder)
    clear_away(folder)
    return [kin.name for kin in found]


def _is_alive(kin: Kin) -> bool:
    try:
        found = psutil.Process(kin.pid)
        return bool(found.create_time() == kin.created and found.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def _end(kin: Kin) -> None:
    _signal_group(kin, kin.stop_signal)
    deadline = asyncio.get_running_loop().time() + END_S
    while _is_alive(kin):
        if asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(0.02)
    _signal_group(kin, signal.SIGKILL)


def _signal_group(kin: Kin, number: int) -> None:
    """Each child leads a group of its own; a group's id is not used again while one of it lives."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(kin.pid, number)


def _kill_strays(folder: DataFolder) -> None:
    """Children of children whose parent was killed too: nobody wrote them down, their environment tells."""
    for stray in psutil.process_iter():
        with suppress(psutil.Error):
            if stray.pid != os.getpid() and stray.environ().get(MARK) == str(folder.path):
                stray.kill()


def _remove_scratch(path: Path) -> None:
    with suppress(OSError):
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
