"""Withdrawals: read, claimed by the worker that sends them or asks the provider, and written.

The end of a withdrawal is written only while the member's balance is locked. A claim skips rows that another
transaction holds and waits for nothing, so it needs no balance.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, and_, insert, or_, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import MemberKey
from engage.domain.withdrawals.checks import DayTotals
from engage.domain.withdrawals.withdrawal import Withdrawal
from engage.schema.rows import Batch, columns, from_row, select_list
from engage.schema.time import is_due
from engage.schema.withdrawals import withdrawals as table

_COLUMNS = select_list(Withdrawal, "w")

_CHANGED = Batch(
    "u",
    table,
    *("program_id", "member_id", "id", "state", "provider", "provider_id", "failure", "submitted_at"),
    *("accepted_at", "ask_at", "asked", "closed_at"),
)

# Of the member and of the number, each found through its own index.
_DAY_TOTALS = text("""
SELECT CAST(coalesce(max(points), 0) AS bigint), coalesce(max(withdrawals), 0) FROM (
    SELECT sum(points) AS points, count(*) AS withdrawals FROM withdrawals
    WHERE program_id = :program_id AND member_id = :member_id AND state <> 'failed'
      AND requested_at >= :since AND requested_at < :until
    UNION ALL
    SELECT sum(points), count(*) FROM withdrawals
    WHERE program_id = :program_id AND phone = :number AND state <> 'failed'
      AND requested_at >= :since AND requested_at < :until
) t
""")

_LOCK_NUMBER = text("SELECT pg_advisory_xact_lock(hashtextextended(CAST(:name AS text), 0))")

_DUE = text(f"""
SELECT {_COLUMNS} FROM withdrawals w
WHERE w.state IN ('requested', 'submitted', 'unknown') AND {is_due("w.ask_at")}
ORDER BY w.ask_at LIMIT :limit
FOR UPDATE SKIP LOCKED
""")  # noqa: S608  # Names of the schema, here and below.

_OPEN = text(f"""
SELECT {_COLUMNS} FROM withdrawals w
WHERE w.state IN ('submitted', 'unknown') AND w.ask_at > :now AND w.id > :after
ORDER BY w.id LIMIT :limit
FOR UPDATE SKIP LOCKED
""")  # noqa: S608

_WRITE = text(f"""
UPDATE withdrawals w
SET state = u.state, provider = u.provider, provider_id = u.provider_id, failure = u.failure,
    submitted_at = u.submitted_at, accepted_at = u.accepted_at, ask_at = u.ask_at, asked = u.asked,
    closed_at = u.closed_at
FROM {_CHANGED}
WHERE w.program_id = u.program_id AND w.member_id = u.member_id AND w.id = u.id
""")  # noqa: S608

# `waiting`: an operator can say how it went. `open`: it has not ended. `different`: its provider has it
# otherwise.
Which = Literal["waiting", "open", "different"]

# Where a withdrawal stands in a list: when it was requested, and its id.
Place = tuple[datetime, UUID]

_IS_OPEN = table.c.state.in_(("requested", "submitted", "unknown"))
_OF: Final[Mapping[Which, ColumnElement[bool]]] = {
    "waiting": and_(_IS_OPEN, or_(table.c.method == "cash", table.c.state == "unknown")),
    "open": _IS_OPEN,
    "different": and_(table.c.provider.is_not(None), table.c.difference.is_not(None)),
}

_NEXT = text("""
SELECT min(ask_at) FROM withdrawals
WHERE state IN ('requested', 'submitted', 'unknown') AND ask_at > :after
""")


async def add_withdrawal(conn: AsyncConnection, withdrawal: Withdrawal) -> None:
    """Add a withdrawal. The member's balance is locked."""
    await conn.execute(insert(table).values(msgspec.structs.asdict(withdrawal)))


async def read_day_totals(
    conn: AsyncConnection, key: MemberKey, number: str | None, *, since: datetime, until: datetime
) -> DayTotals:
    """Sum up what was requested in [since, until) and has not failed, by this member or to this number by any
    member, whichever is more. The member's balance is locked, and the number is locked until the transaction
    ends: it is the last lock of all.
    """
    values = {"program_id": key[0], "member_id": key[1], "number": number, "since": since, "until": until}
    if number is not None:
        await conn.execute(_LOCK_NUMBER, {"name": f"payee {key[0]} {number}"})
    return DayTotals(*(await conn.execute(_DAY_TOTALS, values)).one())


