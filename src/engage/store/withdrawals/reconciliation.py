"""Reconciliation of withdrawals with the provider's payouts: what to compare, and what was different."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.withdrawals.withdrawal import Withdrawal
from engage.schema.rows import Batch, from_row, select_list
from engage.schema.withdrawals import withdrawals as table

_COLUMNS = select_list(Withdrawal, "w")
_COMPARED = Batch("u", table, "program_id", "member_id", "id", "difference")

# Withdrawals that were never compared; and those that ended lately and were different or unknown to the
# provider when they were compared a while ago, since that may have changed.
_UNCOMPARED = text(f"""
SELECT {_COLUMNS} FROM withdrawals w
WHERE w.provider = :provider AND w.closed_at IS NOT NULL AND w.phone IS NOT NULL
  AND (w.compared_at IS NULL OR (w.closed_at >= :since AND w.compared_at < :again_before
                                 AND (w.difference IS NOT NULL OR w.failure = 'never_heard')))
ORDER BY w.closed_at, w.id LIMIT :limit
""")  # noqa: S608  # Names of the schema, here and below.

_WRITE = text(f"""
UPDATE withdrawals w SET compared_at = :now, difference = u.difference
FROM {_COMPARED}
WHERE w.program_id = u.program_id AND w.member_id = u.member_id AND w.id = u.id
""")  # noqa: S608

_DIFFERENT = text(f"""
SELECT {_COLUMNS}, w.difference FROM withdrawals w
WHERE w.provider IS NOT NULL AND w.closed_at >= :since AND w.difference IS NOT NULL
ORDER BY w.closed_at, w.id LIMIT :limit
""")  # noqa: S608

_OVERDUE = text(f"""
SELECT {_COLUMNS} FROM withdrawals w
WHERE w.state IN ('requested', 'submitted', 'unknown') AND w.ask_at IS NOT NULL AND w.requested_at < :before
ORDER BY w.requested_at, w.id LIMIT :limit
""")  # noqa: S608


async def read_uncompared(
    conn: AsyncConnection, provider: str, *, since: datetime, again_before: datetime, limit: int
) -> list[Withdrawal]:
    """Read ended withdrawals to compare with the provider: each once, and those that were different or
    unknown to the provider and ended at `since` or later again, unless that was done at `again_before` or
    later.
    """
    values = {"provider": provider, "since": since, "again_before": again_before, "limit": limit}
    return [from_row(Withdrawal, row) for row in await conn.execute(_UNCOMPARED, values)]


async def write_compared(
    conn: AsyncConnection, compared: Sequence[tuple[Withdrawal, str | None]], *, now: datetime
) -> None:
    """Write the result of a comparison: each withdrawal with its difference, or None."""
    rows = [(w.program_id, w.member_id, w.id, difference) for w, difference in compared]
    await conn.execute(_WRITE, _COMPARED.of(rows) | {"now": now})


async def read_different(
    conn: AsyncConnection, *, since: datetime, limit: int
) -> list[tuple[Withdrawal, str]]:
    """Read withdrawals that ended at `since` or later and were different when they were last compared."""
    rows = await conn.execute(_DIFFERENT, {"since": since, "limit": limit})
    return [(from_row(Withdrawal, row[:-1]), row[-1]) for row in rows]


async def read_overdue(conn: AsyncConnection, *, before: datetime, limit: int) -> list[Withdrawal]:
    """Read withdrawals that were requested before an instant and are still with the provider."""
    rows = await conn.execute(_OVERDUE, {"before": before, "limit": limit})
    return [from_row(Withdrawal, row) for row in rows]
