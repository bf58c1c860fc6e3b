"""Opening balances: credits that are active at once, many in one statement.

The unique source key decides: a member has one opening balance under each name, however often it is imported.
The points themselves are posted by `engage.ledger.accounts`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import OPENING_RULE, opening_key
from engage.schema.credits import credits
from engage.schema.rows import Batch


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


_CREDITS = Batch(
    "o",
    credits,
    *("program_id", "member_id", "id", "points", "program_version", "activity_at", "expires_at", "why"),
)
_MEMBERS = Batch("k", credits, "member_id")

_ADD = text(f"""
INSERT INTO stored_credits (account, id, points, program_version, activity_at, expires_at, why, source_key,
                            rule_id, state, accepted_at, due_at, active_at)
SELECT b.account, o.id, o.points, o.program_version, o.activity_at, o.expires_at, o.why, :source_key,
       :rule_id, 'active', :now, :now, :now
FROM {_CREDITS} JOIN balances b USING (program_id, member_id)
ORDER BY b.account
ON CONFLICT DO NOTHING
""")  # noqa: S608  # Names of the schema, here and below.

_READ = text(f"""
SELECT c.member_id, c.points
FROM {_MEMBERS}
JOIN credits c ON c.program_id = :program_id AND c.member_id = k.member_id AND c.source_key = :source_key
""")  # noqa: S608

_encode = msgspec.json.Encoder().encode


async def add_opening_credits(
    conn: AsyncConnection, new: Sequence[OpeningCredit], *, name: str, now: datetime
) -> bool:
    """Add opening balances, all or none. False when another transaction has meanwhile added one of them: the
    caller must roll back.
    """
    rows = [
        (
            *(credit.program_id, credit.member_id, credit.id, credit.points, credit.program_version),
            *(credit.activity_at, credit.expires_at, _encode(credit.why).decode()),
        )
        for credit in new
    ]
    values = {"source_key": opening_key(name), "rule_id": OPENING_RULE, "now": now}
    return (await conn.execute(_ADD, _CREDITS.of(rows) | values)).rowcount == len(new)


async def read_opening_points(
    conn: AsyncConnection, program_id: str, member_ids: Sequence[str], *, name: str
) -> dict[str, int]:
    """Read the points of the opening balances that these members have under this name."""
    members = _MEMBERS.of((member_id,) for member_id in member_ids)
    rows = await conn.execute(_READ, members | {"program_id": program_id, "source_key": opening_key(name)})
    return {row.member_id: row.points for row in rows}
