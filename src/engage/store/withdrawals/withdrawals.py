"""Withdrawals: read, claimed by whoever sends or asks, and written.

Whether one has ended is written only while the member's balance is locked. A claim takes rows that nobody
else holds and waits for nothing, so it needs no balance.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import TextClause

from engage.domain.withdrawals.checks import DayTotals
from engage.domain.withdrawals.withdrawal import Withdrawal

_COLUMNS = """program_id, member_id, id, hold_id, state, method, points, amount_minor, currency, phone,
       provider, provider_id, failure, requested_at, submitted_at, accepted_at, ask_at, asked, closed_at"""

_PAYEE = text("""
SELECT phone, phone_changed_at FROM members
WHERE program_id = :program_id AND member_id = :member_id AND erased_at IS NULL AND merged_into IS NULL
""")

_ADD = text(f"""
INSERT INTO withdrawals ({_COLUMNS})
VALUES (:program_id, :member_id, :id, :hold_id, :state, :method, :points, :amount_minor, :currency, :phone,
        :provider, :provider_id, :failure, :requested_at, :submitted_at, :accepted_at, :ask_at, :asked,
        :closed_at)
""")  # noqa: S608  # Nothing but columns.

_TAKEN = text("""
SELECT CAST(coalesce(sum(points), 0) AS bigint), count(*) FROM withdrawals
WHERE program_id = :program_id AND member_id = :member_id AND state <> 'failed'
  AND requested_at >= :since AND requested_at < :until
""")

_READ = text(f"SELECT {_COLUMNS} FROM withdrawals WHERE id = :id")  # noqa: S608  # As above.
_LOCK = text(f"SELECT {_COLUMNS} FROM withdrawals WHERE id = :id FOR UPDATE")  # noqa: S608  # As above.

_DUE = text(f"""
SELECT {_COLUMNS} FROM withdrawals
WHERE state IN ('requested', 'submitted', 'unknown') AND ask_at <= :now
ORDER BY ask_at LIMIT :limit
FOR UPDATE SKIP LOCKED
""")  # noqa: S608  # As above.

_OPEN = text(f"""
SELECT {_COLUMNS} FROM withdrawals
WHERE state IN ('submitted', 'unknown') AND ask_at > :now AND id > :after
ORDER BY id LIMIT :limit
FOR UPDATE SKIP LOCKED
""")  # noqa: S608  # As above.

_WRITE = text("""
UPDATE withdrawals w
SET state = u.state, provider = u.provider, provider_id = u.provider_id, failure = u.failure,
    submitted_at = u.submitted_at, accepted_at = u.accepted_at, ask_at = u.ask_at, asked = u.asked,
    closed_at = u.closed_at
FROM unnest(
    CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:ids AS uuid[]), CAST(:states AS text[]),
    CAST(:providers AS text[]), CAST(:provider_ids AS text[]), CAST(:failures AS text[]),
    CAST(:submitted_ats AS timestamptz[]), CAST(:accepted_ats AS timestamptz[]),
    CAST(:ask_ats AS timestamptz[]), CAST(:asked AS int[]), CAST(:closed_ats AS timestamptz[])
) AS u (program_id, member_id, id, state, provider, provider_id, failure, submitted_at, accepted_at, ask_at,
        asked, closed_at)
WHERE w.program_id = u.program_id AND w.member_id = u.member_id AND w.id = u.id
""")

_NEXT = text("""
SELECT min(ask_at) FROM withdrawals
WHERE state IN ('requested', 'submitted', 'unknown') AND ask_at > :after
""")

# What has not been compared; and of what ended lately, what was different or had never arrived, if that was
# found a while ago: it may have changed.
_UNCOMPARED = text(f"""
SELECT {_COLUMNS} FROM withdrawals
WHERE provider = :provider AND closed_at IS NOT NULL AND phone IS NOT NULL
  AND (compared_at IS NULL OR (closed_at >= :since AND compared_at < :again_before
                               AND (difference IS NOT NULL OR failure = 'never_heard')))
ORDER BY closed_at, id LIMIT :limit
""")  # noqa: S608  # As above.

_COMPARED = text("""
UPDATE withdrawals w SET compared_at = :now, difference = u.difference
FROM unnest(
    CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:ids AS uuid[]),
    CAST(:differences AS text[])
) AS u (program_id, member_id, id, difference)
WHERE w.program_id = u.program_id AND w.member_id = u.member_id AND w.id = u.id
""")

_DIFFERENT = text(f"""
SELECT {_COLUMNS}, difference FROM withdrawals
WHERE provider IS NOT NULL AND closed_at >= :since AND difference IS NOT NULL
ORDER BY closed_at, id LIMIT :limit
""")  # noqa: S608  # As above.

_OVERDUE = text(f"""
SELECT {_COLUMNS} FROM withdrawals
WHERE state IN ('requested', 'submitted', 'unknown') AND ask_at IS NOT NULL AND requested_at < :before
ORDER BY requested_at, id LIMIT :limit
""")  # noqa: S608  # As above.


async def read_payee(
    conn: AsyncConnection, program_id: str, member_id: str
) -> tuple[str | None, datetime | None] | None:
    """(phone as it was registered, when it last changed); None where there is no such member any more."""
    found = await conn.execute(_PAYEE, {"program_id": program_id, "member_id": member_id})
    row = found.one_or_none()
    return None if row is None else (row.phone, row.phone_changed_at)


async def add_withdrawal(conn: AsyncConnection, withdrawal: Withdrawal) -> None:
    """While the member's balance is locked."""
    await conn.execute(_ADD, {name: getattr(withdrawal, name) for name in withdrawal.__struct_fields__})


