"""Backtests: as they were asked for, how far they are, and their results."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy import Select, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.campaigns.definition import Campaign
from engage.schema.backtests import backtests
from engage.schema.rows import columns, from_row

BacktestKey = tuple[str, UUID]  # (program, backtest)
BacktestState = Literal["running", "done", "cancelled", "failed"]

# A part that is decided waits only for the budget, which is quick.
_DECIDED_OF_TEN: Final = 9

_LOCK = text("LOCK TABLE backtests IN SHARE ROW EXCLUSIVE MODE")

_PROGRESS = text(f"""
SELECT p.backtest_id,
       sum(p.members * CASE p.state WHEN 'closed' THEN 10 WHEN 'decided' THEN {_DECIDED_OF_TEN} ELSE 0 END)
           / (10.0 * greatest(sum(p.members), 1))
FROM backtest_parts p
WHERE p.backtest_id = ANY(CAST(:ids AS uuid[]))
GROUP BY p.backtest_id
""")  # noqa: S608  # A constant.

# One that another process is about to end is locked.
_LOCK_FINISHED = text("""
SELECT b.program_id, b.id FROM backtests b
WHERE b.state = 'running' AND b.planned_to IS NULL
  AND NOT EXISTS (
      SELECT FROM backtest_parts p
      WHERE p.program_id = b.program_id AND p.backtest_id = b.id
        AND (p.state = 'waiting' OR (p.state = 'decided' AND b.budget IS NOT NULL))
  )
ORDER BY b.created_at LIMIT 1
FOR UPDATE OF b SKIP LOCKED
""")

_LOCK_UNPLANNED = text("""
SELECT b.program_id, b.id FROM backtests b
WHERE b.state = 'running' AND b.planned_to IS NOT NULL
ORDER BY b.created_at LIMIT 1
FOR UPDATE OF b SKIP LOCKED
""")

_DELETE_OLD = text("""
DELETE FROM backtests WHERE (program_id, id) IN (
    SELECT b.program_id, b.id FROM backtests b
    WHERE b.ended_at < :before AND b.granted_at IS NULL
      AND NOT EXISTS (
          SELECT FROM backtest_gains g WHERE g.program_id = b.program_id AND g.backtest_id = b.id)
      AND NOT EXISTS (
          SELECT FROM backtest_parts p WHERE p.program_id = b.program_id AND p.backtest_id = b.id)
    LIMIT :limit FOR UPDATE OF b SKIP LOCKED
)
""")

_OVERLAPPING = text("""
SELECT id FROM backtests
WHERE program_id = :program_id AND campaign_id = :campaign_id AND granted_at IS NOT NULL
  AND from_at < :until_at AND until_at > :from_at
ORDER BY granted_at LIMIT 1
""")

_LOCK_GRANTED = text("""
SELECT b.program_id, b.id FROM backtests b
WHERE b.granted_at IS NOT NULL AND NOT b.granted_all
  AND NOT EXISTS (
      SELECT FROM backtest_gains g
      WHERE g.program_id = b.program_id AND g.backtest_id = b.id AND g.granted_points IS NULL
  )
