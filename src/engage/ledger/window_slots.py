"""Slots that members have used in windows, under all rules: for many members at once."""

from collections.abc import Collection, Iterable
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.calendar import WindowKind
from engage.domain.keys import MemberKey
from engage.schema.credits import credits
from engage.schema.rows import Batch

_MEMBERS = Batch("k", credits, "program_id", "member_id")
_DAYS = "CAST(:days AS date[])"
_MONTHS = "CAST(:months AS date[])"

# Member by member, by key: joined at once, while the table is not analyzed, all credits are read.
_USED = text(f"""
WITH k AS MATERIALIZED (SELECT * FROM {_MEMBERS})
SELECT k.program_id, k.member_id, 'day', c.of_day, c.rule_id, c.day_slot
FROM k CROSS JOIN LATERAL (
    SELECT c.of_day, c.rule_id, c.day_slot FROM credits c
    WHERE c.program_id = k.program_id AND c.member_id = k.member_id AND c.of_day = ANY({_DAYS})
    OFFSET 0
) c
WHERE {_DAYS} <> '{{}}'
UNION ALL
SELECT k.program_id, k.member_id, 'month', c.of_month, c.rule_id, c.month_slot
FROM k CROSS JOIN LATERAL (
    SELECT c.of_month, c.rule_id, c.month_slot FROM credits c
    WHERE c.program_id = k.program_id AND c.member_id = k.member_id AND c.of_month = ANY({_MONTHS})
    OFFSET 0
) c
WHERE {_MONTHS} <> '{{}}'
""")  # noqa: S608  # Constants, and names of the schema.

# A day, or a month by its first day.
AnyWindow = tuple[WindowKind, date]

# The numbers of used slots.
UsedByRule = dict[tuple[AnyWindow, str], list[int]]


async def read_slots_by_rule(
    conn: AsyncConnection, members: Collection[MemberKey], windows: Iterable[AnyWindow]
) -> dict[MemberKey, UsedByRule]:
    """Read the slots that members have used in these windows; members without any are absent."""
    first_days: dict[WindowKind, list[date]] = {"day": [], "month": []}
    for kind, first_day in windows:
        first_days[kind].append(first_day)
    used: dict[MemberKey, UsedByRule] = {}
    if not any(first_days.values()):
        return used
    values = _MEMBERS.of(members) | {"days": first_days["day"], "months": first_days["month"]}
    for program_id, member_id, kind, first_day, rule_id, number in await conn.execute(_USED, values):
        of_member = used.setdefault((program_id, member_id), {})
        of_member.setdefault(((kind, first_day), rule_id), []).append(number)
    return used
