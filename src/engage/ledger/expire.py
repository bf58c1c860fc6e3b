"""Bulk expiration: lots whose time has ended expire, those of many members in one statement.

Any number of workers may do it at once: each takes members whose balance no other transaction holds, and
waits for none. When a member spends at that moment, `engage.ledger.accounts` expires their lots.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.ledger.balances import OutboxRow
from engage.schema.balances import balances
from engage.schema.rows import Batch
from engage.schema.time import NOW, is_due

LOTS_PER_BATCH = 1_000


class LockedBalance(NamedTuple):
    """A member's balance, which is locked."""

    program_id: str
    member_id: str
    account: int
    active: int
    version: int


_MEMBERS = Batch("k", balances, *LockedBalance._fields)

_END = "coalesce(c.lot_ends_at, c.expires_at)"

_LOCK = text(f"""
WITH locked AS MATERIALIZED (
    SELECT b.program_id, b.member_id, b.account, b.active, b.version
    FROM stored_credits c JOIN balances b USING (account)
    WHERE c.remaining > 0 AND {is_due(_END)}
    ORDER BY {_END}
    LIMIT :batch
    FOR UPDATE OF b SKIP LOCKED
)
SELECT program_id, member_id, account, active, version, count(*)
FROM locked GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2
""")  # noqa: S608  # Names of the schema, here and below.

# A separate statement: it sees what the transaction that held a balance before has done to the lots. The
# balances come as parameters: joining the ended lots to them would be slow.
_EXPIRE = text(f"""
WITH ended AS MATERIALIZED (
    UPDATE stored_credits c SET remaining = 0, expired = coalesce(c.expired, 0) + c.remaining
    FROM {_MEMBERS}
    WHERE c.account = k.account AND c.remaining > 0 AND {is_due(_END)}
    RETURNING k.program_id, k.member_id, k.account, c.id, {_END} AS ends_at, c.active_at,
              old.remaining AS points, k.active, k.version
), written AS (
    INSERT INTO stored_entries (account, seq, kind, at, active_delta, house_account, house_delta,
                                balance_after, credit_id)
    SELECT account, version + row_number() OVER running, 'expiration',
           CASE WHEN :on_time THEN greatest(ends_at, active_at) ELSE {NOW} END,
           -points, 'expired', points, active - sum(points) OVER running, id
    FROM ended
    WINDOW running AS (PARTITION BY account ORDER BY ends_at, active_at, id)
), moved AS (
    UPDATE balances b SET active = b.active - s.points, version = b.version + s.entries
    FROM (
        SELECT program_id, member_id, sum(points) AS points, count(*) AS entries FROM ended GROUP BY 1, 2
    ) s
    WHERE b.program_id = s.program_id AND b.member_id = s.member_id
    RETURNING b.program_id, b.member_id, b.active, b.pending, b.held, b.debt, b.version, s.entries
), remembered AS (
    INSERT INTO outbox (id, written_at, cause, program_ids, member_ids)
    SELECT CAST(:outbox_id AS uuid), :written_at, CAST(:cause AS text),
           array_agg(program_id), array_agg(member_id)
    FROM moved HAVING count(*) > 0
)
SELECT program_id, member_id, active, pending, held, debt, version, entries FROM moved
""")  # noqa: S608

# Work of several due times can be done kind by kind, first all settlements and then all expirations, unless a
# member's points become active after others have ended, or pay a debt before more become active.
_NEXT_STOP = text(f"""
WITH coming AS MATERIALIZED (
    SELECT account, due_at, expires_at FROM stored_credits
    WHERE state = 'pending' AND unit IS NULL AND due_at <= :until AND due_at > :after
), ends AS (
    SELECT account, min(expires_at) AS first_end
    FROM (
        SELECT c.account, {_END} AS expires_at FROM stored_credits c
        WHERE c.remaining > 0 AND {_END} > :after AND {_END} < :until
        UNION ALL
        SELECT account, expires_at FROM coming WHERE expires_at < :until
    ) e
    GROUP BY 1
)
SELECT least(
    (
        -- Points that end at the instant at which others become active end after them.
        SELECT min(c.due_at) - interval '1 microsecond'
        FROM coming c JOIN ends e USING (account) WHERE c.due_at > e.first_end
    ),
    (SELECT min(c.due_at) FROM coming c JOIN balances b USING (account) WHERE b.debt > 0)
)
""")  # noqa: S608

_NEXT_END = text(f"SELECT min({_END}) FROM stored_credits c WHERE c.remaining > 0 AND {_END} > :after")  # noqa: S608


async def lock_expiring(
    conn: AsyncConnection,
    *,
    now: datetime,
    ahead: timedelta,
    on_time: bool = False,
    batch: int = LOTS_PER_BATCH,
) -> tuple[int, list[LockedBalance]]:
    """Lock the balances of members with lots that end by `now`, for up to `batch` lots, oldest end first.

    Balances that another transaction holds are skipped. Without `on_time` the lots have ended by the
    database's own clock plus `ahead` too. Returns (number of lots, balances).
    """
    rows = (await conn.execute(_LOCK, {"now": now, "ahead": ahead, "on_time": on_time, "batch": batch})).all()
    return sum(row[-1] for row in rows), [LockedBalance(*row[:-1]) for row in rows]


async def expire_lots(
    conn: AsyncConnection,
    members: Sequence[LockedBalance],
    outbox: OutboxRow,
    *,
    now: datetime,
    ahead: timedelta,
    on_time: bool = False,
) -> int:
    """Expire all lots of these members that end by `now`; the number of them. Fills the changes of `outbox`.

    Their balances are locked by this transaction. The lots end `now`, or each at its own time when the
    sandbox's clock passes over that (`on_time`).
    """
    values = _MEMBERS.of(members) | {"now": now, "ahead": ahead, "on_time": on_time}
    return outbox.fill(await conn.execute(_EXPIRE, values | outbox.parameters))


async def next_expiration(conn: AsyncConnection, *, after: datetime) -> datetime | None:
    """Read the first time later than `after` at which a lot ends."""
    end: datetime | None = (await conn.execute(_NEXT_END, {"after": after})).scalar()
    return end


async def next_stop(conn: AsyncConnection, *, after: datetime, until: datetime) -> datetime | None:
    """Read a time in (`after`, `until`] up to which all due credits can be settled first and then all ended
    lots expired, with the entries of each member in the order of their times; None for `until`.
    """
    stop: datetime | None = (await conn.execute(_NEXT_STOP, {"after": after, "until": until})).scalar()
    return stop