ORDER BY b.granted_at LIMIT 1
FOR UPDATE OF b SKIP LOCKED
""")

_IS_RUNNING = text("SELECT state = 'running' FROM backtests WHERE program_id = :program_id AND id = :id")


class Backtest(Struct, frozen=True, kw_only=True):
    """A backtest as it is stored. `planned_to` is the last member who is in a part; None is all of them.
    `progress` is that of one that has ended.
    """

    program_id: str
    id: UUID
    campaign_id: str
    document: Mapping[str, Any]
    from_at: datetime
    until_at: datetime
    created_at: datetime
    operator: str
    state: BacktestState = "running"
    planned_to: str | None = ""
    budget: Mapping[str, Any] | None = None
    result: Mapping[str, Any] | None = None
    progress: float = 0.0
    reason: str | None = None
    ended_at: datetime | None = None
    granted_at: datetime | None = None
    granted_by: str | None = None
    granted_all: bool = False

    @property
    def key(self) -> BacktestKey:
        return self.program_id, self.id

    @property
    def campaign(self) -> Campaign:
        """The document that is tried."""
        return msgspec.convert(self.document, Campaign)


async def lock_all(conn: AsyncConnection) -> None:
    """Keep others from adding backtests until the transaction ends. Readers do not wait."""
    await conn.execute(_LOCK)


async def add(conn: AsyncConnection, backtest: Backtest) -> None:
    await conn.execute(insert(backtests).values(msgspec.structs.asdict(backtest)))


async def find(conn: AsyncConnection, id_: UUID) -> Backtest | None:
    query = select(*columns(backtests, Backtest)).where(backtests.c.id == id_)
    row = (await conn.execute(query)).first()
    return None if row is None else from_row(Backtest, row)


async def read(conn: AsyncConnection, key: BacktestKey) -> Backtest:
    return from_row(Backtest, (await conn.execute(_select(key))).one())


async def read_page(
    conn: AsyncConnection,
    program_ids: Sequence[str],
    *,
    campaign_id: str | None,
    before: UUID | None,
    limit: int,
) -> list[Backtest]:
    """Read the backtests of programs, of all campaigns or of one, newest first."""
    c = backtests.c
    query = select(*columns(backtests, Backtest)).where(c.program_id.in_(program_ids))
    if campaign_id is not None:
        query = query.where(c.campaign_id == campaign_id)
    if before is not None:
        query = query.where(c.id < before)
    rows = await conn.execute(query.order_by(c.id.desc()).limit(limit))
    return [from_row(Backtest, row) for row in rows]


async def read_progress(conn: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, float]:
    """Read the shares of members who are done, of backtests that are planned."""
    rows = await conn.execute(_PROGRESS, {"ids": list(ids)})
    return {id_: float(share) for id_, share in rows}


async def lock(conn: AsyncConnection, key: BacktestKey) -> Backtest:
    """Lock a backtest until the transaction ends."""
    return from_row(Backtest, (await conn.execute(_select(key).with_for_update())).one())


async def lock_unplanned(conn: AsyncConnection) -> Backtest | None:
    """Lock the oldest backtest of which not all members are in parts, and that nobody else has locked."""
    return await _locked(conn, _LOCK_UNPLANNED)


async def lock_finished(conn: AsyncConnection) -> Backtest | None:
    """Lock a backtest all of whose parts are decided, or with a budget that is known all closed, and that
    nobody else has locked.
    """
    return await _locked(conn, _LOCK_FINISHED)


def _select(key: BacktestKey) -> Select[Any]:
    c = backtests.c
    return select(*columns(backtests, Backtest)).where(c.program_id == key[0], c.id == key[1])


async def delete_old(conn: AsyncConnection, *, before: datetime, limit: int) -> int:
    """Delete backtests that ended before a time, of which nothing else is left, and nothing was granted; how
    many.
    """
    return (await conn.execute(_DELETE_OLD, {"before": before, "limit": limit})).rowcount


async def read_granted_overlap(conn: AsyncConnection, backtest: Backtest) -> UUID | None:
    """Read the backtest of the same campaign that was granted for a window which overlaps this one's."""
    values = {name: getattr(backtest, name) for name in ("program_id", "campaign_id", "from_at", "until_at")}
    found: UUID | None = (await conn.execute(_OVERLAPPING, values)).scalar()
    return found


async def lock_granted(conn: AsyncConnection) -> Backtest | None:
    """Lock a backtest whose grant all members have, and that is not noted yet."""
    return await _locked(conn, _LOCK_GRANTED)


async def _locked(conn: AsyncConnection, statement: Any) -> Backtest | None:
    row = (await conn.execute(statement)).first()
    return None if row is None else await lock(conn, (row[0], row[1]))


async def count_running(conn: AsyncConnection, program_id: str) -> int:
    c = backtests.c
    query = select(func.count()).where(c.program_id == program_id, c.state == "running")
    return (await conn.execute(query)).scalar_one()


async def is_running(conn: AsyncConnection, key: BacktestKey) -> bool:
    return bool((await conn.execute(_IS_RUNNING, {"program_id": key[0], "id": key[1]})).scalar())


async def write(conn: AsyncConnection, backtest: Backtest, **changes: Any) -> None:
    """Change a backtest that is locked."""
    c = backtests.c
    query = update(backtests).where(c.program_id == backtest.program_id, c.id == backtest.id)
    await conn.execute(query.values(**changes))


async def end(
    conn: AsyncConnection, key: BacktestKey, state: BacktestState, *, now: datetime, **changes: Any
) -> bool:
    """End a backtest that runs; False for one that has ended before."""
    progress = 1.0 if state == "done" else (await read_progress(conn, [key[1]])).get(key[1], 0.0)
    c = backtests.c
    query = update(backtests).where(c.program_id == key[0], c.id == key[1], c.state == "running")
    ended = query.values(state=state, ended_at=now, progress=progress, **changes)
    return bool((await conn.execute(ended)).rowcount)
