"""Levels that are known without a look at the facts: as they are stored, or those of members without facts.

Whatever changes the facts of a member notes it in the same transaction (`engage.store.member_changes`), and
the note goes when the levels are stored. So of a member without a note the stored levels are those of all
facts. All of it is read as of one instant.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.direct_sql import DirectStatement
from engage.domain.keys import MemberKey
from engage.store.tiers.levels import StoredTier

# With more notes than this, reading them costs more than it spares.
MOST_NOTES: Final = 200

# Of each member: the stored levels, none for a member without facts, NULL where only the facts can say.
# A LIMIT keeps a look at one member from being planned as a scan of all.
_READ = DirectStatement(
    text(f"""
WITH notes AS MATERIALIZED (
    SELECT n.program_id, n.member_ids FROM member_changes n
    WHERE n.program_id = ANY(CAST(:program_ids AS text[])) LIMIT {MOST_NOTES + 1}
)
SELECT k.program_id, k.member_id, CASE
    WHEN t.levels IS NULL THEN CASE WHEN
        (SELECT c.id FROM credits c
         WHERE c.program_id = k.program_id AND c.member_id = k.member_id LIMIT 1) IS NULL
        AND (SELECT o.order_id FROM orders o
             WHERE o.program_id = k.program_id AND o.member_id = k.member_id AND o.paid IS NOT NULL
             LIMIT 1) IS NULL
        AND (SELECT f.member_id FROM members f
             WHERE f.program_id = k.program_id AND f.merged_into = k.member_id LIMIT 1) IS NULL
        THEN '[]' END
    WHEN (SELECT count(*) FROM notes) > {MOST_NOTES} THEN NULL
    WHEN (k.program_id, k.member_id) IN (SELECT n.program_id, unnest(n.member_ids) FROM notes n) THEN NULL
    ELSE t.levels
END
FROM unnest(CAST(:program_ids AS text[]), CAST(:member_ids AS text[])) AS k (program_id, member_id)
CROSS JOIN LATERAL (
    SELECT CAST(json_agg(json_build_array(
               s.group_id, s.level, s.since, s.value, s.keeps_until, s.counted_by)) AS text) AS levels
    FROM tiers s WHERE s.program_id = k.program_id AND s.member_id = k.member_id
) t
""")  # noqa: S608  # A constant.
)


class _Tier(StoredTier, frozen=True, array_like=True):
    pass


_tiers = msgspec.json.Decoder(list[_Tier])


async def read_known_levels(
    conn: AsyncConnection, members: Sequence[MemberKey]
) -> dict[MemberKey, Sequence[StoredTier]]:
    """Read the levels of those members of whom they are known; none of those of whom no facts are."""
    values = {
        "program_ids": [program_id for program_id, _ in members],
        "member_ids": [member_id for _, member_id in members],
    }
    rows = await _READ.fetch(conn, values)
    return {
        (program_id, member_id): _tiers.decode(levels)
        for program_id, member_id, levels in rows
        if levels is not None
    }