async def read_withdrawal(conn: AsyncConnection, id_: UUID) -> Withdrawal | None:
    """Read a withdrawal without a lock."""
    row = (await conn.execute(select(*columns(table, Withdrawal)).where(table.c.id == id_))).one_or_none()
    return None if row is None else from_row(Withdrawal, row)


class ComparedWithdrawal(Withdrawal, frozen=True, kw_only=True):
    """A withdrawal with what its provider has otherwise, as of when both were last compared."""

    compared_at: datetime | None
    difference: str | None


async def list_withdrawals(
    conn: AsyncConnection, program_ids: Sequence[str], which: Which, *, after: Place | None, limit: int
) -> list[ComparedWithdrawal]:
    """Read a page of the withdrawals of these programs, the longest requested first."""
    query = (
        select(*columns(table, ComparedWithdrawal))
        .where(table.c.program_id.in_(program_ids), _OF[which])
        .order_by(table.c.requested_at, table.c.id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(tuple_(table.c.requested_at, table.c.id) > after)
    return [from_row(ComparedWithdrawal, row) for row in await conn.execute(query)]


class ClosedWanted(Struct, frozen=True, kw_only=True):
    """Withdrawals that have ended: of a state, of a member, and requested in [since, until)."""

    state: Literal["settled", "failed"] | None = None
    member_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def list_closed(
    conn: AsyncConnection,
    program_ids: Sequence[str],
    wanted: ClosedWanted,
    *,
    before: UUID | None,
    limit: int,
) -> list[ComparedWithdrawal]:
    """Read a page of the withdrawals of these programs that have ended, the newest requested first."""
    c = table.c
    query = select(*columns(table, ComparedWithdrawal)).where(c.program_id.in_(program_ids), ~_IS_OPEN)
    if wanted.state is not None:
        query = query.where(c.state == wanted.state)
    if wanted.member_id is not None:
        query = query.where(c.member_id == wanted.member_id)
    if wanted.since is not None:
        query = query.where(c.requested_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(c.requested_at < wanted.until)
    if before is not None:
        query = query.where(c.id < before)
    rows = await conn.execute(query.order_by(c.id.desc()).limit(limit))
    return [from_row(ComparedWithdrawal, row) for row in rows]


async def read_compared(conn: AsyncConnection, id_: UUID) -> ComparedWithdrawal | None:
    """Read a withdrawal with its comparison, without a lock."""
    query = select(*columns(table, ComparedWithdrawal)).where(table.c.id == id_)
    row = (await conn.execute(query)).one_or_none()
    return None if row is None else from_row(ComparedWithdrawal, row)


async def lock_withdrawal(conn: AsyncConnection, id_: UUID) -> Withdrawal | None:
    """Lock a withdrawal whose member's balance is locked, and read it."""
    query = select(*columns(table, Withdrawal)).where(table.c.id == id_).with_for_update()
    row = (await conn.execute(query)).one_or_none()
    return None if row is None else from_row(Withdrawal, row)


async def lock_due(
    conn: AsyncConnection, *, now: datetime, ahead: timedelta, on_time: bool, limit: int
) -> list[Withdrawal]:
    """Claim withdrawals that are due to be sent or asked about, the longest due first.

    Without `on_time` they are due by the database's own clock plus `ahead` too.
    """
    values = {"now": now, "ahead": ahead, "on_time": on_time, "limit": limit}
    rows = await conn.execute(_DUE, values)
    return [from_row(Withdrawal, row) for row in rows]


async def lock_open(conn: AsyncConnection, *, now: datetime, after: UUID, limit: int) -> list[Withdrawal]:
    """Claim withdrawals that a provider has, or may have, and that are not due yet, in the order of
    their ids.
    """
    rows = await conn.execute(_OPEN, {"now": now, "after": after, "limit": limit})
    return [from_row(Withdrawal, row) for row in rows]


async def write_withdrawals(conn: AsyncConnection, withdrawals: Sequence[Withdrawal]) -> None:
    """Write what can change of withdrawals: the state, the provider's answers and the times."""
    await conn.execute(_WRITE, _CHANGED.of_structs(withdrawals))


async def next_payout(conn: AsyncConnection, *, after: datetime) -> datetime | None:
    """Read the first instant later than `after` at which a withdrawal is due to be sent or asked about."""
    due: datetime | None = (await conn.execute(_NEXT, {"after": after})).scalar()
    return due
