"""`run.json`: how other commands reach a running installation, and which processes a killed run left."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil

from engage.embedded.data_folder import DataFolder, write_private

FOLDER_VARIABLE = "ENGAGE_DATA_FOLDER"  # In the environment of every child: the data folder it belongs to.


class ProcessRecord(msgspec.Struct, frozen=True):
    """A child of the installation. Because pids are reused, `created` (from psutil) is compared too."""

    name: str
    pid: int
    created: float
    stop_signal: int
    stop_s: float = 10.0  # Time to stop before it is killed.
    operations_port: int = 0  # Of loopback; 0: none.


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """`environment` is empty until the servers answer. `scratch` lists folders outside the data folder."""

    environment: dict[str, str] = {}
    processes: list[ProcessRecord] = []
    scratch: list[str] = []


def read(folder: DataFolder) -> Run | None:
    """Return None if nothing runs or the file cannot be decoded."""
    try:
        return msgspec.json.decode(folder.run.read_bytes(), type=Run)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def write(folder: DataFolder, run: Run) -> None:
    write_private(folder.run, msgspec.json.encode(run))


def clean_up(folder: DataFolder) -> None:
    """Remove the file and the scratch folders of a run that has ended."""
    run = read(folder)
    for path in () if run is None else run.scratch:
        _remove_scratch(Path(path))
    folder.run.unlink(missing_ok=True)


def record_of(
    name: str, pid: int, stop_signal: int, stop_s: float, operations_port: int = 0
) -> ProcessRecord | None:
    """Return None if the process has already ended."""
    try:
        created = psutil.Process(pid).create_time()
        return ProcessRecord(name, pid, created, stop_signal, stop_s, operations_port)
    except psutil.NoSuchProcess:
        return None


async def end_leftovers(folder: DataFolder) -> list[str]:
    """Stop the processes that a killed run left, and return their names. The folder must be locked."""
    run = read(folder)
    if run is None:
        return []
    leftovers = [record for record in run.processes if _is_alive(record)]
    # The servers were started first. The other processes need them until they have stopped.
    for record in reversed(leftovers):
        await _end(record)
    _kill_unrecorded(folder)
    for file in folder.alive.iterdir():
        file.unlink(missing_ok=True)
    clean_up(folder)
    return [record.name for record in leftovers]


def _is_alive(record: ProcessRecord) -> bool:
    try:
        process = psutil.Process(record.pid)
        return bool(process.create_time() == record.created and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def _end(record: ProcessRecord) -> None:
    _signal_group(record, record.stop_signal)
    _signal_group(record, signal.SIGCONT)  # A process that was suspended can stop then.
    deadline = asyncio.get_running_loop().time() + record.stop_s
    while _is_alive(record):
        if asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(0.02)
    _signal_group(record, signal.SIGKILL)


def _signal_group(record: ProcessRecord, number: int) -> None:
    """Each child leads a process group. The system does not reuse a group id while a member lives."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(record.pid, number)


def _kill_unrecorded(folder: DataFolder) -> None:
    """Kill children of children, which are not in the file, by the variable in their environment."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(FOLDER_VARIABLE) == str(folder.path):
                process.kill()


def _remove_scratch(path: Path) -> None:
    with suppress(OSError):
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
