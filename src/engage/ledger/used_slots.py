"""What the database knows of slots: the truth that the gate is loaded from."""

from collections.abc import Sequence
from datetime import date, datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.earning.streak import Streak

# The keys of a rule lie between "rule:" and "rule;", the character after the colon.
_STREAKS = text("""
SELECT a.program_id, a.member_id, a.rule_id, c.source_key, c.why -> 'inputs' ->> 'zone',
       CAST(c.why -> 'inputs' ->> 'streak_days' AS int)
FROM unnest(CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:rule_ids AS text[]))
    AS a (program_id, member_id, rule_id)
CROSS JOIN LATERAL (
    SELECT source_key, why FROM credits c
    WHERE c.program_id = a.program_id AND c.member_id = a.member_id
      AND c.source_key >= a.rule_id || ':' AND c.source_key < a.rule_id || ';'
    ORDER BY c.source_key DESC LIMIT 1
) c
""")

_PLACES = text("""
SELECT a.program_id, a.member_id, a.prefix, c.source_key
FROM unnest(CAST(:program_ids AS text[]), CAST(:member_ids AS text[]), CAST(:prefixes AS text[]))
    AS a (program_id, member_id, prefix)
JOIN credits c
  ON c.program_id = a.program_id AND c.member_id = a.member_id
 AND c.source_key >= a.prefix AND c.source_key < rtrim(a.prefix, ':') || ';'
""")


class SlotQuery(msgspec.Struct, frozen=True):
    """What is asked for a member: a streak rule's id, or the key prefix of a window (`WindowSlot.prefix`)."""

    program_id: str
    member_id: str
    name: str


async def read_streaks(conn: AsyncConnection, asking: Sequence[SlotQuery]) -> dict[SlotQuery, Streak]:
    """The newest day of each streak, with its length then; absent where there is none."""
    if not asking:
        return {}
    rows = await conn.execute(_STREAKS, _columns(asking, "rule_ids"))
    return {
        SlotQuery(program_id, member_id, rule_id): Streak(
            date.fromisoformat(source_key.removeprefix(f"{rule_id}:")), days, zone
        )
        for program_id, member_id, rule_id, source_key, zone, days in rows
    }


async def read_used_slots(conn: AsyncConnection, asking: Sequence[SlotQuery]) -> dict[SlotQuery, list[int]]:
    """The used places of each window."""
    if not asking:
        return {}
    places: dict[SlotQuery, list[int]] = {}
    rows = await conn.execute(_PLACES, _columns(asking, "prefixes"))
    for program_id, member_id, prefix, source_key in rows:
        asked = SlotQuery(program_id, member_id, prefix)
        places.setdefault(asked, []).append(int(source_key.removeprefix(prefix)))
    return places


_ACTIVE = text("""
SELECT k.program_id, k.member_id
FROM unnest(CAST(:program_ids AS text[]), CAST(:member_ids AS text[])) AS k (program_id, member_id)
WHERE EXISTS (
    SELECT FROM credits c
    WHERE c.program_id = k.program_id AND c.member_id = k.member_id AND c.activity_at >= :since
)
""")


async def read_active_members(
    conn: AsyncConnection, members: Sequence[tuple[str, str]], since: datetime
) -> set[tuple[str, str]]:
    """Those of these (program, member) that earned something since then."""
    rows = await conn.execute(
        _ACTIVE,
        {"program_ids": [p for p, _ in members], "member_ids": [m for _, m in members], "since": since},
    )
    return {(program_id, member_id) for program_id, member_id in rows}


def _columns(asking: Sequence[SlotQuery], names: str) -> dict[str, list[str]]:
    return {
        "program_ids": [a.program_id for a in asking],
        "member_ids": [a.member_id for a in asking],
        names: [a.name for a in asking],
    }
