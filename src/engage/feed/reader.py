"""Read balances for waiting sockets, many with one query.

Requests gather while a read is in progress, so ten thousand clients that reconnect at once cost ten queries.
While the database is unavailable the batch waits for the next read; the session decides how long its client
waits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from itertools import islice
from typing import Final, Never, TypeAlias

from engage.domain.accounts.balance import Balance
from engage.domain.refusals import Unavailable
from engage.feed.hub import Hub, Socket, members_of
from engage.feed.session import Member, Phase
from engage.runtime.background import Loop

MEMBERS_PER_READ: Final = 1_000
READ_TIMEOUT_S: Final = 5.0
IDLE_S: Final = 5.0

# Members that the database does not know are left out of the result.
ReadBalances: TypeAlias = Callable[[list[Member]], Awaitable[Mapping[Member, Balance]]]


class BalanceReader:
    """Reads snapshots for sockets, and balances again that may have been missed."""

    def __init__(self, read: ReadBalances) -> None:
        self._read = read
        self._sockets: list[Socket] = []  # Waiting for a snapshot.
        self._stale: dict[Member, None] = {}  # To be read again, in order.
        self._work = asyncio.Event()

    def request_snapshot(self, socket: Socket) -> None:
        """Read the balance of the socket's member, and pass it to the hub."""
        self._sockets.append(socket)
        self._work.set()

    def read_again(self, members: Iterable[Member]) -> None:
        """Read these balances, and push those that are newer."""
        self._stale.update(dict.fromkeys(members))
        self._work.set()

    async def run(self, hub: Hub, loop: Loop) -> Never:
        """Read for the hub, until the database is unavailable: raises its error, with the batch put back."""
        now = asyncio.get_running_loop().time
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE_S):
                    await self._work.wait()
            sockets, stale = self._next_batch()
            if sockets or stale:
                balances = await self._read_batch(hub, sockets, stale)
                for socket in sockets:
                    if socket.member is not None:
                        hub.snapshot_read(socket, balances.get(socket.member), now())
                for member in stale:
                    if member in balances:
                        hub.resync(member, balances[member])
            loop.turned()

    async def _read_batch(
        self, hub: Hub, sockets: list[Socket], stale: list[Member]
    ) -> Mapping[Member, Balance]:
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                return await self._read(list(members_of(sockets).union(stale)))
        except (Unavailable, OSError):
            self._put_back(sockets, stale)
            raise
        except Exception:
            # It may be an error of this batch: to read it again for ever would stop all others.
            for socket in sockets:
                hub.read_failed(socket, asyncio.get_running_loop().time())
            raise

    def _next_batch(self) -> tuple[list[Socket], list[Member]]:
        """Take sockets first, because their screens are empty, then stale members."""
        sockets, self._sockets = self._sockets[:MEMBERS_PER_READ], self._sockets[MEMBERS_PER_READ:]
        stale = list(islice(self._stale, MEMBERS_PER_READ - len(sockets)))
        for member in stale:
            del self._stale[member]
        if not self._sockets and not self._stale:
            self._work.clear()
        return [socket for socket in sockets if socket.session.phase == Phase.READING], stale

    def _put_back(self, sockets: list[Socket], stale: list[Member]) -> None:
        self._sockets[:0] = sockets
        self.read_again(stale)
