"""A TCP proxy on loopback that breaks connections as networks do: cut, silent, slow, refused.

It can cut a connection to PostgreSQL exactly between a commit and its answer.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import cast

from engage.torture.wire import Wire

HOST = "127.0.0.1"

Target = int | str  # A port of this machine, or the path of a Unix socket.


class Proxy:
    """Forwards connections to a server. With `watched`, they speak PostgreSQL's protocol."""

    def __init__(self, target: Target, *, watched: bool = False) -> None:
        self.port = 0
        self.opened = 0  # Connections so far.
        self.delay_s = 0.0
        self.generation = 0
        self.is_silent = False
        self.is_refusing = False
        self.target = target
        self.watched = watched
        self.pairs: set[Pair] = set()
        self._on_commit: Callable[[], None] | None = None
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Pair(self).client, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End all connections, and wait until their sockets are closed."""
        if self._server is not None:
            self._server.close()
        self.cut()
        while self.pairs:  # noqa: ASYNC110 - turns of the loop, in which sockets are closed.
            await asyncio.sleep(0)

    def cut(self) -> int:
        """Reset all connections. New ones work. Return how many there were."""
        pairs = list(self.pairs)
        for pair in pairs:
            pair.abort()
        return len(pairs)

    def forget(self) -> None:
        """Lose all bytes of the connections that are open now. New ones work."""
        self.generation += 1

    def begin_silence(self) -> None:
        """Lose all bytes. Connections that are open now stay silent for ever."""
        self.forget()
        self.is_silent = True

    def end_silence(self) -> None:
        self.forget()
        self.is_silent = False

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Lose all bytes during the block. Connections that are open at its begin stay silent for ever."""
        self.begin_silence()
        try:
            yield
        finally:
            self.end_silence()

    def begin_refusing(self) -> None:
        """Accept connections and end them, as a proxy does whose server is restarting."""
        self.is_refusing = True
        self.cut()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        self.begin_refusing()
        try:
            yield
        finally:
            self.is_refusing = False

    def heal(self) -> None:
        """Forward all bytes again. Connections that were silent stay so."""
        if self.is_silent:
            self.end_silence()
        self.is_refusing = False
        self.delay_s = 0.0

    def cut_at_commit(self, then: Callable[[], None] = lambda: None) -> None:
        """At the next commit of a transaction that wrote something, lose its answer and reset its connection;
        call `then` at that instant.
        """
        assert self.watched
        self._on_commit = then

    def forget_commit(self) -> bool:
        """Cut at no commit any more. True if none has come since `cut_at_commit`."""
        waiting, self._on_commit = self._on_commit is not None, None
        return waiting

    def take_commit(self) -> bool:
        """True if the answer to this commit has to be lost."""
        if self._on_commit is None:
            return False
        then, self._on_commit = self._on_commit, None
        then()
        return True


class Pair:
    """A connection of a client, and the one to the server."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.generation = proxy.generation
        self.wire = Wire() if proxy.watched else None
        self.client = End(self)
        self.server = End(self)
        self._connecting: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self.proxy.pairs.add(self)
        self.proxy.opened += 1
        if self.proxy.is_refusing:
            self.abort()
        elif not self.proxy.is_silent:
            self._connecting = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        target = self.proxy.target
        try:
            if isinstance(target, int):
                await loop.create_connection(lambda: self.server, HOST, target)
            else:
                await loop.create_unix_connection(lambda: self.server, target)
        except OSError:
            self.client.abort()
            return
        if self.client.is_closed:
            self.server.abort()

    def receive(self, end: "End", octets: bytes) -> None:
        if self.is_lost:
            return
        if self.wire is not None:
            if end is self.client:
                self.wire.client_sent(octets)
            elif self.wire.server_sent(octets) and self.proxy.take_commit():
                self.abort()
                return
        self._other(end).write(octets)

    def lost(self, end: "End") -> None:
        """The end of a connection is lost too where its bytes are."""
        if self.client.is_closed and self.server.is_closed:
            self.proxy.pairs.discard(self)
        elif not self.is_lost:
            self._other(end).close()
        if end is self.client and self.server.transport is None:
            self.proxy.pairs.discard(self)

    @property
    def is_lost(self) -> bool:
        return self.generation != self.proxy.generation

    def abort(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        self.client.abort()
        self.server.abort()

    def _other(self, end: "End") -> "End":
        return self.server if end is self.client else self.client


class End(asyncio.Protocol):
    """One end of a pair: it receives what the other one sends on."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.transport: asyncio.Transport | None = None
        self.is_closed = False
        self._free_at = 0.0  # When all that was written before has been sent.
        self._early = bytearray()  # Written before there was a connection.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self._early:
            self.transport.write(bytes(self._early))
        if self is self.pair.client:
            self.pair.begin()

    def data_received(self, data: bytes) -> None:
        self.pair.receive(self, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        self.pair.lost(self)

    def pause_writing(self) -> None:
        self.pair._other(self).pause()

    def resume_writing(self) -> None:
        self.pair._other(self).resume()

    def write(self, octets: bytes) -> None:
        if self.transport is None:
            self._early += octets
        else:
            self._in_order(lambda transport: transport.write(octets))

    def close(self) -> None:
        self._in_order(lambda transport: transport.close())

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def pause(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def _in_order(self, act: Callable[[asyncio.Transport], None]) -> None:
        """Act now, or after the proxy's delay, and never before what was written earlier."""
        loop = asyncio.get_running_loop()
        delay_s = self.pair.proxy.delay_s
        if not delay_s and loop.time() >= self._free_at:
            self._act(act)
            return
        self._free_at = max(self._free_at, loop.time() + delay_s)
        loop.call_at(self._free_at, self._act, act)

    def _act(self, act: Callable[[asyncio.Transport], None]) -> None:
        if self.transport is not None and not self.transport.is_closing():
            act(self.transport)


@asynccontextmanager
async def proxy_to(target: Target, *, watched: bool = False) -> AsyncIterator[Proxy]:
    proxy = Proxy(target, watched=watched)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()
