"""Reviews of suspicious credits: points are released before their time, held again, and given back.

What a review takes is taken as anything else is (`engage.ledger.corrections`).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.earning.trace import TraceCode, step
from engage.domain.keys import RESTORED_RULE, CreditKey, MemberKey, restored_key
from engage.schema.credits import credits as table
from engage.schema.rows import Batch

_IDS = Batch("u", table, "program_id", "member_id", "id")
_HELD = Batch("u", table, "program_id", "member_id", "id", "due_at", hold="interval")
_RESTORED = Batch("u", table, "program_id", "member_id", "id", "points", new_id="uuid", source_key="text")

_RELEASED_STEP = msgspec.json.encode([step(TraceCode.RELEASED)]).decode()
_REJECTED_STEP = msgspec.json.encode([step(TraceCode.REJECTED)]).decode()

_OWN_WHY = "program_version = r.program_version, decision = NULL"

# A settlement that comes first is waited for, and then there is nothing to release.
_RELEASE = text(f"""
UPDATE stored_credits c
SET due_at = CASE WHEN c.due_at IS NOT NULL THEN
        greatest(c.due_at - u.hold, least(c.due_at, CAST(:now AS timestamptz)))
    END,
    why = jsonb_set(r.why, '{{trace}}', r.why -> 'trace' || CAST(:step AS jsonb)), {_OWN_WHY}
FROM {_HELD} JOIN credits r USING (program_id, member_id, id)
WHERE c.account = r.account AND c.id = r.id AND c.state = 'pending'
RETURNING r.program_id, r.member_id, c.id, old.due_at, new.due_at
""")  # noqa: S608  # Names of the schema, here and below.

# One that has got its due time since it was released is due so much later.
_HOLD_AGAIN = text(f"""
UPDATE stored_credits c
SET due_at = coalesce(u.due_at, c.due_at + u.hold),
    why = jsonb_set(r.why, '{{trace}}', (
        SELECT jsonb_agg(s ORDER BY n) FROM jsonb_array_elements(r.why -> 'trace') WITH ORDINALITY AS e (s, n)
        WHERE s ->> 0 <> '{TraceCode.RELEASED}'
    )), {_OWN_WHY}
FROM {_HELD} JOIN credits r USING (program_id, member_id, id)
WHERE c.account = r.account AND c.id = r.id AND c.state = 'pending'
RETURNING c.due_at
""")  # noqa: S608

_ADD_STEP = text(f"""
UPDATE stored_credits c
SET why = jsonb_set(r.why, '{{trace}}', r.why -> 'trace' || CAST(:step AS jsonb)), {_OWN_WHY}
FROM {_IDS} JOIN credits r USING (program_id, member_id, id)
WHERE c.account = r.account AND c.id = r.id
""")  # noqa: S608

# The credit that was taken is in the member's account, or was left in that of an account merged since.
_RESTORE = text(f"""
INSERT INTO stored_credits (account, id, source_key, rule_id, program_version, points, unit, state,
                            activity_at, accepted_at, due_at, expires_at, why)
SELECT b.account, u.new_id, u.source_key, '{RESTORED_RULE}', o.program_version, u.points,
       nullif(o.unit, 'points'), 'pending', o.activity_at, :now, d.due_at,
       CASE WHEN o.expires_at IS NOT NULL THEN
           greatest(o.expires_at, d.due_at + CAST(:grace AS interval))
       END,
       jsonb_set(o.why, '{{trace}}', o.why -> 'trace' || jsonb_build_array(
           jsonb_build_array('{TraceCode.RESTORED}', jsonb_build_object('credit', u.id))
       ))
FROM {_RESTORED}
JOIN balances b USING (program_id, member_id)
CROSS JOIN LATERAL (
    SELECT c.* FROM credits c
    WHERE c.program_id = u.program_id AND c.id = u.id AND (c.member_id = u.member_id OR c.member_id IN (
        SELECT m.member_id FROM members m
        WHERE m.program_id = u.program_id AND m.merged_into = u.member_id
    ))
    ORDER BY (c.member_id = u.member_id) DESC, c.points DESC LIMIT 1
) o
CROSS JOIN LATERAL (
    SELECT greatest(coalesce(o.due_at, o.lapses_at), CAST(:now AS timestamptz)) AS due_at
) d
ORDER BY b.account, u.source_key COLLATE "C"
ON CONFLICT DO NOTHING
RETURNING id, points, unit IS NULL, due_at
""")  # noqa: S608


class HeldAgain(msgspec.Struct, frozen=True):
    """A credit with the due time that it had while it was held; None where it waited for the shop's word."""

    key: CreditKey
    due_at: datetime | None
    hold: timedelta


class Restored(msgspec.Struct, frozen=True):
    """Points to give back that a rejection has taken of a credit, as a new one with the id `new_id`."""

    key: CreditKey
    points: int
    new_id: UUID

    @property
    def member(self) -> MemberKey:
        return self.key[:2]


async def release(
    conn: AsyncConnection, held: Sequence[HeldAgain], *, now: datetime
) -> dict[CreditKey, tuple[datetime | None, datetime | None]]:
    """Let pending credits be due as they would have been, but not before now. Returns those that were held,
    with their due times before and after.
    """
    rows = await conn.execute(_RELEASE, _HELD.of(map(_held_row, held)) | {"now": now, "step": _RELEASED_STEP})
    return {(program, member, id_): (before, after) for program, member, id_, before, after in rows}


async def hold_again(conn: AsyncConnection, held: Sequence[HeldAgain]) -> None:
    """Give released credits the due times that they had before, those that are still pending."""
    await conn.execute(_HOLD_AGAIN, _HELD.of(map(_held_row, held)))


async def trace_rejections(conn: AsyncConnection, rejected: Sequence[CreditKey]) -> None:
    """Add to the traces of credits that a review has taken them."""
    await conn.execute(_ADD_STEP, _IDS.of(rejected) | {"step": _REJECTED_STEP})


async def add_restored(
    conn: AsyncConnection, restored: Sequence[Restored], *, now: datetime, grace: timedelta
) -> dict[UUID, tuple[int, datetime]]:
    """Add the credits that give points back, pending, each once. Returns the points of each that was added,
    0 of status, and its due time; the caller adds them to the pending balances.
    """
    rows = await conn.execute(
        _RESTORE,
        _RESTORED.of((*each.key, each.points, each.new_id, restored_key(each.key[2])) for each in restored)
        | {"now": now, "grace": grace},
    )
    return {id_: (points if is_points else 0, due_at) for id_, points, is_points, due_at in rows}


def _held_row(held: HeldAgain) -> tuple[object, ...]:
    return (*held.key, held.due_at, held.hold)
