"""Slots that credits have used: the database's record, which the gate is loaded from."""

from collections.abc import Sequence
from datetime import date, datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.earning.streak import Streak
from engage.domain.keys import MemberKey
from engage.schema.credits import credits
from engage.schema.rows import Batch

_RULES = Batch("a", credits, "program_id", "member_id", "rule_id")
_WINDOWS = Batch("a", credits, "program_id", "member_id", prefix="text")
_MEMBERS = Batch("k", credits, "program_id", "member_id")

# The keys of a rule lie between "rule:" and "rule;", the character after the colon.
_STREAKS = text(f"""
SELECT a.program_id, a.member_id, a.rule_id, c.source_key, c.why -> 'inputs' ->> 'zone',
       CAST(c.why -> 'inputs' ->> 'streak_days' AS int)
FROM {_RULES}
CROSS JOIN LATERAL (
    SELECT source_key, why FROM credits c
    WHERE c.program_id = a.program_id AND c.member_id = a.member_id
      AND c.source_key >= a.rule_id || ':' AND c.source_key < a.rule_id || ';'
    ORDER BY c.source_key DESC LIMIT 1
) c
""")  # noqa: S608  # Names of the schema, here and below.

_USED = text(f"""
SELECT a.program_id, a.member_id, a.prefix, c.source_key
FROM {_WINDOWS}
JOIN credits c
  ON c.program_id = a.program_id AND c.member_id = a.member_id
 AND c.source_key >= a.prefix AND c.source_key < rtrim(a.prefix, ':') || ';'
""")  # noqa: S608

_ACTIVE = text(f"""
SELECT k.program_id, k.member_id FROM {_MEMBERS}
WHERE EXISTS (
    SELECT FROM credits c
    WHERE c.program_id = k.program_id AND c.member_id = k.member_id AND c.activity_at >= :since
)
""")  # noqa: S608


class SlotQuery(msgspec.Struct, frozen=True):
    """A member and the id of a streak rule, or the prefix of a window's keys (`WindowSlot.prefix`)."""

    program_id: str
    member_id: str
    name: str


async def read_streaks(conn: AsyncConnection, queries: Sequence[SlotQuery]) -> dict[SlotQuery, Streak]:
    """Read the newest day of each streak, with its length then; members without a streak are absent."""
    if not queries:
        return {}
    rows = await conn.execute(_STREAKS, _RULES.of(map(msgspec.structs.astuple, queries)))
    return {
        SlotQuery(program_id, member_id, rule_id): Streak(
            date.fromisoformat(source_key.removeprefix(f"{rule_id}:")), days, zone
        )
        for program_id, member_id, rule_id, source_key, zone, days in rows
    }


async def read_used_slots(conn: AsyncConnection, queries: Sequence[SlotQuery]) -> dict[SlotQuery, list[int]]:
    """Read the numbers of the used slots of each window; unused windows are absent."""
    if not queries:
        return {}
    used: dict[SlotQuery, list[int]] = {}
    rows = await conn.execute(_USED, _WINDOWS.of(map(msgspec.structs.astuple, queries)))
    for program_id, member_id, prefix, source_key in rows:
        query = SlotQuery(program_id, member_id, prefix)
        used.setdefault(query, []).append(int(source_key.removeprefix(prefix)))
    return used


async def read_active_members(
    conn: AsyncConnection, members: Sequence[MemberKey], since: datetime
) -> set[MemberKey]:
    """Read which of these members earned something at `since` or later."""
    rows = await conn.execute(_ACTIVE, _MEMBERS.of(members) | {"since": since})
    return {(program_id, member_id) for program_id, member_id in rows}
