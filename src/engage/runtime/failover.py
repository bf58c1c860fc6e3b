"""A failover of the database: what a process forgets when another server is the primary, and how it notices.

With asynchronous replication the new primary may never have got the newest commits. Whatever a process
remembers of them is wrong from then on.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

from sqlalchemy.ext.asyncio import AsyncEngine

from engage.connections.primary import Primary
from engage.gate.client import Gate

# Between two turns, which last as long as nothing happens.
FAILOVER_S: Final = 0.0

# The other hosts are asked so often.
SURVEY_S: Final = 2.0


class Cache(Protocol):
    def forget(self) -> None:
        """Drop what the database may have lost. Before anything is read from the new primary."""


class Refreshed(Cache, Protocol):
    async def refresh(self, db: AsyncEngine, /) -> None:
        """Read it anew. Raises Unavailable."""


class Failover:
    """Lets caches forget in the instant in which another server is the primary, and reads them anew."""

    def __init__(
        self,
        db: AsyncEngine,
        primary: Primary,
        gate: Gate,
        *,
        refreshed: Sequence[Refreshed],
        forgetting: Sequence[Cache],
    ) -> None:
        self._db = db
        self._primary = primary
        self._gate = gate
        self._refreshed = refreshed
        self._forgetting = [*refreshed, *forgetting]
        self._changed = asyncio.Event()
        primary.listen(self._forget)

    def _forget(self) -> None:
        for cache in self._forgetting:
            cache.forget()
        if self._primary.changes > 1:  # At the start there is nothing to read again.
            self._changed.set()

    async def follow(self) -> None:
        """Take a turn: after a failover read the caches anew, or else look for one after a while.

        Raises Unavailable.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(SURVEY_S):
                await self._changed.wait()
        if self._changed.is_set():
            # What cannot be read now is read by the caches' own loops.
            self._changed.clear()
            for cache in self._refreshed:
                await cache.refresh(self._db)
        else:
            await self._primary.survey()
        await self._gate.agree(again=True)
