"""Gauges of the servers, which every worker reads now and then: what is overdue, unpublished, nearly used up.

No statement reads more than MOST rows, each through an index, however large the tables are.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, Never

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.campaigns.budget import Left
from engage.domain.refusals import Unavailable
from engage.metrics.catalogue import DatabaseNumbers
from engage.metrics.numbers import MOST_SERIES
from engage.runtime.database import one_statement
from engage.runtime.services import Services
from engage.store.campaigns.budgets import read_left, read_totals
from engage.store.rewards.stock import read_stock

EVERY_S: Final = 10.0
MOST: Final = 10_000

# A worker that is busy with what fell due a moment ago is not late.
OVERDUE_AFTER: Final = timedelta(seconds=5)

# Above MOST, the estimate of the index's statistics, which vacuum keeps.
_PENDING = text("""
SELECT CASE WHEN n.counted < :most THEN n.counted ELSE greatest(n.counted, i.reltuples) END
FROM (SELECT count(*) AS counted FROM (
    SELECT FROM stored_credits WHERE state = 'pending' AND unit IS NULL AND due_at > '2000-01-01' LIMIT :most
) p) n, pg_class i WHERE i.oid = CAST('credits_due' AS regclass)
""")

_OVERDUE = text("""
SELECT program_id, count(*), CAST(sum(points) AS bigint), min(due_at)
FROM (
    SELECT (SELECT b.program_id FROM balances b WHERE b.account = c.account) AS program_id, c.points, c.due_at
    FROM (
        SELECT account, points, due_at FROM stored_credits
        WHERE state = 'pending' AND unit IS NULL AND due_at <= :before
        ORDER BY due_at LIMIT :most
    ) c
) o GROUP BY 1
""")

# Ids rise with time.
_OUTBOX = text(
    "SELECT count(*), min(written_at) FROM (SELECT written_at FROM outbox ORDER BY id LIMIT :most) o"
)

_REACTIONS = text("""
SELECT count(*), min(at) FROM (SELECT at FROM member_changes WHERE at <= :now ORDER BY at LIMIT :most) c
""")

_PAYOUTS = text("""
SELECT state, count(*), min(ask_at) FROM (
    SELECT state, ask_at FROM withdrawals WHERE state IN ('requested', 'submitted', 'unknown')
    ORDER BY ask_at LIMIT :most
) w GROUP BY 1
""")

_SERVER = text("""
SELECT coalesce(state, 'other'), count(*),
       CAST(extract(epoch FROM max(clock_timestamp() - xact_start)) AS float8)
FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' GROUP BY 1
""")


async def read_gauges_always(services: Services) -> Never:
    """Read the gauges every EVERY_S, as a loop of the process."""
    await services.loops.repeat("gauges", lambda: read_gauges(services), every_s=EVERY_S, first=True)


async def read_gauges(services: Services) -> None:
    """Read all gauges. Raises Unavailable where PostgreSQL is away."""
    numbers = services.metrics.database
    await _read_valkey(services, numbers)
    async with one_statement(services.db) as conn:
        await _read_credits(conn, numbers, now=services.clock.now())
        await _read_backlogs(conn, numbers, now=services.clock.now(), wall=services.clock.wall())
        await _read_server(conn, numbers)
        await _read_budgets(services, conn, numbers)
        await _read_stock(services, conn, numbers)


async def _read_credits(conn: AsyncConnection, numbers: DatabaseNumbers, *, now: datetime) -> None:
    numbers.pending_credits.set((await conn.execute(_PENDING, {"most": MOST})).scalar_one())
    values = {"before": now - OVERDUE_AFTER, "most": MOST}
    rows = (await conn.execute(_OVERDUE, values)).all()
    # Zero is not the same as no answer.
    numbers.overdue_credits.replace(((row[0],), row[1]) for row in rows)
    numbers.overdue_points.replace(((row[0],), row[2]) for row in rows)
    numbers.overdue_age.set(_age_s(now, [row[3] for row in rows]))


async def _read_backlogs(
    conn: AsyncConnection, numbers: DatabaseNumbers, *, now: datetime, wall: datetime
) -> None:
    count, oldest = (await conn.execute(_OUTBOX, {"most": MOST})).one()
    numbers.outbox_rows.set(count)
    numbers.outbox_age.set(_age_s(wall, [oldest]))
    count, oldest = (await conn.execute(_REACTIONS, {"now": now, "most": MOST})).one()
    numbers.reactions_backlog.set(count)
    numbers.reactions_age.set(_age_s(now, [oldest]))
    payouts = (await conn.execute(_PAYOUTS, {"most": MOST})).all()
    counts = dict.fromkeys(("requested", "submitted", "unknown"), 0) | {row[0]: row[1] for row in payouts}
    numbers.payouts.replace(((state,), count) for state, count in counts.items())
    numbers.payout_age.set(_age_s(now, [row[2] for row in payouts]))


async def _read_server(conn: AsyncConnection, numbers: DatabaseNumbers) -> None:
    rows = (await conn.execute(_SERVER)).all()
    numbers.server_connections.replace(((row[0],), row[1]) for row in rows)
    numbers.oldest_transaction.set(max((row[2] or 0.0 for row in rows), default=0.0))


async def _read_budgets(services: Services, conn: AsyncConnection, numbers: DatabaseNumbers) -> None:
    keys = [
        (program_id, campaign_id)
        for program_id in services.programs.ids()
        for campaign_id in services.campaigns.of(program_id).budgeted
    ][:MOST_SERIES]
    if not keys:
        numbers.budget_used.replace(())
        return
    totals, left = await read_totals(conn, keys), await read_left(conn, keys)
    numbers.budget_used.replace(
        ((*key, of), used)
        for key in keys
        if key in totals and key in left
        for of, used in _used(totals[key], left[key])
    )


async def _read_stock(services: Services, conn: AsyncConnection, numbers: DatabaseNumbers) -> None:
    limited = {
        (program_id, reward.id): reward.stock
        for program_id in services.programs.ids()
        for reward in services.programs.versions(program_id)[-1].rewards
        if reward.stock is not None
    }
    left: list[tuple[tuple[str, str], float]] = []
    for program_id in sorted({program_id for program_id, _ in limited}):
        rewards = [reward for program, reward in limited if program == program_id]
        issued = await read_stock(conn, program_id, rewards)
        for reward in rewards:
            key = program_id, reward
            left.append((key, max(limited[key] - issued.get(key, 0), 0)))
    numbers.stock_left.replace(left)


async def _read_valkey(services: Services, numbers: DatabaseNumbers) -> None:
    with suppress(Unavailable):  # Its own loops are seen in health.
        numbers.valkey_memory.set(await services.gate.memory_bytes(), "state")
        numbers.valkey_memory.set(await services.doorbell.memory_bytes(), "queue")
        numbers.queue_jobs.set(await services.doorbell.count_jobs())


def _used(total: Left, left: Left) -> Sequence[tuple[str, float]]:
    pairs = (("points", total.points, left.points), ("count", total.count, left.count))
    return [
        (of, 1 - rest / limit if limit else 1.0)
        for of, limit, rest in pairs
        if limit is not None and rest is not None
    ]


def _age_s(now: datetime, times: Sequence[datetime | None]) -> float:
    """Return how long ago the oldest of these was; 0 where there is none, or none is past."""
    known = [at for at in times if at is not None]
    return max((now - min(known)).total_seconds(), 0.0) if known else 0.0
