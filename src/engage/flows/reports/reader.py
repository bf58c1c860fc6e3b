"""Connections of reports, which read much, and read it several times: no member waits for one.

A report may be as old as a standby (`engage.runtime.stale_reads`).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.refusals import Unavailable
from engage.runtime.stale_reads import stale_snapshots
from engage.settings import Settings

# Reports that a process computes at a time, each on a connection of its own.
READERS: Final = 2
# How long a report waits for its turn. A caller who gets 503 holds nothing.
TURN_S: Final = 10.0

_readers = asyncio.Semaphore(READERS)


@asynccontextmanager
async def reading(settings: Settings, timeout_s: float | None) -> AsyncIterator[AsyncConnection]:
    """Open a connection, when it is this report's turn. Raises Unavailable where that takes too long."""
    async with turn(_readers), stale_snapshots(settings, timeout_s=timeout_s) as (conn,):
        yield conn


@asynccontextmanager
async def turn(bound: asyncio.Semaphore) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(TURN_S):
            await bound.acquire()
    except TimeoutError:
        raise Unavailable("reports") from None
    try:
        yield
    finally:
        bound.release()
