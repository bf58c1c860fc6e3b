"""A Valkey of the test's own, that it may kill, start again and silence."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psutil

from engage.embedded import valkey
from engage.embedded.child_process import ChildProcess, start
from engage.embedded.data_folder import folder_at, lock_folder


class OwnValkey:
    def __init__(self, server: valkey.Valkey) -> None:
        self.port = server.port
        self._part = server.process
        self._running: ChildProcess | None = None

    async def start(self) -> None:
        self._running = await start(self._part)
        await self._running.wait_until_ready()

    async def kill(self) -> None:
        assert self._running is not None
        self._running.kill()
        await self._running.wait()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Connections stay and nothing is answered, as after a network has lost them without a word."""
        assert self._running is not None
        os.killpg(self._running.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._running.pid, signal.SIGCONT)

    def connected_from(self) -> set[int]:
        """Our own ports of connections to it."""
        return {
            connection.laddr.port
            for connection in psutil.Process().net_connections("tcp")
            if connection.raddr and connection.raddr.port == self.port and connection.status == "ESTABLISHED"
        }

    async def stop(self) -> None:
        if self._running is not None:
            await self._running.stop()


@asynccontextmanager
async def own_valkey(folder: Path) -> AsyncIterator[OwnValkey]:
    there = folder_at(folder / "installation")
    with lock_folder(there):
        running = OwnValkey(valkey.prepare(there, durable=False))
        try:
            await running.start()
            yield running
        finally:
            await running.stop()
