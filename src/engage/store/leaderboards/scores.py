"""Scores of members in the periods of leaderboards: a fold over their credits, kept for ranks.

A score is the sum of what is left of the credits that count, reached when the last of them was accepted. So
it is the same in whatever order credits came and were taken back. Steps of challenges are paid a little later
than they are reached, and in no order among members: they count from what reached them.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import ADJUSTMENT_RULE, OPENING_RULE, MemberKey
from engage.schema.leaderboards import board_scores
from engage.schema.rows import Batch, from_row, select_list

PeriodKey = tuple[str, str, str]  # (program, board, period)


class ScoreQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A member's period: credits of activities in [begins_at, ends_at), of one rule or, for None, of all; or
    the progress of `challenge_id`.
    """

    program_id: str
    member_id: str
    board_id: str
    period: str
    begins_at: datetime
    ends_at: datetime
    rule_id: str | None
    challenge_id: str | None = None


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """A member's row. `version` rises with each change."""

    program_id: str
    member_id: str
    board_id: str
    period: str
    score: int
    reached_at: datetime
    version: int

    @property
    def period_key(self) -> PeriodKey:
        return self.program_id, self.board_id, self.period


_QUERIES = Batch(
    "k",
    board_scores,
    *("program_id", "member_id", "board_id", "period"),
    begins_at="timestamptz",
    ends_at="timestamptz",
    rule_id="text",
)
_MEMBERS = Batch("k", board_scores, "program_id", "member_id")
_NEW = Batch("a", board_scores, "program_id", "member_id", "board_id", "period", "score", "reached_at")
_COLUMNS = select_list(Score, "s")

# What operators and imports gave was not earned, and prizes of leaderboards would lead the next period.
_COUNTS = f"""c.state <> 'reversed' AND c.points > c.taken_back AND c.unit = 'points'
    AND CASE WHEN k.rule_id IS NULL
        THEN c.rule_id NOT IN ('{ADJUSTMENT_RULE}', '{OPENING_RULE}')
             AND NOT starts_with(c.rule_id, 'leaderboard:')
        ELSE c.rule_id = k.rule_id END"""

_REACHED = "CASE WHEN starts_with(c.rule_id, 'challenge:') THEN c.activity_at ELSE c.accepted_at END"

_CHANGE = """ON CONFLICT (program_id, board_id, period, member_id) DO UPDATE
SET score = excluded.score, version = s.version + 1,
    reached_at = CASE WHEN excluded.score > 0 THEN excluded.reached_at ELSE s.reached_at END
WHERE (s.score, s.reached_at) IS DISTINCT FROM (excluded.score, excluded.reached_at)
  AND (s.score > 0 OR excluded.score > 0)"""

# A row appears with the first score, and changes only while its period is open: the periods are locked.
# `OFFSET 0`: a row is looked up by its key. A plan for a small table would read the whole one into a hash.
_COUNT = text(f"""
INSERT INTO board_scores AS s (program_id, member_id, board_id, period, score, reached_at)
SELECT k.program_id, k.member_id, k.board_id, k.period, coalesce(f.score, 0), coalesce(f.reached_at, :now)
FROM {_QUERIES}
CROSS JOIN LATERAL (
    SELECT CAST(sum(c.points - c.taken_back) AS bigint) AS score, max({_REACHED}) AS reached_at
    FROM balances b JOIN credits c USING (account)
    WHERE b.program_id = k.program_id AND b.member_id = k.member_id AND NOT b.closed
      AND c.activity_at >= k.begins_at AND c.activity_at < k.ends_at AND {_COUNTS}
) f
WHERE f.score > 0 OR EXISTS (
    SELECT FROM board_scores o
    WHERE o.program_id = k.program_id AND o.board_id = k.board_id AND o.period = k.period
      AND o.member_id = k.member_id
    OFFSET 0
)
ORDER BY k.program_id COLLATE "C", k.board_id COLLATE "C", k.period COLLATE "C", k.member_id COLLATE "C"
{_CHANGE}
""")  # noqa: S608  # Names of the schema, here and below.

# Scores that are counted elsewhere. As above.
_WRITE = text(f"""
INSERT INTO board_scores AS s ({_NEW.columns})
SELECT {_NEW.columns} FROM {_NEW}
WHERE a.score > 0 OR EXISTS (
    SELECT FROM board_scores o
    WHERE o.program_id = a.program_id AND o.board_id = a.board_id AND o.period = a.period
      AND o.member_id = a.member_id
    OFFSET 0
)
ORDER BY a.program_id COLLATE "C", a.board_id COLLATE "C", a.period COLLATE "C", a.member_id COLLATE "C"
{_CHANGE}
""")  # noqa: S608

