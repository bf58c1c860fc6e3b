"""Credits that wait for the shop's word: they become due when it comes, and lapse when it does not.

An activity and its confirmation may come in any order, and at once. Both write one row, the activity in the
transaction of its credits: of two at once, the second waits for the first and sees what it has done.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.earning.trace import TraceCode, step
from engage.domain.keys import MemberKey, ReferenceKey
from engage.ledger.corrections import LockedCredit
from engage.schema.balances import account_of
from engage.schema.confirmations import confirmations
from engage.schema.credits import credits
from engage.schema.rows import Batch
from engage.schema.time import is_due

CREDITS_PER_BATCH = 1_000

_MEETING = Batch("a", confirmations, "program_id", "member_id", "reference", "confirmed_at")
_REFERENCES = Batch("a", credits, "program_id", "member_id", "reference")
_DUE = Batch("u", credits, "program_id", "member_id", "id", "due_at", "expires_at")
_LAPSED = Batch("u", credits, "program_id", "member_id", "id")

_RELEASED = msgspec.json.encode([step(TraceCode.RELEASED)]).decode()

_WAITS = "c.state = 'pending' AND c.due_at IS NULL AND c.lapses_at IS NOT NULL"

_MEET = text(f"""
INSERT INTO confirmations AS c ({_MEETING.columns})
SELECT {_MEETING.columns} FROM {_MEETING} ORDER BY program_id, member_id, reference
ON CONFLICT (program_id, member_id, reference)
    DO UPDATE SET confirmed_at = least(c.confirmed_at, excluded.confirmed_at)
