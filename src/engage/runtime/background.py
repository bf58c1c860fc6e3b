"""Tasks that run beside a process's work until it ends."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.domain.document.errors import DocumentError
from engage.domain.refusals import Unavailable

log = structlog.get_logger()

REFRESH_S = 2.0


class Cache(Protocol):
    async def refresh(self, db: AsyncEngine) -> None:
        """Raises Unavailable, and DocumentError if a published version cannot be read."""


@asynccontextmanager
async def running(*coroutines: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Runs coroutines as tasks during the block. Cancels them at its end, and waits for them."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def refresh_forever(cache: Cache, db: AsyncEngine) -> None:
    """Refreshes a cache every few seconds, again after a failure."""
    while True:
        await asyncio.sleep(REFRESH_S)
        try:
            await cache.refresh(db)
        except Unavailable:
            continue
        except DocumentError:
            # A newer release wrote a version that this one cannot read. The known versions stay in force.
            log.exception("a published version cannot be read")
