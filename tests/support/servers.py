"""A PostgreSQL and a Valkey of one test, which may kill, restart and hang them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import msgspec
import psutil

from engage.embedded import postgres, valkey
from engage.embedded.child_process import ChildProcess, ProcessSpec, start
from engage.embedded.data_folder import folder_at, lock_folder
from engage.embedded.installation import settings_for
from engage.settings import Settings


class Server:
    """A server that a test starts, kills and hangs."""

    def __init__(self, spec: ProcessSpec) -> None:
        self._spec = spec
        self._running: ChildProcess | None = None

    async def start(self) -> None:
        """Start the server, unless it is running."""
        if self._running is None:
            child = await start(self._spec)
            await child.wait_until_ready()
            self._running = child

    async def stop(self) -> None:
        """Stop the server as an operator does: its files are whole."""
        if self._running is not None:
            await self._running.stop()
            self._running = None

    async def kill(self) -> None:
        """Kill the server, and what outlives it, as its supervisor does: a new one needs its memory."""
        if self._running is not None:
            await self._running.end()
            self._running = None

    @contextmanager
    def hung(self) -> Iterator[None]:
        """Stop the server's answers but keep its connections open, as when the network is lost."""
        assert self._running is not None
        server = psutil.Process(self._running.pid)
        stopped = [server]
        try:
            server.suspend()  # First: it starts no more of the others.
            # Each backend of PostgreSQL leads a group of its own.
            for child in server.children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.suspend()
                    stopped.append(child)
            yield
        finally:
            for process in stopped:
                with suppress(psutil.NoSuchProcess):
                    process.resume()


class Servers(msgspec.Struct, frozen=True):
    settings: Settings
    postgres: Server
    valkey: Server


@asynccontextmanager
async def own_servers(path: Path) -> AsyncIterator[Servers]:
    """Start both servers, with an empty database."""
    folder = folder_at(path / "installation")
    with lock_folder(folder):
        prepared = await postgres.prepare(folder, durable=False)
        cache = valkey.prepare(folder, durable=False)
        servers = Servers(
            settings_for(folder, prepared, cache), Server(prepared.process), Server(cache.process)
        )
        try:
            await servers.postgres.start()
            await postgres.ensure_database(prepared)
            await servers.valkey.start()
            yield servers
        finally:
            await servers.postgres.kill()
            await servers.valkey.kill()
