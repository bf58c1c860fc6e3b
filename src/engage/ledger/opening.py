"""Opening balances: credits that are active at once, many in one statement.

The unique source key decides: under one name a member has one opening balance, however often it is brought.
The points themselves are posted by `engage.ledger.accounts`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

OPENING_RULE: Final = "opening_balance"  # Reserved: no rule of a program.


class OpeningCredit(msgspec.Struct, frozen=True, kw_only=True):
    """The id is made by the caller (UUIDv7). `activity_at` is when the points were earned elsewhere."""

    program_id: str
    member_id: str
    id: UUID
    points: int
    program_version: str
    activity_at: datetime
    expires_at: datetime | None
    why: dict[str, Any]


_ADD = text("""
INSERT INTO credits (program_id, member_id, id, source_key, rule_id, program_version, points, state,
                     activity_at, accepted_at, due_at, active_at, expires_at, why)
SELECT o.program_id, o.member_id, o.id, :source_key, :rule_id, o.program_version, o.points, 'active',
       o.activity_at, :now, :now, :now, o.expires_at, o.why
FROM unnest(
    CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:ids AS uuid[]),
    CAST(:points AS bigint[]), CAST(:versions AS text[]), CAST(:activity_ats AS timestamptz[]),
    CAST(:expires_ats AS timestamptz[]), CAST(:whys AS jsonb[])
) AS o (program_id, member_id, id, points, program_version, activity_at, expires_at, why)
ORDER BY o.program_id COLLATE "C", o.member_id COLLATE "C"
ON CONFLICT DO NOTHING
""")

_OPENED = text("""
SELECT c.member_id, c.points
FROM unnest(CAST(:member_ids AS text[])) AS k (member_id)
JOIN credits c ON c.program_id = :program_id AND c.member_id = k.member_id AND c.source_key = :source_key
""")

_encode = msgspec.json.Encoder().encode


def source_key(name: str) -> str:
    return f"opening:{name}"


async def add_opening_credits(
    conn: AsyncConnection, credits: Sequence[OpeningCredit], *, name: str, now: datetime
) -> bool:
    """All of them. False when somebody has meanwhile brought one: the caller's transaction is then to be
    rolled back.
    """
    added = await conn.execute(
        _ADD,
        {
            "source_key": source_key(name),
            "rule_id": OPENING_RULE,
            "now": now,
            "program_ids": [c.program_id for c in credits],
            "member_ids": [c.member_id for c in credits],
            "ids": [c.id for c in credits],
            "points": [c.points for c in credits],
            "versions": [c.program_version for c in credits],
            "activity_ats": [c.activity_at for c in credits],
            "expires_ats": [c.expires_at for c in credits],
            "whys": [_encode(c.why).decode() for c in credits],
        },
    )
    return added.rowcount == len(credits)


async def read_opening_points(
    conn: AsyncConnection, program_id: str, member_ids: Sequence[str], *, name: str
) -> dict[str, int]:
    """The points of the opening balances that these members have under this name."""
    rows = await conn.execute(
        _OPENED, {"program_id": program_id, "member_ids": list(member_ids), "source_key": source_key(name)}
    )
    return {row.member_id: row.points for row in rows}
