"""Levels that are known without a look at the facts: as they are stored, or those of members without facts.

Whatever changes the facts of a member notes it in the same transaction (`engage.store.member_changes`), and
the note goes when the levels are stored. So of a member without a note the stored levels are those of all
facts. All of it is read as of one instant.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from engage.domain.keys import MemberKey
from engage.store.members.joined_ids import joined, rows_of
from engage.store.tiers.levels import StoredTier

# With more notes than this, reading them costs more than it spares.
MOST_NOTES: Final = 200

# Of each member: the stored `levels`, none for a member without facts, NULL where only the facts can say.
# A LIMIT keeps a look at one member from being planned as a scan of all.
KNOWN_LEVELS: Final = f"""
WITH notes AS MATERIALIZED (
    SELECT n.program_id, n.member_ids FROM member_changes n
    WHERE n.program_id = ANY(CAST(:level_programs AS text[])) LIMIT {MOST_NOTES + 1}
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
END AS levels
FROM (
    SELECT k.member_id, (CAST(:level_programs AS text[]))[k.n] AS program_id
    FROM {rows_of("holders", "numbers_of_holders")}
) k
CROSS JOIN LATERAL (
    SELECT CAST(json_agg(json_build_array(
               s.group_id, s.level, s.since, s.value, s.keeps_until, s.counted_by)) AS text) AS levels
    FROM tiers s WHERE s.program_id = k.program_id AND s.member_id = k.member_id
) t
"""  # noqa: S608  # A constant.


class _Tier(StoredTier, frozen=True, array_like=True):
    pass


_tiers = msgspec.json.Decoder(list[_Tier])


def parameters(members: Iterable[MemberKey]) -> dict[str, Any]:
    """The parameters of KNOWN_LEVELS."""
    by_program: dict[str, list[str]] = {}
    for program_id, member_id in members:
        by_program.setdefault(program_id, []).append(member_id)
    holders, numbers = joined(by_program)
    return {"level_programs": list(by_program), "holders": holders, "numbers_of_holders": numbers}


def decode(levels: str) -> Sequence[StoredTier]:
    return _tiers.decode(levels)