RETURNING program_id, member_id, reference, confirmed_at
""")  # noqa: S608  # Names of the schema, here and below.

# Not FOR UPDATE, which would wait for a correction (FOR KEY SHARE) that waits for the balance of a merger.
_LOCK_ALL = text(f"""
SELECT c.id FROM stored_credits c
WHERE c.account = {account_of(":program_id", ":member_id")} AND {_WAITS}
ORDER BY c.id FOR NO KEY UPDATE
""")  # noqa: S608

_MET = text(f"""
SELECT m.program_id, m.member_id, m.reference, m.confirmed_at
FROM credits c JOIN confirmations m USING (program_id, member_id, reference)
WHERE c.program_id = :program_id AND c.member_id = :member_id AND {_WAITS} AND m.confirmed_at IS NOT NULL
""")  # noqa: S608

# What decided about a credit is in its `why`, after a merger too, when it may go on as a transfer. One with a
# reference has its own.
_LOCK_WAITING = text(f"""
SELECT b.program_id, b.member_id, c.id, c.reference, c.why ->> 'rule', c.why ->> 'version', c.activity_at,
       c.lapses_at, c.why ->> 'zone',
       CASE WHEN NOT coalesce(c.why -> 'trace' @> '{_RELEASED}', false) THEN
           CAST(coalesce(c.why #> '{{inputs,base}}', c.why -> 'inputs') #>> '{{held,hold_s}}' AS int)
       END
FROM {_REFERENCES}
JOIN balances b USING (program_id, member_id)
JOIN stored_credits c USING (account, reference)
WHERE {_WAITS}
ORDER BY c.account, c.id
FOR NO KEY UPDATE OF c
""")  # noqa: S608

_SET_DUE = text(f"""
UPDATE stored_credits c SET due_at = u.due_at, expires_at = u.expires_at
FROM {_DUE} JOIN balances b USING (program_id, member_id)
WHERE c.account = b.account AND c.id = u.id
""")  # noqa: S608

_LOCK_LAPSING = text(f"""
SELECT b.program_id, b.member_id, c.id, coalesce(c.reference, '') AS reference, c.rule_id,
       coalesce(c.unit, 'points') AS unit, c.beside, c.state, c.points,
       coalesce(c.taken_back, 0) AS taken_back, c.due_at, c.expires_at
FROM stored_credits c JOIN balances b USING (account)
WHERE {_WAITS} AND {is_due("c.lapses_at")}
ORDER BY c.lapses_at
LIMIT :batch
FOR UPDATE OF c, b SKIP LOCKED
""")  # noqa: S608

_ADD_STEP = text(f"""
UPDATE stored_credits c
SET why = jsonb_set(r.why, '{{trace}}', r.why -> 'trace' || CAST(:step AS jsonb)),
    program_version = r.program_version, decision = NULL
FROM {_LAPSED} JOIN credits r USING (program_id, member_id, id)
WHERE c.account = r.account AND c.id = r.id
""")  # noqa: S608

_NEXT = text(f"SELECT min(c.lapses_at) FROM stored_credits c WHERE {_WAITS} AND c.lapses_at > :after")  # noqa: S608

_STEP = msgspec.json.encode([step(TraceCode.LAPSED)]).decode()


class WaitingCredit(msgspec.Struct, frozen=True):
    """A pending credit without a due time, which is locked. Its rule, version and zone are those that
    decided it. `hold_s`: it is due so much later after the confirmation.
    """

    program_id: str
    member_id: str
    id: UUID
    reference: str
    rule_id: str
    version: str
    activity_at: datetime
    lapses_at: datetime
    zone: str
    hold_s: int | None = None

    @property
    def key(self) -> ReferenceKey:
        return self.program_id, self.member_id, self.reference


class DueTime(msgspec.Struct, frozen=True):
    """The due time that a waiting credit gets, and the end of its points."""

    credit: WaitingCredit
    due_at: datetime
    expires_at: datetime | None


async def meet(
    conn: AsyncConnection, activities: Mapping[ReferenceKey, datetime | None]
) -> dict[ReferenceKey, datetime]:
    """Write that activities have come (None) or were confirmed; the times of those that are confirmed.

    Of two confirmations the earlier counts. Comes before credits are locked.
    """
    rows = await conn.execute(_MEET, _MEETING.of((*key, at) for key, at in activities.items()))
    return {(row[0], row[1], row[2]): row[3] for row in rows if row[3] is not None}


async def lock_all_waiting(conn: AsyncConnection, member: MemberKey) -> None:
    """Lock all waiting credits of a member, before balances are locked."""
    await conn.execute(_LOCK_ALL, {"program_id": member[0], "member_id": member[1]})


async def read_met(conn: AsyncConnection, member: MemberKey) -> dict[ReferenceKey, datetime]:
    """Read the confirmed activities of a member's waiting credits, with the times of their confirmations."""
    rows = await conn.execute(_MET, {"program_id": member[0], "member_id": member[1]})
    return {(row[0], row[1], row[2]): row[3] for row in rows}


async def lock_waiting(conn: AsyncConnection, references: Iterable[ReferenceKey]) -> list[WaitingCredit]:
    """Lock the credits of these activities that wait for a confirmation."""
    rows = await conn.execute(_LOCK_WAITING, _REFERENCES.of(references))
    return [WaitingCredit(*row) for row in rows]


async def set_due_times(conn: AsyncConnection, times: Sequence[DueTime]) -> None:
    """Give waiting credits, which are locked, their due times."""
    rows = [(t.credit.program_id, t.credit.member_id, t.credit.id, t.due_at, t.expires_at) for t in times]
    await conn.execute(_SET_DUE, _DUE.of(rows))


async def lock_lapsing(
    conn: AsyncConnection,
    *,
    now: datetime,
    ahead: timedelta,
    on_time: bool = False,
    batch: int = CREDITS_PER_BATCH,
) -> list[LockedCredit]:
    """Lock waiting credits whose time is over, with their balances: up to `batch` that no other transaction
    has locked.

    Without `on_time` it is over by the database's own clock plus `ahead` too.
    """
    values = {"now": now, "ahead": ahead, "on_time": on_time, "batch": batch}
    rows = await conn.execute(_LOCK_LAPSING, values)
    return [LockedCredit(**row._mapping) for row in rows]


async def trace_lapses(conn: AsyncConnection, lapsed: Sequence[LockedCredit]) -> None:
    """Add to the traces of credits that they have lapsed."""
    keys = [(*credit.key, credit.id) for credit in lapsed]
    await conn.execute(_ADD_STEP, _LAPSED.of(keys) | {"step": _STEP})


async def next_lapse(conn: AsyncConnection, *, after: datetime) -> datetime | None:
    """Read the first time later than `after` at which a waiting credit lapses."""
    at: datetime | None = (await conn.execute(_NEXT, {"after": after})).scalar()
    return at