async def read_day_totals(
    conn: AsyncConnection, program_id: str, member_id: str, *, since: datetime, until: datetime
) -> DayTotals:
    """What was asked for in [since, until) and has not failed."""
    values = {"program_id": program_id, "member_id": member_id, "since": since, "until": until}
    return DayTotals(*(await conn.execute(_TAKEN, values)).one())


async def read_withdrawal(conn: AsyncConnection, id_: UUID) -> Withdrawal | None:
    """Without a lock."""
    return next(iter(await _select(conn, _READ, id=id_)), None)


async def lock_withdrawal(conn: AsyncConnection, id_: UUID) -> Withdrawal | None:
    """As it is now, for whoever has locked the member's balance."""
    return next(iter(await _select(conn, _LOCK, id=id_)), None)


async def lock_due(conn: AsyncConnection, *, now: datetime, limit: int) -> list[Withdrawal]:
    """Those that are to be sent or asked about, and that nobody else holds, the longest due first."""
    return await _select(conn, _DUE, now=now, limit=limit)


async def lock_open(conn: AsyncConnection, *, now: datetime, after: UUID, limit: int) -> list[Withdrawal]:
    """Those that a provider has or may have and that are not due yet, in the order of their ids."""
    return await _select(conn, _OPEN, now=now, after=after, limit=limit)


async def write_withdrawals(conn: AsyncConnection, withdrawals: Sequence[Withdrawal]) -> None:
    """What can change of them."""
    await conn.execute(
        _WRITE,
        {
            "program_ids": [w.program_id for w in withdrawals],
            "member_ids": [w.member_id for w in withdrawals],
            "ids": [w.id for w in withdrawals],
            "states": [w.state for w in withdrawals],
            "providers": [w.provider for w in withdrawals],
            "provider_ids": [w.provider_id for w in withdrawals],
            "failures": [w.failure for w in withdrawals],
            "submitted_ats": [w.submitted_at for w in withdrawals],
            "accepted_ats": [w.accepted_at for w in withdrawals],
            "ask_ats": [w.ask_at for w in withdrawals],
            "asked": [w.asked for w in withdrawals],
            "closed_ats": [w.closed_at for w in withdrawals],
        },
    )


async def next_payout(conn: AsyncConnection, *, after: datetime) -> datetime | None:
    """The first instant later than `after` at which one is to be sent or asked about."""
    found: datetime | None = (await conn.execute(_NEXT, {"after": after})).scalar()
    return found


async def read_uncompared(
    conn: AsyncConnection,
    provider: str,
    *,
    since: datetime,
    again_before: datetime,
    limit: int,
) -> list[Withdrawal]:
    """Those that have ended and are to be compared with what the provider has: each once, and those that
    ended since `since` and were different or had never arrived again, unless it was done at `again_before`.
    """
    return await _select(
        conn, _UNCOMPARED, provider=provider, since=since, again_before=again_before, limit=limit
    )


async def write_compared(
    conn: AsyncConnection, compared: Sequence[tuple[Withdrawal, str | None]], *, now: datetime
) -> None:
    """Each with what is different, or None."""
    await conn.execute(
        _COMPARED,
        {
            "program_ids": [w.program_id for w, _ in compared],
            "member_ids": [w.member_id for w, _ in compared],
            "ids": [w.id for w, _ in compared],
            "differences": [difference for _, difference in compared],
            "now": now,
        },
    )


async def read_different(
    conn: AsyncConnection, *, since: datetime, limit: int
) -> list[tuple[Withdrawal, str]]:
    """Those that ended since then and were different when they were last compared."""
    rows = await conn.execute(_DIFFERENT, {"since": since, "limit": limit})
    return [(_withdrawal(row[:-1]), row[-1]) for row in rows]


async def read_overdue(conn: AsyncConnection, *, before: datetime, limit: int) -> list[Withdrawal]:
    """Those asked for before then that a provider has not brought to an end."""
    return await _select(conn, _OVERDUE, before=before, limit=limit)


async def _select(conn: AsyncConnection, query: TextClause, **values: object) -> list[Withdrawal]:
    return [_withdrawal(row) for row in await conn.execute(query, values)]


def _withdrawal(row: Sequence[Any]) -> Withdrawal:
    return Withdrawal(**dict(zip(Withdrawal.__struct_fields__, row, strict=True)))
