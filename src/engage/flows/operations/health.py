"""Health checks of the database, and of the work that workers do."""

from datetime import timedelta
from typing import Final

from sqlalchemy import text

from engage.flows.scheduled.due_work import DUE_WORK
from engage.runtime.database import one_statement
from engage.runtime.services import Services

# Commits a record of the write-ahead log, and changes no row: a full disk, or a standby that a synchronous
# commit waits for, stops it as it stops all others. The DELETE is refused by a database that is read-only.
_WRITE = text("""
WITH nothing AS (DELETE FROM outbox WHERE false)
SELECT pg_logical_emit_message(true, 'engage', 'health'),
       EXISTS (SELECT FROM credits WHERE state = 'pending' AND due_at < :before)
""")

# A credit that is overdue by more is not late but forgotten: nothing settles.
OVERDUE_AFTER: Final = timedelta(minutes=1)
OVERDUE: Final = "overdue_credits"


async def check_database(services: Services) -> bool:
    """Write to the database; return whether credits are overdue by more than OVERDUE_AFTER.

    Raises Unavailable if it does not answer or cannot be written.
    """
    async with one_statement(services.db) as conn:
        row = (await conn.execute(_WRITE, {"before": services.clock.now() - OVERDUE_AFTER})).one()
    return bool(row[1])


async def undone_work(services: Services) -> list[str]:
    """The kinds of due work that no worker has looked for lately. Raises Unavailable."""
    return await services.topics.not_done([work.name for work in DUE_WORK])
