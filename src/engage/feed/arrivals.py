"""Sockets whose member's topic is not active yet. Their balance is read when it is: it misses no change."""

from collections.abc import Iterator
from typing import Final

from engage.feed.hub import Socket
from engage.feed.session import Member

# A socket whose topic is not active by then gets its balance all the same. It is read again when the topic is
# active.
PATIENCE_S: Final = 1.0


class Arrivals:
    """Sockets that wait for their member's topic, the oldest first."""

    def __init__(self) -> None:
        self._waiting: dict[Member, tuple[float, list[Socket]]] = {}

    def add(self, member: Member, socket: Socket, now: float) -> None:
        self._waiting.setdefault(member, (now, []))[1].append(socket)

    def take(self, member: Member) -> list[Socket]:
        """Return the sockets of a member whose topic is active, and forget them."""
        return self._waiting.pop(member, (0.0, []))[1]

    def overdue(self, now: float) -> Iterator[Socket]:
        """Yield the sockets that have waited for too long, and forget them."""
        while self._waiting:
            member, (since, sockets) = next(iter(self._waiting.items()))
            if now - since < PATIENCE_S:
                return
            del self._waiting[member]
            yield from sockets
