"""Follow the database's clock, and the sandbox's offset to it, with one statement for each measurement."""

from datetime import datetime, timedelta

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql import func

from engage.clock import MAX_SKEW, Clock
from engage.runtime.database import one_statement
from engage.schema.sandbox_clock import sandbox_clock
from engage.settings import Settings

log = structlog.get_logger()

# The database's time, without a table that outside a sandbox need not exist yet.
_TIME = select(func.clock_timestamp())
_TIME_AND_OFFSET = select(func.clock_timestamp(), select(sandbox_clock.c.ahead).scalar_subquery())


class ClockFollower:
    """Keeps the clock of a process at the database's."""

    def __init__(self, clock: Clock, settings: Settings) -> None:
        self._clock = clock
        self._sandbox = settings.sandbox is not None
        self._reported = False

    async def refresh(self, db: AsyncEngine) -> None:
        """Measure the database's clock. Raises Unavailable."""
        async with one_statement(db) as conn:
            await follow(self._clock, conn, sandbox=self._sandbox)
        self._report()

    def _report(self) -> None:
        """Log once that the machine's clock is off, and once that it is right again."""
        if self._clock.is_reported == self._reported:
            return
        self._reported = self._clock.is_reported
        skew_s = self._clock.skew.total_seconds()
        if self._reported:
            limit_s = MAX_SKEW.total_seconds()
            log.error("the machine's clock is off from the database's", skew_s=skew_s, works_up_to_s=limit_s)
        else:
            log.info("the machine's clock agrees with the database's", skew_s=skew_s)


async def follow(clock: Clock, conn: AsyncConnection, *, sandbox: bool) -> None:
    """Set a clock by the database's, and in a sandbox by its offset."""
    asked = clock.steady()
    at, offset = await _read(conn, sandbox=sandbox)
    clock.follow(at, asked=asked, offset=offset)


async def read_clock(settings: Settings, conn: AsyncConnection) -> Clock:
    """The installation's clock, for a command that works for a short time; in the snapshot of `conn`."""
    clock = Clock()
    await follow(clock, conn, sandbox=settings.sandbox is not None)
    return clock


async def open_clock(settings: Settings, db: AsyncEngine) -> Clock:
    """The same on a connection of its own. Raises Unavailable."""
    async with one_statement(db) as conn:
        return await read_clock(settings, conn)


async def installation_time(db: AsyncEngine) -> datetime:
    """The time now: the database's, with the sandbox's offset where there is one. Raises Unavailable."""
    async with one_statement(db) as conn:
        at, offset = await _read(conn, sandbox=True)
    return at + offset


async def _read(conn: AsyncConnection, *, sandbox: bool) -> tuple[datetime, timedelta]:
    row = (await conn.execute(_TIME_AND_OFFSET if sandbox else _TIME)).one()
    return row[0], (row[1] if sandbox else None) or timedelta()
