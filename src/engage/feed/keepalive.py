"""Pings to all sockets, one for each in every interval. A socket that has not answered by the next is dead.

The library would keep a task for each connection, with a timer and several coroutines.
"""

from collections.abc import Hashable, Iterator
from math import floor
from typing import Final, Generic, Protocol, TypeVar

# Seconds that were missed, because this process stood still. Longer ones are skipped: their sockets wait for
# their next turn, so that none is called dead whose answer has not been read yet.
LATE_S: Final = 2


class Pinged(Hashable, Protocol):
    """A socket; `turn` is the second of the interval in which it is pinged."""

    turn: int
    awaits_pong: bool

    def send_ping(self) -> None:
        """Write a ping, and note that its answer is awaited. Never blocks."""


S = TypeVar("S", bound=Pinged)


class Keepalive(Generic[S]):
    def __init__(self, every_s: int, now: float) -> None:
        self._turns: list[set[S]] = [set() for _ in range(every_s)]
        self._done = floor(now)  # The last second whose sockets were pinged.

    def add(self, socket: S, now: float) -> None:
        """Ping the socket in an interval from now, and then once in each."""
        socket.turn = floor(now) % len(self._turns)
        self._turns[socket.turn].add(socket)

    def leave(self, socket: S) -> None:
        self._turns[socket.turn].discard(socket)

    def tick(self, now: float) -> Iterator[S]:
        """Ping the sockets whose turn has come. Yield those that have not answered the ping before.

        To be called at least once a second.
        """
        before, self._done = self._done, floor(now)
        for second in range(max(before, self._done - LATE_S) + 1, self._done + 1):
            for socket in tuple(self._turns[second % len(self._turns)]):
                if socket.awaits_pong:
                    yield socket
                else:
                    socket.send_ping()
