"""Slots that credits have used: the database's record, which the gate is loaded from."""

from collections.abc import Sequence
from datetime import date, datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.calendar import WindowKind
from engage.domain.earning.limits import WindowSlot
from engage.domain.keys import MemberKey
from engage.schema.credits import credits
from engage.schema.rows import Batch

_WINDOWS = Batch("a", credits, "program_id", "member_id", "rule_id", kind="text", first_day="date")
_MEMBERS = Batch("k", credits, "program_id", "member_id")

_USED = text(f"""
WITH a AS MATERIALIZED (SELECT * FROM {_WINDOWS})
SELECT a.program_id, a.member_id, a.rule_id, a.kind, a.first_day, c.day_slot
FROM a
JOIN balances b USING (program_id, member_id)
JOIN stored_credits c ON c.account = b.account AND c.of_day = a.first_day AND c.rule_id = a.rule_id
WHERE a.kind = 'day'
UNION ALL
SELECT a.program_id, a.member_id, a.rule_id, a.kind, a.first_day, c.month_slot
FROM a
JOIN balances b USING (program_id, member_id)
JOIN stored_credits c ON c.account = b.account AND c.of_month = a.first_day AND c.rule_id = a.rule_id
WHERE a.kind = 'month'
""")  # noqa: S608

_ACTIVE = text(f"""
SELECT k.program_id, k.member_id FROM {_MEMBERS} JOIN balances b USING (program_id, member_id)
WHERE EXISTS (SELECT FROM stored_credits c WHERE c.account = b.account AND c.activity_at >= :since)
""")  # noqa: S608


class WindowQuery(msgspec.Struct, frozen=True):
    """A member, a rule and a window of one of its limits."""

    program_id: str
    member_id: str
    rule_id: str
    kind: WindowKind
    first_day: date


def query_of(member: MemberKey, slot: WindowSlot) -> WindowQuery:
    """The query for the used slots of the window of `slot`."""
    return WindowQuery(*member, slot.rule_id, slot.window.kind, slot.window.first_day)


async def read_used_slots(
    conn: AsyncConnection, queries: Sequence[WindowQuery]
) -> dict[WindowQuery, list[int]]:
    """Read the numbers of the used slots of each window; unused windows are absent."""
    if not queries:
        return {}
    used: dict[WindowQuery, list[int]] = {}
    rows = await conn.execute(_USED, _WINDOWS.of(map(msgspec.structs.astuple, queries)))
    for *query, number in rows:
        used.setdefault(WindowQuery(*query), []).append(number)
    return used


async def read_active_members(
    conn: AsyncConnection, members: Sequence[MemberKey], since: datetime
) -> set[MemberKey]:
    """Read which of these members earned something at `since` or later."""
    rows = await conn.execute(_ACTIVE, _MEMBERS.of(members) | {"since": since})
    return {(program_id, member_id) for program_id, member_id in rows}
