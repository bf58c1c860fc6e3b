"""The connections of this process, as the kernel sees them: who is silent, and since when.

The server accepts and reads in Rust, where Python cannot look. The kernel knows the process's sockets, their
peers, and when each last received something; the application that is wrapped here knows which of them wait
for an answer of ours. All others are silent: their clients have sent nothing, or a part of a request, or
nothing after the last answer. A silent connection costs a descriptor, and closing it breaks no promise.
"""

import asyncio
import os
import socket
import struct
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Final

import structlog
from msgspec import Struct

from engage.connections.clients import network_of

TICK_S: Final = 0.5
# A look at all connections takes some 5 µs for each. It may take one part in this many of the time.
SHARE: Final = 20

_DESCRIPTORS: Final = "/proc/self/fd"
_TCP_INFO_BYTES: Final = 160
_LAST_RECEIVED, _SEGMENTS_SENT = 52, 156  # Offsets in the kernel's struct tcp_info.

Client = tuple[str, str]  # Address and port, as Granian writes them in a scope.
App = Callable[[Any, Any, Any], Awaitable[None]]

log = structlog.get_logger()


class Limits(Struct, frozen=True, kw_only=True):
    """Connections of one address, and of all. An IPv6 address counts with the 2^64 of its network."""

    per_address: int = 1_000
    total: int = 15_000


class Seen(Struct, frozen=True, kw_only=True):
    """An open connection. `quiet_ms`: since it was opened or last received. `sent` changes with answers."""

    fd: int
    client: Client
    quiet_ms: int
    sent: int


class Connections:
    """An ASGI application around another one, which knows the connections that wait for an answer.

    `closing` adds `Connection: close` to every answer, so that clients go elsewhere with their next request.
    """

    def __init__(self, app: App, port: int, limits: Limits = Limits()) -> None:  # noqa: B008  # It is frozen.
        self.closing = False
        self._app = app
        self._port = port
        self.limits = limits
        self._answering: set[Client] = set()
        self._silent_since: dict[tuple[Client, int], float] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.closing:
            send = _with_close(send)
        client = scope["client"]
        if _announces_body(scope):
            receive = self._noting_arrival(client, receive)
        else:
            self._answering.add(client)
        try:
            await self._app(scope, receive, send)
        finally:
            self._answering.discard(client)

    def _noting_arrival(self, client: Client, receive: Any) -> Any:
        """Count a request as one to answer when the last of its body has come."""

        async def noting() -> Any:
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                self._answering.add(client)
            return message

        return noting

    @property
    def answering(self) -> int:
        """The number of requests that have arrived whole and are not answered."""
        return len(self._answering)

    def open(self) -> list[Seen]:
        """Look at all connections of this process to its port; none where the system cannot tell."""
        return list(_established(self._port)) if sys.platform == "linux" else []

    def close_silent(self) -> None:
        """Close every connection that waits for no answer."""
        _close(seen for seen in self.open() if not self._is_answering(seen))

    async def keep_within_limits(self) -> None:
        """Close the oldest silent connections of an address with too many, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            # Counting descriptors is cheap. Few of them cannot be too many.
            if _count_descriptors() > self.limits.per_address:
                self.close_excess(begun)
            await asyncio.sleep(max(TICK_S, SHARE * (loop.time() - begun)))

    def close_excess(self, now: float) -> None:
        """Look once, and close what is beyond the limits."""
        seen = self.open()
        before = self._silent_since
        self._silent_since = {
            key: before.get(key, now)
            for each in seen
            if not self._is_answering(each)
            for key in ((each.client, each.sent),)
        }
        excess = beyond(self.limits, seen, self._silent_since)
        if excess:
            log.warning(
                "too many connections: closing the oldest silent ones", closed=len(excess), open=len(seen)
            )
            _close(excess)

    def _is_answering(self, seen: Seen) -> bool:
        return seen.client in self._answering


def beyond(
    limits: Limits, connections: list[Seen], silent_since: dict[tuple[Client, int], float]
) -> list[Seen]:
    """Return the silent connections to close, the oldest of each address with too many.

    Where there are too many in all, the limit of an address is halved until the rest fits, so the address
    with the most loses the most. A connection is as old as its silence: a byte now and then changes nothing.
    """
    by_address = defaultdict(list)
    for each in connections:
        by_address[network_of(each.client[0])].append(each)
    limit = limits.per_address
    while limit > 1 and sum(min(len(group), limit) for group in by_address.values()) > limits.total:
        limit //= 2
    excess = []
    for group in by_address.values():
        if len(group) > limit:
            silent = [each for each in group if (each.client, each.sent) in silent_since]
            silent.sort(key=lambda each: (silent_since[each.client, each.sent], -each.quiet_ms))
            excess += silent[: len(group) - limit]
    return excess


def _announces_body(scope: Any) -> bool:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return bool(value != b"0")
        if name == b"transfer-encoding":
            return True
    return False


def _with_close(send: Any) -> Any:
    async def closing(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await send(message)

    return closing


def _count_descriptors() -> int:
    if sys.platform != "linux":
        return 0
    # Since Linux 6.2 the size of the folder is their number.
    return os.stat(_DESCRIPTORS).st_size or len(os.listdir(_DESCRIPTORS))


def _established(port: int) -> Iterator[Seen]:
    for name in os.listdir(_DESCRIPTORS):
        seen = _look_at(int(name), port)
        if seen is not None:
            yield seen


def _look_at(fd: int, port: int) -> Seen | None:
    """Return None for a descriptor that is no connection to the port, or that was closed meanwhile."""
    try:
        viewed = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=fd)
    except OSError:
        return None
    try:
        client = _peer(viewed)
        if client is None or viewed.getsockname()[1] != port:
            return None
        info = viewed.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except OSError:
        return None
    finally:
        viewed.detach()
    (quiet_ms,) = struct.unpack_from("I", info, _LAST_RECEIVED)
    (sent,) = struct.unpack_from("I", info, _SEGMENTS_SENT)
    return Seen(fd=fd, client=client, quiet_ms=quiet_ms, sent=sent)


def _peer(connection: socket.socket) -> Client | None:
    """Return None for a socket of another kind. Raises OSError for one without a peer."""
    peer = connection.getpeername()
    return (peer[0], str(peer[1])) if isinstance(peer, tuple) else None


def _close(connections: Iterable[Seen]) -> None:
    """Shut connections down. The server sees their end and closes them."""
    for each in connections:
        # A copy, because the server's thread may close the descriptor and open it for something else.
        with suppress(OSError), socket.socket(fileno=os.dup(each.fd)) as copy:
            if _peer(copy) == each.client:
                copy.shutdown(socket.SHUT_RDWR)
