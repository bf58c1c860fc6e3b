"""Points that members would have gained."""

from collections.abc import Sequence
from datetime import datetime

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


_DELETE_OLD = text("""
DELETE FROM backtest_gains WHERE (program_id, backtest_id, member_id) IN (
    SELECT g.program_id, g.backtest_id, g.member_id
    FROM backtests b JOIN backtest_gains g ON g.program_id = b.program_id AND g.backtest_id = b.id
    WHERE b.state <> 'running' AND (b.state <> 'done' OR b.ended_at < :before) LIMIT :limit
)
""")


async def add(conn: AsyncConnection, key: BacktestKey, gains: Sequence[Gain]) -> None:
    if gains:
        values = {"program_id": key[0], "backtest_id": key[1]} | _GAINS.of_structs(gains)
        await conn.execute(_ADD, values)


async def delete_old(conn: AsyncConnection, *, before: datetime, limit: int) -> int:
    """Delete the gains of backtests that ended before a time, or without a result; how many."""
    return (await conn.execute(_DELETE_OLD, {"before": before, "limit": limit})).rowcount
