"""TCP options that end a connection whose other end is gone, and the errors of one that has ended."""

import socket
from collections.abc import Mapping
from typing import Final, Protocol

# An idle connection is probed after IDLE_S, and ends after three probes without an answer.
KEEPALIVE_IDLE_S: Final = 5
KEEPALIVE_INTERVAL_S: Final = 2
KEEPALIVE_COUNT: Final = 3

# Sent bytes that are not acknowledged in this time end the connection.
UNACKNOWLEDGED_MS: Final = 3_000

# Some systems lack some of these.
_OPTIONS: Final = {
    "TCP_KEEPIDLE": KEEPALIVE_IDLE_S,
    "TCP_KEEPALIVE": KEEPALIVE_IDLE_S,  # Its name on macOS.
    "TCP_KEEPINTVL": KEEPALIVE_INTERVAL_S,
    "TCP_KEEPCNT": KEEPALIVE_COUNT,
    "TCP_USER_TIMEOUT": UNACKNOWLEDGED_MS,
}
KEEPALIVE_OPTIONS: Final[Mapping[int, int]] = {
    getattr(socket, name): value for name, value in _OPTIONS.items() if hasattr(socket, name)
}

# Of uvloop and asyncio, for a transport that the other end has closed a moment ago.
_CLOSED: Final = ("the handler is closed", "closing transport", "transport is closed", "transport closed")


class Socket(Protocol):
    """A socket, or the one that uvloop shows of a transport."""

    @property
    def family(self) -> int: ...

    def setsockopt(self, level: int, option: int, value: int, /) -> None: ...


def keep_alive(connected: Socket | None) -> None:
    """Set the options on a TCP socket. Unix sockets need none, and a closed transport shows None."""
    if connected is None or connected.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE_OPTIONS.items():
        connected.setsockopt(socket.IPPROTO_TCP, option, value)


def is_of_closed_transport(error: RuntimeError) -> bool:
    """True if the error says that a connection has ended. The event loops have no type for it."""
    return any(words in str(error) for words in _CLOSED)
