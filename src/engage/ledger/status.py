"""Status that is due becomes active. It is in no balance, so it has no entry and no lot."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.schema.time import NOW, is_due

CREDITS_PER_BATCH: Final = 1_000

_ACTIVATE = text(f"""
WITH due AS MATERIALIZED (
    SELECT account, id,
           greatest(CASE WHEN :on_time THEN due_at ELSE {NOW} END, accepted_at) AS active_at
    FROM stored_credits
    WHERE state = 'pending' AND unit IS NOT NULL AND {is_due("due_at")}
    ORDER BY due_at
    LIMIT :batch
    FOR UPDATE SKIP LOCKED
)
UPDATE stored_credits c SET state = 'active', active_at = d.active_at
FROM due d
WHERE c.account = d.account AND c.id = d.id
""")  # noqa: S608  # Constants.

_NEXT = text(
    "SELECT min(due_at) FROM stored_credits WHERE state = 'pending' AND unit IS NOT NULL AND due_at > :after"
)


async def activate_batch(conn: AsyncConnection, *, now: datetime, ahead: timedelta, on_time: bool) -> int:
    """Activate up to CREDITS_PER_BATCH credits of status that are due; how many."""
    values = {"now": now, "ahead": ahead, "on_time": on_time, "batch": CREDITS_PER_BATCH}
    return (await conn.execute(_ACTIVATE, values)).rowcount


async def next_activation(conn: AsyncConnection, *, after: datetime) -> datetime | None:
    """Read the first due time of pending status that is later than `after`."""
    due: datetime | None = (await conn.execute(_NEXT, {"after": after})).scalar()
    return due
