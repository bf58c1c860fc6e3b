"""The places of a feed: who has shown no credentials yet gives way where there are no more.

A connection costs a place from its first packet on, also where it sends nothing. Without a place for the next
one, the oldest connection without credentials is closed, of the address that has the most of them.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

from engage.connections.clients import network_of

C = TypeVar("C", bound=Hashable)


class Places(Generic[C]):
    """Connections from one address, or from the 2^64 of an IPv6 network, belong together."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._taken = 0
        self._waiting: dict[str | bytes, dict[C, None]] = {}  # The oldest first.

    @property
    def are_full(self) -> bool:
        return self._taken > self._count

    def take(self, connection: C, address: str) -> C | None:
        """Take a place for a connection without credentials. Return the one to close for it, if any."""
        self._taken += 1
        self._waiting.setdefault(network_of(address), {})[connection] = None
        if not self.are_full:
            return None
        most = max(self._waiting.values(), key=len)
        oldest = next(iter(most))
        return None if oldest == connection else oldest

    def keep(self, connection: C, address: str) -> None:
        """Let the connection keep its place: it has shown credentials."""
        network = network_of(address)
        waiting = self._waiting.get(network, {})
        waiting.pop(connection, None)
        if not waiting:
            self._waiting.pop(network, None)

    def leave(self, connection: C, address: str) -> None:
        """Free the place of a connection that has ended."""
        self.keep(connection, address)
        self._taken -= 1
