"""A connection for changes of segments, with time limits that are longer than those of other requests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from engage.domain.refusals import Unavailable
from engage.runtime.database import open_database
from engage.settings import Settings

# Changes that a process makes at a time, each on a connection of its own. How long one waits for its turn,
# and for each answer of the database.
WRITERS: Final = 2
TURN_S: Final = 10.0
STATEMENT_S: Final = 60.0

_writers = asyncio.Semaphore(WRITERS)


@asynccontextmanager
async def open_connection(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """Open a connection, when it is this change's turn. Raises Unavailable where that takes too long."""
    try:
        async with asyncio.timeout(TURN_S):
            await _writers.acquire()
    except TimeoutError:
        raise Unavailable("segments") from None
    try:
        db = open_database(settings.database_url, pool_size=1, command_timeout_s=STATEMENT_S)
        try:
            yield db
        finally:
            await db.dispose()
    finally:
        _writers.release()
