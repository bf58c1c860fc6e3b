"""Granian on a socket of ours, and its end without a broken request."""

import asyncio
import signal
import socket
from collections.abc import Callable
from typing import Final

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from engage.api.server.connections import App, Connections, Limits
from engage.api.server.listening import BACKLOG, listening_socket, turn_newcomers_away
from engage.connections.clients import allow_clients
from engage.runtime.background import running

# From the moment when a head could begin until its last byte: so long may a client pause between requests.
HEAD_S: Final = 10.0
HEAD_BYTES: Final = 64 * 1024

# Descriptors that are no clients: servers, files, libraries.
OTHER_DESCRIPTORS: Final = 500

# How long clients learn, each with its next answer, that this process ends.
DRAIN_S: Final = 2.0
# A connection that was quiet for as long has no request on its way.
QUIET_S: Final = 0.5
# How long a connection that has begun may take until it is accepted, and its request is here.
ARRIVAL_S: Final = 0.2
POLL_S: Final = 0.05


async def serve(app: App, *, host: str, port: int, on_closing: Callable[[], None] = lambda: None) -> None:
    """Serve an ASGI application whose lifespan has begun, until SIGINT or SIGTERM. Raises OSError.

    SIGTERM drains: until the end, connections are accepted and requests answered, with `Connection: close`;
    `on_closing` is called first. SIGINT, or a second SIGTERM, ends what is idle at once. Requests in progress
    are answered in any case.

    The server runs in this process, so a kill leaves no other process behind.
    """
    limits = Limits(total=allow_clients(Limits().total, other_descriptors=OTHER_DESCRIPTORS))
    server = HttpServer(app, listening_socket(host, port), limits, on_closing)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, server.drain)
    loop.add_signal_handler(signal.SIGINT, server.stop)
    await server.run()


class HttpServer:
    """A server of one application, for one `run`. It takes the listening socket over."""

    def __init__(
        self,
        app: App,
        listening: socket.socket,
        limits: Limits = Limits(),  # noqa: B008  # It is frozen.
        on_closing: Callable[[], None] = lambda: None,
    ) -> None:
        self.connections = Connections(app, listening.getsockname()[1], limits)
        self._granian = _Granian(self.connections, listening, limits)
        self._on_closing = on_closing
        self._draining: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve until `stop`, or the end of `drain`."""
        async with running(self.connections.keep_within_limits()):
            await self._granian.serve()
        for task in (self._draining, self._closing):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])

    def drain(self) -> None:
        """Stop when no request is in progress or on its way, or after some seconds. Called again: at once."""
        if self._draining is None:
            self._on_closing()
            self._draining = asyncio.create_task(self._drain())
        else:
            self.stop()

    def stop(self) -> None:
        """Stop accepting, and wait for nobody but those who have sent a whole request by now."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close_silent())
            self._granian.stop()  # type: ignore[no-untyped-call]

    async def _drain(self) -> None:
        self.connections.closing = True
        await self._wait_until_quiet(QUIET_S)
        turn_newcomers_away(self._granian.fd)
        await asyncio.sleep(ARRIVAL_S)
        await self._wait_until_quiet(ARRIVAL_S)
        self.stop()

    async def _wait_until_quiet(self, quiet_s: float) -> None:
        """Wait until no request is in progress or on its way, DRAIN_S at most."""
        for _ in range(int(DRAIN_S / POLL_S)):
            quiet = all(seen.quiet_ms >= quiet_s * 1_000 for seen in self.connections.open())
            if quiet and not self.connections.answering:
                return
            await asyncio.sleep(POLL_S)

    async def _close_silent(self) -> None:
        while True:
            self.connections.close_silent()
            await asyncio.sleep(POLL_S)


class _Granian(Server):
    """Granian, given a listening socket."""

    def __init__(self, app: App, listening: socket.socket, limits: Limits) -> None:
        super().__init__(
            app,
            port=listening.getsockname()[1],
            interface=Interfaces.ASGINL,
            # Where HTTP/2 is allowed too, nothing limits the time until a client shows which one it speaks,
            # nor that of a connection without a stream.
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=int(HEAD_S * 1_000), max_buffer_size=HEAD_BYTES),
            websockets=False,
            backlog=BACKLOG,
            # Of connections, not of requests. At this number nobody is accepted.
            backpressure=limits.total,
            log_enabled=False,
        )
        self.fd = listening.detach()  # Granian closes it.

    def _init_shared_socket(self) -> None:
        self._shd = SocketHolder(self.fd, False, BACKLOG)  # type: ignore[call-arg, assignment]
