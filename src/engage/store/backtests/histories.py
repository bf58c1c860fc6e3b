"""The credits of a range of members in a window, in batches: as they were granted.

A member who was merged has theirs where they were decided, in the old account. The survivor's copies, which
have the same ids, say only what is left of them.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.direct_sql import DirectStatement
from engage.domain.backtests.activities import StoredCredit
from engage.domain.backtests.trial import Window
from engage.domain.keys import ADJUSTMENT_RULE, OPENING_RULE, RESTORED_RULE, TRANSFER_RULE

# Credits of operators, imports and mergers are no activities.
_NO_ACTIVITIES: Final = (ADJUSTMENT_RULE, OPENING_RULE, TRANSFER_RULE, RESTORED_RULE)

_KEPT: Final = "CASE WHEN c.state = 'reversed' THEN 0 ELSE c.points - c.taken_back END"

# A trace is as long as the order that it explains, so it is only read where the trial is about the rule.
_IS_ASKED: Final = "c.beside IS NULL AND c.rule_id = ANY(CAST(:rules AS text[]))"

# In the order of the members, so that each batch reads on from where the last one ended.
_READ = DirectStatement(
    text(f"""
SELECT c.member_id, c.beside, c.id, c.source_key, c.rule_id, c.points, {_KEPT} AS kept, c.campaign,
       c.reference, c.activity_at, c.accepted_at, c.program_version,
       CASE WHEN {_IS_ASKED} THEN c.why ->> 'zone' ELSE '' END,
       CASE WHEN {_IS_ASKED} THEN c.why -> 'activity' ->> 'activity' = 'order' ELSE false END,
       CASE WHEN {_IS_ASKED} THEN CAST(c.why -> 'activity' AS text) END
FROM credits c
WHERE c.program_id = :program_id AND (c.member_id, c.id) > (CAST(:member_id AS text), CAST(:id AS uuid))
  AND c.member_id >= CAST(:member_id AS text) AND c.member_id <= :until
  AND c.activity_at >= :start AND c.activity_at < :end AND c.accepted_at <= :known
  AND c.unit = 'points' AND c.points > 0 AND c.rule_id <> ALL(CAST(:no_activities AS text[]))
ORDER BY c.member_id, c.id LIMIT :limit
""")  # noqa: S608  # Constants.
)

_REDUCED = DirectStatement(
    text("""
SELECT r.credit_id, sum(r.points) FROM reductions r
WHERE r.program_id = :program_id AND r.member_id = ANY(CAST(:member_ids AS text[])) GROUP BY r.credit_id
""")
)

_MEMBERS = DirectStatement(
    text("""
SELECT m.member_id, m.country, m.joined_at, m.merged_into FROM members m
WHERE m.program_id = :program_id AND m.member_id = ANY(CAST(:member_ids AS text[])) AND m.erased_at IS NULL
""")
)

_COPIES = DirectStatement(
    text(f"""
SELECT c.id, {_KEPT}
FROM members m JOIN credits c ON c.program_id = m.program_id AND c.member_id = m.merged_into
WHERE m.program_id = :program_id AND m.member_id = ANY(CAST(:member_ids AS text[]))
  AND EXISTS (
      SELECT FROM credits o
      WHERE o.program_id = c.program_id AND o.member_id = m.member_id AND o.id = c.id
  )
""")  # noqa: S608  # Constants.
)

_FORMER = DirectStatement(
    text("""
SELECT m.member_id, m.merged_into FROM members m
WHERE m.program_id = :program_id AND m.merged_into = ANY(CAST(:member_ids AS text[]))
""")
)


class StoredRow(Struct, frozen=True):
    """A base credit, or one that a boost added (`beside`)."""

    member_id: str
    beside: str | None
    credit: StoredCredit


class StoredMember(Struct, frozen=True):
    """A member, or a former one who was merged into another."""

    member_id: str
    country: str
    joined_at: datetime
    merged_into: str | None


async def read_credits(
    conn: AsyncConnection,
    program_id: str,
    window: Window,
    *,
    after: tuple[str, UUID],
    until: str,
    rules: Collection[str],
    limit: int,
) -> list[StoredRow]:
    """Read the credits after one, in the order of members. `points` are less what pending ones lost since."""
    rows = await _READ.fetch(
        conn,
        {
            "program_id": program_id,
            "member_id": after[0],
            "id": after[1],
            "until": until,
            "start": window.start,
            "end": window.end,
            "known": window.known,
            "rules": list(rules),
            "no_activities": list(_NO_ACTIVITIES),
            "limit": limit,
        },
    )
    return [StoredRow(row[0], row[1], StoredCredit(*row[2:])) for row in rows]


async def read_reductions(
    conn: AsyncConnection, program_id: str, member_ids: Sequence[str]
) -> Mapping[UUID, int]:
    """Read by how much credits of members shrank while they were pending."""
    return await _pairs(conn, _REDUCED, program_id, member_ids)


async def read_members(
    conn: AsyncConnection, program_id: str, member_ids: Sequence[str]
) -> dict[str, StoredMember]:
    """Read members and former ones; those who were erased are absent."""
    rows = await _MEMBERS.fetch(conn, {"program_id": program_id, "member_ids": list(member_ids)})
    return {row[0]: StoredMember(*row) for row in rows}


async def read_copies(conn: AsyncConnection, program_id: str, former: Sequence[str]) -> Mapping[UUID, int]:
    """Read the credits of former members that went on in another account, and what is kept of them there."""
    return await _pairs(conn, _COPIES, program_id, former)


async def read_former(conn: AsyncConnection, program_id: str, member_ids: Sequence[str]) -> dict[str, str]:
    """Read the former members who were merged into these, each with the survivor."""
    rows = await _FORMER.fetch(conn, {"program_id": program_id, "member_ids": list(member_ids)})
    return {row[0]: row[1] for row in rows}


async def _pairs(
    conn: AsyncConnection, statement: DirectStatement, program_id: str, member_ids: Sequence[str]
) -> dict[Any, int]:
    rows = await statement.fetch(conn, {"program_id": program_id, "member_ids": list(member_ids)})
    return {key: int(value) for key, value in rows}
