"""Decisions about suspicions, and the credits that they are about."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import CreditKey, MemberKey
from engage.schema.protection import DECIDING, held_credits, suspicion_decisions
from engage.schema.rows import Batch, columns, from_row
from engage.schema.time import NOW

Kind = Literal["requested", "released", "rejected"]
HeldState = Literal["open", "releasing", "released", "rejecting", "rejected", "restoring", "holding"]

# What is left of a suspicion, to look at it and to take back a decision.
KEPT: Final = timedelta(days=90)
DELETED_AT_ONCE: Final = 1_000

_KEYS = Batch("k", held_credits, "program_id", "member_id")
_DONE = Batch("u", held_credits, "program_id", "member_id", "credit_id", "state", "held_due_at", "taken")
_RESTORED = Batch("u", held_credits, "program_id", "member_id", "credit_id", new_id="uuid")

_LOCK = text("SELECT program_id FROM suspicions WHERE id = :id FOR UPDATE")

_SET = text("""
UPDATE held_credits SET state = :state, decision_id = :decision_id
WHERE suspicion_id = :id AND state = 'open'
""")

_UNDO = text("""
UPDATE held_credits SET
    state = CASE state WHEN 'rejected' THEN 'restoring' WHEN 'released' THEN 'holding' ELSE 'open' END,
    decision_id = CASE WHEN state IN ('rejected', 'released') THEN decision_id END
WHERE decision_id = :decision_id AND state IN ('releasing', 'released', 'rejecting', 'rejected')
""")

_LARGEST = text("""
SELECT coalesce(max(of_member.points), 0) FROM (
    SELECT sum(c.points - c.taken_back) AS points
    FROM held_credits h JOIN credits c ON (c.program_id, c.member_id, c.id)
        = (h.program_id, h.member_id, h.credit_id)
    WHERE h.suspicion_id = :id AND h.state = 'open' AND c.unit = 'points'
    GROUP BY h.program_id, h.member_id
) of_member
""")

_WAITING = text(f"SELECT DISTINCT suspicion_id FROM held_credits WHERE {DECIDING} LIMIT :limit")  # noqa: S608

_NEXT_DECIDED = text(f"""
SELECT min(coalesce(d.undone_at, d.made_at))
FROM (SELECT DISTINCT decision_id FROM held_credits WHERE {DECIDING}) h
JOIN suspicion_decisions d ON d.id = h.decision_id
WHERE coalesce(d.undone_at, d.made_at) > :after
""")  # noqa: S608

_MEMBERS = text(f"""
SELECT DISTINCT program_id, member_id FROM held_credits
WHERE suspicion_id = :id AND {DECIDING} ORDER BY 1, 2 LIMIT :limit
""")  # noqa: S608  # Names of the schema, here and below.

_LOCK_HELD = text(f"""
SELECT h.program_id, h.member_id, h.credit_id, h.state, h.hold_s, h.decision_id, h.held_due_at, h.taken
FROM {_KEYS} JOIN held_credits h USING (program_id, member_id)
WHERE h.suspicion_id = :id AND {DECIDING}
ORDER BY h.program_id, h.member_id, h.credit_id
FOR UPDATE OF h
""")  # noqa: S608

_FINISH = text(f"""
UPDATE held_credits h
SET state = u.state, held_due_at = u.held_due_at, taken = u.taken,
    decision_id = CASE WHEN u.state <> 'open' THEN h.decision_id END
