"""Corrections by operators: each has a reference, under which it is made once."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.account import EntryKind
from engage.domain.keys import MemberKey

ADJUSTMENT_RULE: Final = "adjustment"  # Reserved: no rule of a program.


class Adjustment(msgspec.Struct, frozen=True, kw_only=True):
    """`points` are signed; `operator` is the id of the key, `entry_seq` the entry that was posted."""

    program_id: str
    member_id: str
    reference: str
    points: int
    reason: str
    operator: str
    at: datetime
    entry_seq: int


class AdjustmentEntry(msgspec.Struct, frozen=True):
    """The entry of an adjustment."""

    seq: int
    kind: EntryKind
    points: int
    balance_after: int
    at: datetime
    credit_id: UUID | None


# Its own member, and those that were merged into them, share one sequence of references.
_FIND = text("""
SELECT a.program_id, a.member_id, a.reference, a.points, a.reason, a.operator, a.at, a.entry_seq
FROM adjustments a
WHERE a.program_id = :program_id AND a.reference = :reference
  AND (a.member_id = :member_id OR a.member_id IN (
      SELECT m.member_id FROM members m WHERE m.program_id = :program_id AND m.merged_into = :member_id))
""")

_ADD = text("""
INSERT INTO adjustments (program_id, member_id, reference, points, reason, operator, at, entry_seq)
VALUES (:program_id, :member_id, :reference, :points, :reason, :operator, :at, :entry_seq)
""")

_ADD_CREDIT = text("""
INSERT INTO credits (program_id, member_id, id, source_key, rule_id, program_version, points, state,
                     activity_at, accepted_at, due_at, active_at, expires_at, why)
VALUES (:program_id, :member_id, :id, :source_key, :rule_id, :version, :points, 'active',
        :now, :now, :now, :now, :expires_at, CAST(:why AS jsonb))
""")

_ENTRY = text("""
SELECT seq, kind, active_delta, balance_after, at, credit_id FROM entries
WHERE program_id = :program_id AND member_id = :member_id AND seq = :seq
""")


async def read_adjustment(conn: AsyncConnection, key: MemberKey, reference: str) -> Adjustment | None:
    """The one that has this reference. Certain while the member's balance is locked."""
    values = {"program_id": key[0], "member_id": key[1], "reference": reference}
    row = (await conn.execute(_FIND, values)).first()
    return None if row is None else Adjustment(**dict(zip(Adjustment.__struct_fields__, row, strict=True)))


async def add_adjustment(conn: AsyncConnection, adjustment: Adjustment) -> None:
    await conn.execute(_ADD, msgspec.structs.asdict(adjustment))


async def add_adjusting_credit(
    conn: AsyncConnection,
    key: MemberKey,
    id_: UUID,
    points: int,
    *,
    reference: str,
    version: str,
    why: dict[str, Any],
    now: datetime,
    expires_at: datetime | None,
) -> None:
    """A credit that is active at once. Nobody else uses its key, and the member's balance is locked."""
    await conn.execute(
        _ADD_CREDIT,
        {
            "program_id": key[0],
            "member_id": key[1],
            "id": id_,
            "source_key": f"{ADJUSTMENT_RULE}:{reference}",
            "rule_id": ADJUSTMENT_RULE,
            "version": version,
            "points": points,
            "now": now,
            "expires_at": expires_at,
            "why": msgspec.json.encode(why).decode(),
        },
    )


async def read_posted(conn: AsyncConnection, adjustment: Adjustment) -> AdjustmentEntry:
    values = {
        "program_id": adjustment.program_id,
        "member_id": adjustment.member_id,
        "seq": adjustment.entry_seq,
    }
    row: Sequence[Any] = (await conn.execute(_ENTRY, values)).one()
    return AdjustmentEntry(*row)
