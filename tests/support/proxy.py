"""A TCP proxy on loopback that loses bytes as a broken cable does: connections stay open, and silent."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from sqlalchemy import make_url

from engage.settings import Settings
from tests.support.tcp import tcp_server


class Proxy:
    """Forwards connections to a server: a port, or the path of a Unix socket."""

    def __init__(self, target: int | str) -> None:
        self.port = 0
        self.opened = 0
        self._target = target
        self._forwarding: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._refusing = False
        self._generation = 0

    def forget(self) -> None:
        """Lose all bytes of the connections that are open now. New ones work."""
        self._generation += 1

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Lose all bytes during the block. Connections that are open at its begin stay silent for ever."""
        self.forget()
        self._open.clear()
        try:
            yield
        finally:
            self.forget()
            self._open.set()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Accept and end connections during the block, as a proxy does whose server is restarting."""
        self._refusing = True
        for task in self._forwarding:
            task.cancel()
        try:
            yield
        finally:
            self._refusing = False

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        if self._refusing:
            writer.transport.abort()
            return
        generation = self._generation
        if not self._open.is_set():
            await asyncio.sleep(3_600)
        connect = (
            asyncio.open_connection("127.0.0.1", self._target)
            if isinstance(self._target, int)
            else asyncio.open_unix_connection(self._target)
        )
        there_reader, there_writer = await connect
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(reader, there_writer, generation))
                group.create_task(self._forward(there_reader, writer, generation))
        finally:
            for end in (writer, there_writer):
                end.transport.abort()

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, generation: int
    ) -> None:
        while data := await reader.read(65_536):
            if generation == self._generation:
                writer.write(data)
        if generation == self._generation:
            writer.close()
        else:
            await asyncio.sleep(3_600)  # The end of a connection is lost too.

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._forwarding.add(task)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._accept(reader, writer)
        finally:
            self._forwarding.discard(task)


@asynccontextmanager
async def proxy_to(target: int | str) -> AsyncIterator[Proxy]:
    proxy = Proxy(target)
    async with tcp_server(proxy.serve) as proxy.port:
        yield proxy


@asynccontextmanager
async def proxy_to_postgres(settings: Settings) -> AsyncIterator[tuple[Proxy, str]]:
    """Yield a proxy, and the URL of the database through it."""
    url = make_url(settings.database_url)
    async with proxy_to(f"{url.query['host']}/.s.PGSQL.{url.query['port']}") as proxy:
        yield proxy, f"postgresql+asyncpg://{url.username}@127.0.0.1:{proxy.port}/{url.database}"


@asynccontextmanager
async def proxy_to_valkey(url: str) -> AsyncIterator[tuple[Proxy, str]]:
    """Yield a proxy, and the URL of the database of a Valkey through it."""
    port = make_url(url).port
    assert port is not None
    async with proxy_to(port) as proxy:
        yield proxy, url.replace(f":{port}/", f":{proxy.port}/")
