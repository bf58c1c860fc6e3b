"""Processes and servers that are killed, or stopped for a while."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import psutil

from engage.torture.parts import POSTGRES
from engage.torture.plan import Step
from engage.torture.system import System

# An application's connections, as it names itself.
OURS = "application_name = 'engage' AND pid <> pg_backend_pid()"


@asynccontextmanager
async def kill(system: System, step: Step) -> AsyncIterator[None]:
    """SIGKILL, as the kernel does when memory is over. PostgreSQL's children notice that they are orphans."""
    with suppress(psutil.NoSuchProcess):
        psutil.Process(system.pid(step.target)).kill()
    yield


@asynccontextmanager
async def stop(system: System, step: Step) -> AsyncIterator[None]:
    """Stop all its processes: connections stay open, nothing answers."""
    stopped = await asyncio.to_thread(_stop_tree, system.pid(step.target))
    try:
        yield
    finally:
        for process in reversed(stopped):
            _send(process, signal.SIGCONT)


@asynccontextmanager
async def kill_backend(system: System, step: Step) -> AsyncIterator[None]:
    """SIGKILL of one backend: PostgreSQL ends all others too, and recovers from its log."""
    assert step.target == POSTGRES
    connection = await system.connect()
    try:
        query = f"SELECT pid FROM pg_stat_activity WHERE {OURS} ORDER BY backend_start LIMIT 1"  # noqa: S608
        pid = await connection.fetchval(query)
    finally:
        connection.terminate()
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).kill()
    yield


@asynccontextmanager
async def end_backends(system: System, step: Step) -> AsyncIterator[None]:
    """End all connections, as a failover or an operator does."""
    assert step.target == POSTGRES
    connection = await system.connect()
    try:
        await connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OURS}")  # noqa: S608
    finally:
        connection.terminate()
    yield


def _stop_tree(pid: int) -> list[psutil.Process]:
    """Stop a process, which begins no more children then, and those that it has. Return all of them."""
    stopped: list[psutil.Process] = []
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        found = [root]
        while found:
            for process in found:
                _send(process, signal.SIGSTOP)
            stopped += found
            found = [child for child in root.children(recursive=True) if child not in stopped]
    return stopped


def _send(process: psutil.Process, number: int) -> None:
    """Send a signal, unless the process has ended: psutil compares its time of creation."""
    with suppress(psutil.Error):
        process.send_signal(number)
