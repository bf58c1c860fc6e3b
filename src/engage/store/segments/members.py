"""Stays of members in lists, for decisions: of many members at once, in one statement."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.direct_sql import DirectStatement
from engage.store.members.joined_ids import joined, rows_of


class ListAt(NamedTuple):
    """The list of a segment at an instant."""

    program_id: str
    segment_id: str
    at: datetime


# Of a member's stays in a list the last that began by then: one row of an index that has all that is asked.
STAYS: Final = f"""
SELECT l.n, l.member_id
FROM (
    SELECT k.n, k.member_id, (CAST(:list_programs AS text[]))[k.n] AS program_id,
           (CAST(:lists AS text[]))[k.n] AS segment_id, (CAST(:lists_at AS timestamptz[]))[k.n] AS at
    FROM {rows_of("listed", "numbers_listed")}
) l
CROSS JOIN LATERAL (
    SELECT m.until FROM segment_members m
    WHERE m.program_id = l.program_id AND m.member_id = l.member_id AND m.segment_id = l.segment_id
      AND m.since <= l.at
    ORDER BY m.since DESC LIMIT 1
) m
WHERE m.until IS NULL OR m.until > l.at
"""  # noqa: S608  # Constants.

_READ = DirectStatement(text(STAYS))


def parameters(asked: Mapping[ListAt, Collection[str]]) -> dict[str, Any]:
    """The parameters of STAYS."""
    members, numbers = joined(asked)
    return {
        "list_programs": [each.program_id for each in asked],
        "lists": [each.segment_id for each in asked],
        "lists_at": [each.at for each in asked],
        "listed": members,
        "numbers_listed": numbers,
    }


async def read_stays(
    conn: AsyncConnection, asked: Mapping[ListAt, Collection[str]]
) -> dict[ListAt, set[str]]:
    """Return those of the asked members who are in each list, by the ids that they have now."""
    found: dict[ListAt, set[str]] = {each: set() for each in asked}
    if asked:
        lists = list(asked)
        for n, member_id in await _READ.fetch(conn, parameters(asked)):
            found[lists[n - 1]].add(member_id)
    return found
