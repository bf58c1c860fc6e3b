"""Settlement: credits that are due become active, a thousand at once.

Any number of workers may settle at once: each takes credits and balances that no other transaction holds, and
waits for nothing while it holds a credit. A balance that is in use all the time is waited for, but before any
credit is locked, and by one worker at a time: the others go on with the credits of other members.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.direct_sql import commits_each
from engage.ledger.balances import OutboxRow
from engage.schema.time import NOW, is_due

CREDITS_PER_BATCH = 1_000

_DUE = f"c.state = 'pending' AND c.unit IS NULL AND {is_due('c.due_at')}"

# The places of the locked credits in the table, as a text that goes back to the server as it came. No other
# transaction moves them while they are locked.
_LOCK = text(f"""
SELECT CAST(array_agg(place) AS text) FROM (
    SELECT c.ctid AS place FROM stored_credits c JOIN balances b USING (account)
    WHERE {_DUE}
    ORDER BY c.due_at
    LIMIT :batch
    FOR UPDATE OF c, b SKIP LOCKED
) due
""")  # noqa: S608  # Constants, here and below.

_WAIT = text(f"""
SELECT count(*) FROM (
    SELECT FROM balances b
    WHERE (SELECT pg_try_advisory_xact_lock(hashtextextended('settlement', 0)))
      AND b.account IN (SELECT c.account FROM stored_credits c WHERE {_DUE} ORDER BY c.due_at LIMIT :batch)
    ORDER BY b.program_id, b.member_id
    FOR UPDATE
) locked
""")  # noqa: S608

# A separate statement: it sees what the transactions that held credits and balances before have done to them.
#
# Every due account is in each of the joined sets, so a full join finds what an inner join would. The planner
# cannot make it a nested loop, which it would choose otherwise: it expects few places.
_SETTLE = text(f"""
WITH due AS MATERIALIZED (
    SELECT ctid AS place, account, id, points, due_at,
           greatest(CASE WHEN :on_time THEN due_at ELSE {NOW} END, accepted_at) AS active_at
    FROM stored_credits WHERE ctid = ANY(CAST(CAST(:places AS text) AS tid[]))
), sums AS MATERIALIZED (
    SELECT account, CAST(sum(points) AS bigint) AS points, count(*) AS entries,
           CAST(extract(epoch FROM max(active_at - due_at)) AS float8) AS lag_s
    FROM due GROUP BY 1
), moved AS (
    -- Debts are paid first.
    UPDATE balances b
        SET active = b.active + s.points - least(b.debt, s.points),
            debt = b.debt - least(b.debt, s.points),
            pending = b.pending - s.points,
            version = b.version + s.entries + CAST(b.debt > 0 AS int)
    FROM sums s WHERE b.account = s.account
    RETURNING b.account, b.program_id, b.member_id, new.active AS active, new.pending AS pending,
              new.held AS held, new.debt AS debt, new.version AS version, old.debt - new.debt AS recovered
), numbered AS MATERIALIZED (
    SELECT d.place, d.account, d.id, d.points, d.active_at, m.program_id, m.member_id, m.version, m.recovered,
           m.version - CAST(m.recovered > 0 AS int) - s.entries + row_number() OVER running AS seq,
           m.active + m.recovered - s.points + sum(d.points) OVER running AS balance_after,
           least(m.recovered, sum(d.points) OVER running)
               - least(m.recovered, sum(d.points) OVER running - d.points) AS recovered_of
    FROM due d
    FULL JOIN moved m USING (account) FULL JOIN sums s USING (account)
    WINDOW running AS (PARTITION BY d.account ORDER BY d.due_at, d.id)
), activated AS (
    UPDATE stored_credits c
    SET state = 'active', active_at = n.active_at, lot_seq = n.seq, remaining = n.points - n.recovered_of
    FROM numbered n
    WHERE c.ctid = n.place
), written AS (
    -- Of the kind 'earning', and 'issued', as null says.
    INSERT INTO stored_entries (account, seq, at, active_delta, house_delta, balance_after, credit_id)
    SELECT account, seq, active_at, points, -points, balance_after, id FROM numbered ORDER BY account
), recovered AS (
    INSERT INTO stored_entries (account, seq, kind, at, active_delta, debt_delta, balance_after)
    SELECT account, m.version, 'recovery', last.at, -m.recovered, -m.recovered, m.active
    FROM moved m
    JOIN (SELECT account, max(active_at) AS at FROM numbered GROUP BY 1) last USING (account)
    WHERE m.recovered > 0
), taken AS (
    INSERT INTO lot_moves (program_id, member_id, entry_seq, credit_id, at, active_delta)
    SELECT program_id, member_id, version, id, max(active_at) OVER (PARTITION BY account), -recovered_of
    FROM numbered WHERE recovered_of > 0
), remembered AS (
    INSERT INTO outbox (id, written_at, cause, program_ids, member_ids)
    SELECT CAST(:outbox_id AS uuid), :written_at, CAST(:cause AS text),
           array_agg(program_id), array_agg(member_id)
    FROM moved HAVING count(*) > 0
)
SELECT program_id, member_id, m.active, m.pending, m.held, m.debt, m.version, s.entries, s.lag_s
FROM moved m FULL JOIN sums s USING (account)
""")  # noqa: S608  # Constants.

_NEXT_DUE = text(
    "SELECT min(due_at) FROM stored_credits WHERE state = 'pending' AND unit IS NULL AND due_at > :after"
)

_DUE_TIMES = text("""
SELECT DISTINCT date_bin(:step, due_at - interval '1 microsecond', '2020-01-01Z') + :step
FROM stored_credits WHERE state = 'pending' AND unit IS NULL AND due_at > :after ORDER BY 1
""")

_IS_DUE = text(
    "SELECT EXISTS (SELECT FROM stored_credits WHERE state = 'pending' AND unit IS NULL AND due_at <= :now)"
)


class Settled(Struct, frozen=True):
    """The number of credits that became active; and by member the program, the largest lag in seconds, and
    the number of credits.
    """

    count: int
    lags: Sequence[tuple[str, float, int]]


NOTHING: Final = Settled(0, ())


async def settle_batch(
    conn: AsyncConnection,
    outbox: OutboxRow,
    *,
    now: datetime,
    ahead: timedelta,
    on_time: bool = False,
    batch: int = CREDITS_PER_BATCH,
    waits: bool = False,
) -> Settled:
    """Activate up to `batch` credits that are due at `now`. Fills the changes of `outbox`.

    Those that other transactions hold are skipped, and those of members whose balance is held, unless it
    `waits` for these members first. Nothing is done if another transaction waits already.

    They are active from `now`, or each from its own due time when the sandbox's clock passes over
    that (`on_time`); never from before they were accepted. Without `on_time` nothing is done that is not
    due by the database's own clock plus `ahead`, whatever `now` is.
    """
    assert not commits_each(conn), "the rows stay locked from one statement to the next"
    values = {"now": now, "ahead": ahead, "on_time": on_time}
    if waits and not (await conn.execute(_WAIT, values | {"batch": batch})).scalar():
        return NOTHING
    places = (await conn.execute(_LOCK, values | {"batch": batch})).scalar()
    if places is None:
        return NOTHING
    rows = (await conn.execute(_SETTLE, values | {"places": places} | outbox.parameters)).all()
    count = outbox.fill(row[:-1] for row in rows)
    return Settled(count, [(row[0], row[-1], row[-2]) for row in rows])


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
