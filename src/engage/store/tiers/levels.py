"""Levels of members as they are stored, and the changes that led to them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import MemberKey
from engage.domain.tiers.fold import LevelChange
from engage.schema.rows import Batch
from engage.schema.tiers import level_changes, tiers

MEMBERS_PER_BATCH = 500


class StoredTier(Struct, frozen=True):
    """A member's level in a group, since when, and until when it is kept if nothing more is earned.
    `counted_by` are the terms that it follows from; None where it may change before `keeps_until`.
    """

    group_id: str
    level: str | None
    since: datetime | None
    value: int
    keeps_until: datetime | None
    counted_by: str | None

    def holds(self, at: datetime, terms: str) -> bool:
        """True if this is the level at `at` by these terms, as long as no facts have changed."""
        return (
            self.counted_by == terms
            and (self.since is None or self.since <= at)
            and (self.keeps_until is None or at < self.keeps_until)
        )


Levels = Mapping[MemberKey, Sequence[tuple[StoredTier, Sequence[LevelChange]]]]

_MEMBERS = Batch("k", tiers, "program_id", "member_id")
_TIERS = Batch(
    "t",
    tiers,
    *("program_id", "member_id", "group_id", "level", "since", "value", "keeps_until", "counted_by"),
)
_CHANGES = Batch(
    "c",
    level_changes,
    *("program_id", "member_id", "group_id", "number", "at", "before", "level", "cause"),
)

# Rows that stay the same are not written again.
_WRITE_TIERS = text(f"""
WITH gone AS (
    DELETE FROM tiers o USING {_MEMBERS}
    WHERE o.program_id = k.program_id AND o.member_id = k.member_id AND NOT EXISTS (
        SELECT FROM {_TIERS}
        WHERE t.program_id = o.program_id AND t.member_id = o.member_id AND t.group_id = o.group_id)
)
INSERT INTO tiers AS o ({_TIERS.columns}) SELECT {_TIERS.columns} FROM {_TIERS}
ON CONFLICT (program_id, member_id, group_id) DO UPDATE
    SET level = excluded.level, since = excluded.since, value = excluded.value,
        keeps_until = excluded.keeps_until, counted_by = excluded.counted_by
    WHERE (o.level, o.since, o.value, o.keeps_until, o.counted_by) IS DISTINCT FROM
        (excluded.level, excluded.since, excluded.value, excluded.keeps_until, excluded.counted_by)
""")  # noqa: S608  # Names of the schema, here and below.

_WRITE_CHANGES = text(f"""
WITH gone AS (
    DELETE FROM level_changes o USING {_MEMBERS}
    WHERE o.program_id = k.program_id AND o.member_id = k.member_id AND NOT EXISTS (
        SELECT FROM {_CHANGES}
        WHERE c.program_id = o.program_id AND c.member_id = o.member_id AND c.group_id = o.group_id
          AND c.number = o.number)
)
INSERT INTO level_changes AS o ({_CHANGES.columns}) SELECT {_CHANGES.columns} FROM {_CHANGES}
ON CONFLICT (program_id, member_id, group_id, number) DO UPDATE
    SET at = excluded.at, before = excluded.before, level = excluded.level, cause = excluded.cause
    WHERE (o.at, o.before, o.level, o.cause)
        IS DISTINCT FROM (excluded.at, excluded.before, excluded.level, excluded.cause)
""")  # noqa: S608

_DUE = text("""
SELECT program_id, member_id FROM tiers
WHERE keeps_until <= CAST(:now AS timestamptz)
GROUP BY 1, 2 ORDER BY min(keeps_until), 1, 2 LIMIT :batch
""")


async def write_levels(conn: AsyncConnection, levels: Levels) -> None:
    """Write the levels and changes of members, which replace all that was stored of them. Their balances are
    locked.
    """
    members = _MEMBERS.of(levels)
    tier_rows: list[tuple[Any, ...]] = []
    change_rows: list[tuple[Any, ...]] = []
    for key, groups in levels.items():
        for tier, changes in groups:
            tier_rows.append((*key, *msgspec.structs.astuple(tier)))
            change_rows += [
                (
                    *(*key, tier.group_id, number, change.at, change.before, change.level),
                    msgspec.json.encode(change.cause).decode(),
                )
                for number, change in enumerate(changes, start=1)
            ]
    await conn.execute(_WRITE_TIERS, members | _TIERS.of(tier_rows))
    await conn.execute(_WRITE_CHANGES, members | _CHANGES.of(change_rows))


async def read_ended(conn: AsyncConnection, *, now: datetime) -> list[MemberKey]:
    """Read members of whom a stored level has ended by `now`, up to MEMBERS_PER_BATCH."""
    rows = await conn.execute(_DUE, {"now": now, "batch": MEMBERS_PER_BATCH})
    return [(program_id, member_id) for program_id, member_id in rows]


async def next_end(conn: AsyncConnection, *, after: datetime) -> datetime | None:
    """Read the first time later than `after` at which a stored level ends."""
    c = tiers.c
    found: datetime | None = (
        await conn.execute(select(func.min(c.keeps_until)).where(c.keeps_until > after))
    ).scalar_one()
    return found
