"""Settlement: credits that are due become active, a thousand in one statement.

Any number of workers may settle at once: each takes rows that no other transaction holds. The order of locks
is credits, then balances in key order, as in `engage.ledger.accept`.
"""

from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.ledger.balances import OutboxRow
from engage.schema.time import NOW, is_due

CREDITS_PER_BATCH = 1_000

# Every due member is in each of the joined sets, so a full join finds what an inner join would. The planner
# cannot make it a nested loop, which it would choose otherwise: with statistics from a time when nothing was
# pending, it expects one row.
_SETTLE = text(f"""
WITH due AS MATERIALIZED (
    SELECT program_id, member_id, id, points, due_at, expires_at,
           greatest(CASE WHEN :on_time THEN due_at ELSE {NOW} END, accepted_at) AS active_at
    FROM credits
    WHERE state = 'pending' AND unit = 'points' AND {is_due("due_at")}
    ORDER BY due_at
    LIMIT :batch
    FOR UPDATE SKIP LOCKED
), activated AS (
    UPDATE credits c SET state = 'active', active_at = d.active_at
    FROM due d
    WHERE c.program_id = d.program_id AND c.member_id = d.member_id AND c.id = d.id
), sums AS MATERIALIZED (
    SELECT program_id, member_id, sum(points) AS points, count(*) AS entries FROM due GROUP BY 1, 2
), moved AS (
    -- There is a balance for every credit; inserting takes the rows in key order and finds each once.
    -- Debts are paid first.
    INSERT INTO balances AS b (program_id, member_id, active, version)
    SELECT program_id, member_id, points, entries FROM sums ORDER BY program_id, member_id
    ON CONFLICT (program_id, member_id) DO UPDATE
        SET active = b.active + excluded.active - least(b.debt, excluded.active),
            debt = b.debt - least(b.debt, excluded.active),
            pending = b.pending - excluded.active,
            version = b.version + excluded.version + CAST(b.debt > 0 AS int)
    RETURNING program_id, member_id, new.active AS active, new.pending AS pending, new.held AS held,
              new.debt AS debt, new.version AS version, coalesce(old.debt - new.debt, 0) AS recovered
), numbered AS MATERIALIZED (
    SELECT d.program_id, d.member_id, d.id, d.points, d.expires_at, d.active_at, m.version, m.recovered,
           m.version - CAST(m.recovered > 0 AS int) - s.entries + row_number() OVER running AS seq,
           m.active + m.recovered - s.points + sum(d.points) OVER running AS balance_after,
           least(m.recovered, sum(d.points) OVER running)
               - least(m.recovered, sum(d.points) OVER running - d.points) AS recovered_of
    FROM due d
    FULL JOIN moved m USING (program_id, member_id) FULL JOIN sums s USING (program_id, member_id)
    WINDOW running AS (PARTITION BY d.program_id, d.member_id ORDER BY d.due_at, d.id)
), written AS (
    INSERT INTO entries (program_id, member_id, seq, kind, at, active_delta, house_account, house_delta,
                         balance_after, credit_id)
    SELECT program_id, member_id, seq, 'earning', active_at, points, 'issued', -points, balance_after, id
    FROM numbered
), dated AS (
    INSERT INTO lots (program_id, member_id, credit_id, entry_seq, points, remaining, active_at, expires_at)
    SELECT program_id, member_id, id, seq, points, points - recovered_of, active_at, expires_at
    FROM numbered
), recovered AS (
    INSERT INTO entries (program_id, member_id, seq, kind, at, active_delta, debt_delta, balance_after)
    SELECT program_id, member_id, m.version, 'recovery', last.at, -m.recovered, -m.recovered, m.active
    FROM moved m
    JOIN (SELECT program_id, member_id, max(active_at) AS at FROM numbered GROUP BY 1, 2) last
        USING (program_id, member_id)
    WHERE m.recovered > 0
), taken AS (
    INSERT INTO lot_moves (program_id, member_id, entry_seq, credit_id, at, active_delta)
    SELECT program_id, member_id, version, id, max(active_at) OVER (PARTITION BY program_id, member_id),
           -recovered_of
    FROM numbered WHERE recovered_of > 0
), remembered AS (
    INSERT INTO outbox (id, written_at, cause, program_ids, member_ids)
    SELECT CAST(:outbox_id AS uuid), :written_at, CAST(:cause AS text),
           array_agg(program_id), array_agg(member_id)
    FROM moved HAVING count(*) > 0
)
SELECT program_id, member_id, m.active, m.pending, m.held, m.debt, m.version, s.entries
FROM moved m FULL JOIN sums s USING (program_id, member_id)
""")  # noqa: S608  # Constants.

_NEXT_DUE = text(
    "SELECT min(due_at) FROM credits WHERE state = 'pending' AND unit = 'points' AND due_at > :after"
)

_DUE_TIMES = text("""
SELECT DISTINCT date_bin(:step, due_at - interval '1 microsecond', '2020-01-01Z') + :step
FROM credits WHERE state = 'pending' AND unit = 'points' AND due_at > :after ORDER BY 1
""")

_IS_DUE = text(
    "SELECT EXISTS (SELECT FROM credits WHERE state = 'pending' AND unit = 'points' AND due_at <= :now)"
)


async def settle_batch(
    conn: AsyncConnection,
    outbox: OutboxRow,
    *,
    now: datetime,
    ahead: timedelta,
    on_time: bool = False,
    batch: int = CREDITS_PER_BATCH,
) -> int:
    """Activate up to `batch` credits that are due at `now`; the number of them. Fills the changes of
    `outbox`.

    They are active from `now`, or each from its own due time when the sandbox's clock passes over
    that (`on_time`); never from before they were accepted. Without `on_time` nothing is done that is not
    due by the database's own clock plus `ahead`, whatever `now` is.
    """
    values = {"now": now, "ahead": ahead, "batch": batch, "on_time": on_time}
    return outbox.fill(await conn.execute(_SETTLE, values | outbox.parameters))


async def next_settlement(conn: AsyncConnection, *, after: datetime) -> datetime | None:
    """Read the first due time of a pending credit that is later than `after`."""
    due: datetime | None = (await conn.execute(_NEXT_DUE, {"after": after})).scalar()
    return due


async def read_due_times(conn: AsyncConnection, *, after: datetime, step: timedelta) -> list[datetime]:
    """Read the due times of pending credits that are later than `after`, each rounded up to a whole step."""
    return [row[0] for row in await conn.execute(_DUE_TIMES, {"after": after, "step": step})]


async def is_credit_due(conn: AsyncConnection, *, now: datetime) -> bool:
    """Look for credits that are due at `now` and still pending, even if another worker is settling them."""
    due: bool = (await conn.execute(_IS_DUE, {"now": now})).scalar_one()
    return due
