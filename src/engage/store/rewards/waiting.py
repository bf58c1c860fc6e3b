"""Members who wait for a scarce reward, in the order in which they came."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy import delete, text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import MemberKey, RewardKey
from engage.schema.rewards import reward_waiting as table
from engage.schema.rows import Batch

_SERVED = Batch("k", table, "program_id", "reward_id", "member_id")

_JOIN = text("""
INSERT INTO reward_waiting (program_id, reward_id, member_id, since)
VALUES (:program_id, :reward_id, :member_id, :now)
ON CONFLICT DO NOTHING
""")

# How many wait for each reward, and of a member who waits, the position.
_PLACES = text("""
SELECT w.reward_id, count(*) AS waiting, count(*) FILTER (WHERE w.number <= m.number) AS position,
       m.turn_until
FROM reward_waiting w
LEFT JOIN reward_waiting m
    ON m.program_id = w.program_id AND m.reward_id = w.reward_id AND m.member_id = :member_id
WHERE w.program_id = :program_id AND w.reward_id = ANY(CAST(:reward_ids AS text[]))
GROUP BY w.reward_id, m.turn_until
""")

_FIRST = text("""
SELECT member_id FROM reward_waiting WHERE program_id = :program_id AND reward_id = :reward_id
ORDER BY number LIMIT :limit
""")

_DELETE = text(f"""
DELETE FROM reward_waiting w USING {_SERVED}
WHERE w.program_id = k.program_id AND w.reward_id = k.reward_id AND w.member_id = k.member_id
""")  # noqa: S608  # Names of the schema.

_WAITED_FOR = text("SELECT DISTINCT program_id, reward_id FROM reward_waiting ORDER BY 1, 2")

_BEGIN_TURNS = text("""
WITH first AS MATERIALIZED (
    SELECT program_id, reward_id, member_id FROM reward_waiting
    WHERE program_id = :program_id AND reward_id = :reward_id
    ORDER BY number LIMIT :pieces
    FOR UPDATE
)
UPDATE reward_waiting w SET turn_until = :until
FROM first f
WHERE w.program_id = f.program_id AND w.reward_id = f.reward_id AND w.member_id = f.member_id
  AND w.turn_until IS NULL
""")

_NEXT_END = text("SELECT min(turn_until) FROM reward_waiting WHERE turn_until > :after")


class Place(Struct, frozen=True):
    """The number of members who wait, and the position of one of them, None for a member who does not. Until
    `turn_until` a piece is kept for them.
    """

    waiting: int
    position: int | None
    turn_until: datetime | None

    @property
    def ahead(self) -> int:
        """The members who come before."""
        return self.waiting if self.position is None else self.position - 1


async def join_line(conn: AsyncConnection, key: MemberKey, reward_id: str, *, now: datetime) -> None:
    """Add a member to the end of the list, unless they wait already."""
    values = {"program_id": key[0], "member_id": key[1], "reward_id": reward_id, "now": now}
    await conn.execute(_JOIN, values)


async def read_places(conn: AsyncConnection, key: MemberKey, reward_ids: Sequence[str]) -> dict[str, Place]:
    """Read the lists of rewards that somebody waits for, as a member sees them."""
    values = {"program_id": key[0], "member_id": key[1], "reward_ids": list(reward_ids)}
    return {
        row.reward_id: Place(row.waiting, row.position or None, row.turn_until)
        for row in await conn.execute(_PLACES, values)
    }


async def read_first(conn: AsyncConnection, key: RewardKey, *, limit: int) -> list[str]:
    """Read the first members of a list."""
    values = {"program_id": key[0], "reward_id": key[1], "limit": limit}
    return list((await conn.execute(_FIRST, values)).scalars())


async def leave_line(conn: AsyncConnection, served: Iterable[tuple[str, str, str]]) -> None:
    """Take (program, reward, member) off their lists: they have what they waited for."""
    await conn.execute(_DELETE, _SERVED.of(sorted(served)))


async def read_waited_for(conn: AsyncConnection) -> list[RewardKey]:
    """Read the rewards that somebody waits for."""
    return [(row.program_id, row.reward_id) for row in await conn.execute(_WAITED_FOR)]


async def begin_turns(conn: AsyncConnection, key: RewardKey, *, pieces: int, until: datetime) -> int:
    """Begin the turns of the first members, as many as there are pieces; how many began."""
    values = {"program_id": key[0], "reward_id": key[1], "pieces": pieces, "until": until}
    return (await conn.execute(_BEGIN_TURNS, values)).rowcount


async def end_turns(conn: AsyncConnection, *, now: datetime) -> int:
    """Take members off whose turn has passed; how many."""
    return (await conn.execute(delete(table).where(table.c.turn_until <= now))).rowcount


async def next_turn_end(conn: AsyncConnection, *, after: datetime) -> datetime | None:
    """Read the first time later than `after` at which a turn ends."""
    end: datetime | None = (await conn.execute(_NEXT_END, {"after": after})).scalar()
    return end
