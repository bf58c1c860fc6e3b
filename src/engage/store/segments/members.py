"""Stays of members in lists, for decisions: of many members at once, in one statement."""

from collections.abc import Collection
from datetime import datetime

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.direct_sql import DirectStatement


class Stay(Struct, frozen=True):
    """A member of a program in the list of one of its segments, at an instant."""

    program_id: str
    member_id: str
    segment_id: str
    at: datetime


# Of a member's stays in a list the last that began by then: one row of an index that has all that is asked.
_READ = DirectStatement(
    text("""
SELECT k.n
FROM unnest(
    CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:segment_ids AS text[]),
    CAST(:instants AS timestamptz[])
) WITH ORDINALITY AS k (program_id, member_id, segment_id, at, n)
CROSS JOIN LATERAL (
    SELECT m.until FROM segment_members m
    WHERE m.program_id = k.program_id AND m.member_id = k.member_id AND m.segment_id = k.segment_id
      AND m.since <= k.at
    ORDER BY m.since DESC LIMIT 1
) m
WHERE m.until IS NULL OR m.until > k.at
""")
)


async def read_stays(conn: AsyncConnection, asked: Collection[Stay]) -> set[Stay]:
    """Return those of the asked stays that are so. Members are named by the ids that they have now."""
    stays = list(asked)
    if not stays:
        return set()
    rows = await _READ.fetch(
        conn,
        {
            "program_ids": [stay.program_id for stay in stays],
            "member_ids": [stay.member_id for stay in stays],
            "segment_ids": [stay.segment_id for stay in stays],
            "instants": [stay.at for stay in stays],
        },
    )
    return {stays[n - 1] for (n,) in rows}