FROM {_DONE}
WHERE (h.program_id, h.member_id, h.credit_id) = (u.program_id, u.member_id, u.credit_id)
""")  # noqa: S608

_RENAME = text(f"""
UPDATE held_credits h SET credit_id = u.new_id, state = 'open', decision_id = NULL, taken = NULL
FROM {_RESTORED}
WHERE (h.program_id, h.member_id, h.credit_id) = (u.program_id, u.member_id, u.credit_id)
""")  # noqa: S608

_OLD = f"newest_at <= {NOW} - CAST(:kept AS interval)"
_DELETE = text(f"""
WITH old AS MATERIALIZED (
    SELECT id FROM suspicions WHERE {_OLD} ORDER BY newest_at LIMIT :most FOR UPDATE SKIP LOCKED
), credits AS (
    DELETE FROM held_credits WHERE suspicion_id IN (SELECT id FROM old)
), decisions AS (
    DELETE FROM suspicion_decisions WHERE suspicion_id IN (SELECT id FROM old)
)
DELETE FROM suspicions WHERE id IN (SELECT id FROM old)
""")  # noqa: S608
_NEXT_DELETE = text("""
SELECT min(newest_at) + CAST(:kept AS interval) FROM suspicions
WHERE newest_at > CAST(:after AS timestamptz) - CAST(:kept AS interval)
""")


class Decision(Struct, frozen=True, kw_only=True):
    """A decision of an operator about a suspicion. One that is `requested` waits for a second operator, who
    then has made it. `undone_at`: it was taken back.
    """

    id: UUID
    suspicion_id: UUID
    program_id: str
    kind: Kind
    reason: str
    made_by: str
    made_by_name: str
    made_at: datetime
    requested_by: str | None = None
    requested_by_name: str | None = None
    undone_by_name: str | None = None
    undone_at: datetime | None = None
    undone_reason: str | None = None


class DecidedCredit(Struct, frozen=True, kw_only=True):
    """A held credit under lock, about which something was decided that is not done yet."""

    program_id: str
    member_id: str
    credit_id: UUID
    state: HeldState
    hold_s: int
    decision_id: UUID
    held_due_at: datetime | None
    taken: int | None

    @property
    def key(self) -> CreditKey:
        return self.program_id, self.member_id, self.credit_id

    @property
    def member(self) -> MemberKey:
        return self.program_id, self.member_id


async def lock_suspicion(conn: AsyncConnection, id_: UUID) -> str | None:
    """Lock a suspicion for a decision about it; its program, or None where there is none."""
    program_id: str | None = (await conn.execute(_LOCK, {"id": id_})).scalar()
    return program_id


async def read_decisions(conn: AsyncConnection, suspicion_ids: Sequence[UUID]) -> list[Decision]:
    """Read the decisions about suspicions, newest first."""
    query = (
        select(*columns(suspicion_decisions, Decision))
        .where(suspicion_decisions.c.suspicion_id.in_(suspicion_ids))
        .order_by(suspicion_decisions.c.id.desc())
    )
    return [from_row(Decision, row) for row in await conn.execute(query)]


async def add_decision(conn: AsyncConnection, decision: Decision) -> None:
    await conn.execute(insert(suspicion_decisions).values(asdict(decision)))


async def write_decision(conn: AsyncConnection, decision: Decision) -> None:
    """Write a decision whose suspicion is locked."""
    table = suspicion_decisions
    await conn.execute(update(table).where(table.c.id == decision.id).values(asdict(decision)))


async def decide_open(conn: AsyncConnection, decision: Decision) -> int:
    """Let a decision be about all open credits of its suspicion; how many."""
    state = "releasing" if decision.kind == "released" else "rejecting"
    values = {"id": decision.suspicion_id, "decision_id": decision.id, "state": state}
    return (await conn.execute(_SET, values)).rowcount


async def undo_decided(conn: AsyncConnection, decision: Decision) -> int:
    """Take back a decision about its credits; of how many."""
    return (await conn.execute(_UNDO, {"decision_id": decision.id})).rowcount


async def read_largest(conn: AsyncConnection, suspicion_id: UUID) -> int:
    """Read the most points that any one member has in the open credits of a suspicion."""
    return int((await conn.execute(_LARGEST, {"id": suspicion_id})).scalar_one())


async def read_decided(conn: AsyncConnection, *, limit: int) -> list[UUID]:
    """Read suspicions about which something was decided that is not done yet."""
    return list((await conn.execute(_WAITING, {"limit": limit})).scalars())


async def next_decided(conn: AsyncConnection, *, after: datetime) -> datetime | None:
    """Read the first time later than `after` of a decision that is not done yet."""
    at: datetime | None = (await conn.execute(_NEXT_DECIDED, {"after": after})).scalar()
    return at


async def read_members(conn: AsyncConnection, suspicion_id: UUID, *, limit: int) -> list[MemberKey]:
    """Read members of whose credits something was decided that is not done yet."""
    rows = await conn.execute(_MEMBERS, {"id": suspicion_id, "limit": limit})
    return [(row[0], row[1]) for row in rows]


async def lock_decided(
    conn: AsyncConnection, suspicion_id: UUID, members: Sequence[MemberKey]
) -> list[DecidedCredit]:
    """Lock what was decided of these members, who are locked, and is not done yet."""
    rows = await conn.execute(_LOCK_HELD, _KEYS.of(members) | {"id": suspicion_id})
    return [DecidedCredit(**row._mapping) for row in rows]


async def finish(conn: AsyncConnection, done: Sequence[DecidedCredit]) -> None:
    """Write the states of credits whose decision is done."""
    await conn.execute(
        _FINISH, _DONE.of((*each.key, each.state, each.held_due_at, each.taken) for each in done)
    )


async def rename_restored(conn: AsyncConnection, new_ids: Sequence[tuple[CreditKey, UUID]]) -> None:
    """Let restored credits go on under their new ids, open again."""
    await conn.execute(_RENAME, _RESTORED.of((*key, new_id) for key, new_id in new_ids))


async def delete_old(conn: AsyncConnection, *, now: datetime, ahead: timedelta) -> int:
    """Delete suspicions that nothing was added to for long, with all about them; how many."""
    values: dict[str, Any] = {"now": now, "ahead": ahead, "kept": KEPT, "most": DELETED_AT_ONCE}
    return (await conn.execute(_DELETE, values)).rowcount


async def next_delete(conn: AsyncConnection, *, after: datetime) -> datetime | None:
    """Read the first time later than `after` at which suspicions can be deleted."""
    at: datetime | None = (await conn.execute(_NEXT_DELETE, {"after": after, "kept": KEPT})).scalar()
    return at
