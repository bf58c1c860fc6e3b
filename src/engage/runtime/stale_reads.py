"""Snapshots that may be a little old: those of a standby, for what reads much and decides nothing.

This is the only way to the database that ENGAGE_REPORTS_DATABASE_URL names, and only reports and the audit
may take it (`tests/test_imports.py`). The services of a process have no connection to it, so nothing else
reads there by mistake.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engage.domain.refusals import Unavailable
from engage.runtime.database import export, open_database, snapshot
from engage.settings import Settings

# The age of what a standby knows. It is that of its newest transaction, so it grows while nobody writes. None
# for a server that is no standby, or has replayed nothing since it was started.
_AGE: Final = text("""
SELECT CASE WHEN pg_is_in_recovery() THEN clock_timestamp() - pg_last_xact_replay_timestamp() END
""")

log = structlog.get_logger()


@asynccontextmanager
async def stale_snapshots(
    settings: Settings, *, timeout_s: float | None, count: int = 1
) -> AsyncIterator[list[AsyncConnection]]:
    """Opens connections that see the same, at most `reports_max_age_s` old. Without a standby that is so
    fresh, they are to the primary.

    A standby may end a statement that reads what the primary has removed. Raises Unavailable then too.
    """
    async with AsyncExitStack() as stack:
        db = await _standby(settings, timeout_s, count)
        if db is None:
            db = open_database(settings.database_url, pool_size=count, command_timeout_s=timeout_s)
        stack.push_async_callback(db.dispose)
        conns = [await stack.enter_async_context(snapshot(db))]
        exported = await export(conns[0]) if count > 1 else None
        while len(conns) < count:
            conns.append(await stack.enter_async_context(snapshot(db, exported)))
        yield conns


async def _standby(settings: Settings, timeout_s: float | None, count: int) -> AsyncEngine | None:
    """The standby for reports; None where there is none, or it does not answer, or is too far behind."""
    if not settings.reports_database_url:
        return None
    db = open_database(
        settings.reports_database_url, pool_size=count, command_timeout_s=timeout_s, standby=True
    )
    try:
        async with snapshot(db) as conn:
            age: timedelta | None = (await conn.execute(_AGE)).scalar_one()
    except Unavailable as error:
        log.warning("reports read from the primary: the standby does not answer", part=error.facts["part"])
        age = None
    except BaseException:
        await db.dispose()
        raise
    else:
        if age is not None and age <= timedelta(seconds=settings.reports_max_age_s):
            return db
        age_s = None if age is None else age.total_seconds()
        log.warning("reports read from the primary: the standby is behind", age_s=age_s)
    await db.dispose()
    return None
