"""Points that members would have gained."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.backtests.sums import Gain
from engage.schema.backtests import backtest_gains
from engage.schema.rows import Batch
from engage.store.backtests.jobs import BacktestKey

_GAINS = Batch("g", backtest_gains, "member_id", "points")

_ADD = text(f"""
INSERT INTO backtest_gains (program_id, backtest_id, {_GAINS.columns})
SELECT :program_id, :backtest_id, {_GAINS.columns} FROM {_GAINS}
""")  # noqa: S608  # Names of the schema.


# Those of one batch are of one backtest, so of one campaign.
_LOCK_OPEN = text("""
WITH granting AS (
    SELECT b.program_id, b.id FROM backtests b
    WHERE b.granted_at IS NOT NULL AND NOT b.granted_all AND EXISTS (
        SELECT FROM backtest_gains g
        WHERE g.program_id = b.program_id AND g.backtest_id = b.id AND g.granted_points IS NULL
    )
    ORDER BY b.granted_at LIMIT 1
)
SELECT g.program_id, g.backtest_id, g.member_id, g.points
FROM granting b JOIN backtest_gains g ON g.program_id = b.program_id AND g.backtest_id = b.id
WHERE g.granted_points IS NULL
ORDER BY g.member_id LIMIT :limit
FOR UPDATE OF g SKIP LOCKED
""")

_GRANTED = Batch("g", backtest_gains, "member_id", "granted_points")

_WRITE = text(f"""
UPDATE backtest_gains o SET granted_points = g.granted_points
FROM {_GRANTED}
WHERE o.program_id = :program_id AND o.backtest_id = :backtest_id AND o.member_id = g.member_id
""")  # noqa: S608

_READ_GRANTED = text("""
SELECT backtest_id, count(*) FILTER (WHERE granted_points > 0), coalesce(sum(granted_points), 0)
FROM backtest_gains WHERE backtest_id = ANY(CAST(:ids AS uuid[])) GROUP BY backtest_id
""")

_DELETE_OLD = text("""
DELETE FROM backtest_gains WHERE (program_id, backtest_id, member_id) IN (
    SELECT g.program_id, g.backtest_id, g.member_id
    FROM backtests b JOIN backtest_gains g ON g.program_id = b.program_id AND g.backtest_id = b.id
    WHERE b.state <> 'running' AND b.granted_at IS NULL AND (b.state <> 'done' OR b.ended_at < :before)
    LIMIT :limit
)
""")


async def add(conn: AsyncConnection, key: BacktestKey, gains: Sequence[Gain]) -> None:
    if gains:
        values = {"program_id": key[0], "backtest_id": key[1]} | _GAINS.of_structs(gains)
        await conn.execute(_ADD, values)


async def lock_open(conn: AsyncConnection, *, limit: int) -> tuple[BacktestKey, list[Gain]] | None:
    """Lock gains of one backtest that are to be granted, and that nobody else has locked."""
    rows = (await conn.execute(_LOCK_OPEN, {"limit": limit})).all()
    if not rows:
        return None
    return (rows[0][0], rows[0][1]), [Gain(member_id, points) for _, _, member_id, points in rows]


async def write_granted(conn: AsyncConnection, key: BacktestKey, granted: Mapping[str, int]) -> None:
    """Write the points that members got."""
    values = {"program_id": key[0], "backtest_id": key[1]} | _GRANTED.of(granted.items())
    await conn.execute(_WRITE, values)


async def read_granted(conn: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, tuple[int, int]]:
    """Read how many members got something of grants so far, and how many points."""
    rows = await conn.execute(_READ_GRANTED, {"ids": list(ids)})
    return {id_: (members, int(points)) for id_, members, points in rows}


async def delete_old(conn: AsyncConnection, *, before: datetime, limit: int) -> int:
    """Delete the gains of backtests that ended before a time, or without a result; how many. What was granted
    is kept: it is granted once, however old.
    """
    return (await conn.execute(_DELETE_OLD, {"before": before, "limit": limit})).rowcount