# With those of members who were merged into them.
_OF_MEMBERS = text(f"""
WITH wanted AS (
    SELECT * FROM {_MEMBERS}
    UNION
    SELECT m.program_id, m.member_id FROM {_MEMBERS} JOIN members m
        ON m.program_id = k.program_id AND m.merged_into = k.member_id
)
SELECT {_COLUMNS}
FROM wanted w JOIN board_scores s USING (program_id, member_id)
JOIN board_periods p USING (program_id, board_id, period)
WHERE p.closed_at IS NULL
""")  # noqa: S608

_PAGE = text(f"""
SELECT {_COLUMNS} FROM board_scores s
WHERE s.program_id = :program_id AND s.board_id = :board_id AND s.period = :period AND s.member_id > :after
ORDER BY s.member_id LIMIT :limit
""")  # noqa: S608

_TOP = text(f"""
SELECT {_COLUMNS} FROM board_scores s
WHERE s.program_id = :program_id AND s.board_id = :board_id AND s.period = :period AND s.score > 0
ORDER BY s.score DESC, s.reached_at, s.member_id OFFSET :skip LIMIT :limit
""")  # noqa: S608

_MEMBERS_ON = text("""
SELECT count(*) FROM board_scores s
WHERE s.program_id = :program_id AND s.board_id = :board_id AND s.period = :period AND s.score > 0
""")

_BEFORE = text("""
SELECT count(*) FROM board_scores s JOIN board_scores me USING (program_id, board_id, period)
WHERE s.program_id = :program_id AND s.board_id = :board_id AND s.period = :period AND s.score > 0
  AND me.member_id = :member_id
  AND (s.score > me.score
       OR (s.score = me.score AND (s.reached_at, s.member_id) < (me.reached_at, me.member_id)))
""")


_ONE = text("""
SELECT score FROM board_scores
WHERE program_id = :program_id AND board_id = :board_id AND period = :period AND member_id = :member_id
""")


async def count_scores(conn: AsyncConnection, queries: Sequence[ScoreQuery], *, now: datetime) -> None:
    """Count scores anew from the credits, and write those that changed. The members' balances are locked."""
    await conn.execute(_COUNT, _QUERIES.of_structs(queries) | {"now": now})


async def write_scores(conn: AsyncConnection, scores: Iterable[tuple[ScoreQuery, int, datetime]]) -> None:
    """Write (whose, score, when it was reached) where it changed. The members' balances are locked."""
    rows = [
        (query.program_id, query.member_id, query.board_id, query.period, score, reached_at)
        for query, score, reached_at in scores
    ]
    await conn.execute(_WRITE, _NEW.of(rows))


async def read_of_members(conn: AsyncConnection, keys: Iterable[MemberKey]) -> list[Score]:
    """Read the scores of members in all open periods, and those of members who were merged into them."""
    rows = await conn.execute(_OF_MEMBERS, _MEMBERS.of(sorted(set(keys))))
    return [from_row(Score, row) for row in rows]


async def read_page(conn: AsyncConnection, key: PeriodKey, *, after: str, limit: int) -> list[Score]:
    """Read scores of a period in the order of the members' ids."""
    rows = await conn.execute(_PAGE, _period(key) | {"after": after, "limit": limit})
    return [from_row(Score, row) for row in rows]


async def read_top(conn: AsyncConnection, key: PeriodKey, *, skip: int, limit: int) -> list[Score]:
    """Read scores of a period by rank, behind the first `skip` ranks."""
    rows = await conn.execute(_TOP, _period(key) | {"skip": skip, "limit": limit})
    return [from_row(Score, row) for row in rows]


async def count_members(conn: AsyncConnection, key: PeriodKey) -> int:
    """Count the members who are on a board."""
    return int((await conn.execute(_MEMBERS_ON, _period(key))).scalar_one())


async def count_before(conn: AsyncConnection, key: PeriodKey, member_id: str) -> int:
    """Count the members before one who is on the board."""
    return int((await conn.execute(_BEFORE, _period(key) | {"member_id": member_id})).scalar_one())


async def read_score(conn: AsyncConnection, key: PeriodKey, member_id: str) -> int:
    """Read the score of a member; 0 for one who is not on the board."""
    found = await conn.execute(_ONE, _period(key) | {"member_id": member_id})
    return found.scalar() or 0


def _period(key: PeriodKey) -> dict[str, object]:
    return {"program_id": key[0], "board_id": key[1], "period": key[2]}
