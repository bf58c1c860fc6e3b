"""A Valkey server that forgets, waits, refuses to write, or comes back with an older file."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil

from engage.torture.plan import Step
from engage.torture.system import System

NOWHERE = ("127.0.0.1", 1)
APPEND_ONLY = "appendonlydir"


@asynccontextmanager
async def empty(system: System, step: Step) -> AsyncIterator[None]:
    async with system.valkey(step.target) as client:
        await client.flushall()
    yield


@asynccontextmanager
async def pause(system: System, step: Step) -> AsyncIterator[None]:
    """Answer nothing for the length of the step. Nothing ends it earlier."""
    async with system.valkey(step.target) as client:
        await client.client_pause(max(1, int(step.length_s * 1_000)), all=True)
    yield


@asynccontextmanager
async def read_only(system: System, step: Step) -> AsyncIterator[None]:
    """Make it a replica of a server that is not there, as a failover does with an old primary."""
    async with system.valkey(step.target) as client:
        await client.replicaof(*NOWHERE)
        try:
            yield
        finally:
            await client.replicaof("NO", "ONE")


@asynccontextmanager
async def no_replicas(system: System, step: Step) -> AsyncIterator[None]:
    async with _setting(system, step, "min-replicas-to-write", "1", "0"):
        yield


@asynccontextmanager
async def memory_full(system: System, step: Step) -> AsyncIterator[None]:
    async with _setting(system, step, "maxmemory", "1", "0"):
        yield


@asynccontextmanager
async def older_file(system: System, step: Step) -> AsyncIterator[None]:
    """Kill it, and let it start with its append-only file as it was at the begin of the step."""
    files = system.folder.valkey / step.target.removeprefix("valkey-")
    await asyncio.to_thread(_copy, files / APPEND_ONLY, files / "older")
    try:
        yield
    finally:
        with suppress(psutil.NoSuchProcess):
            server = psutil.Process(system.pid(step.target))
            server.send_signal(signal.SIGSTOP)
            await asyncio.to_thread(_put_back, files / "older", files / APPEND_ONLY)
            server.kill()


@asynccontextmanager
async def _setting(system: System, step: Step, name: str, value: str, after: str) -> AsyncIterator[None]:
    async with system.valkey(step.target) as client:
        await client.config_set(name, value)
        try:
            yield
        finally:
            await client.config_set(name, after)


def _copy(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


def _put_back(older: Path, files: Path) -> None:
    shutil.rmtree(files)
    older.rename(files)
