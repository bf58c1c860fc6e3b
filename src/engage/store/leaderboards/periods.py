"""Periods of leaderboards: open, then closed, then paid."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import and_, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.schema.leaderboards import board_periods as table
from engage.schema.rows import Batch, columns, from_row, select_list
from engage.schema.time import is_due
from engage.store.leaderboards.scores import PeriodKey


class BoardPeriod(msgspec.Struct, frozen=True, kw_only=True):
    """A period, under the version of its board with which it began. `members` are those on it at its end."""

    program_id: str
    board_id: str
    period: str
    version: str
    closes_at: datetime | None
    closed_at: datetime | None = None
    members: int = 0
    prizes_to: int = 0
    paid_to: int = 0

    @property
    def key(self) -> PeriodKey:
        return self.program_id, self.board_id, self.period


_NEW = Batch("a", table, "program_id", "board_id", "period", "version", "closes_at")
_KEYS = Batch("k", table, "program_id", "board_id", "period")
_COLUMNS = select_list(BoardPeriod, "p")

_ADD = text(f"""
INSERT INTO board_periods ({_NEW.columns}) SELECT {_NEW.columns} FROM {_NEW}
ORDER BY program_id COLLATE "C", board_id COLLATE "C", period COLLATE "C"
ON CONFLICT DO NOTHING
""")  # noqa: S608  # Names of the schema, here and below.

# Many count at once; who closes the period waits for them.
_SHARE = text(f"""
SELECT {_COLUMNS} FROM {_KEYS} JOIN board_periods p USING (program_id, board_id, period)
WHERE p.closed_at IS NULL
ORDER BY p.program_id, p.board_id, p.period FOR SHARE OF p
""")  # noqa: S608

_READ = text(f"SELECT {_COLUMNS} FROM {_KEYS} JOIN board_periods p USING (program_id, board_id, period)")  # noqa: S608

_UNPAID = "(p.closed_at IS NULL OR p.paid_to < p.prizes_to)"

# Changes that no reaction has counted yet come first. Who closes a period waits for those who count in it.
_LOCK_DUE = text(f"""
SELECT {_COLUMNS} FROM board_periods p
WHERE {_UNPAID} AND {is_due("p.closes_at")}
  AND (p.closed_at IS NOT NULL OR NOT EXISTS (
      SELECT FROM member_changes m WHERE m.program_id = p.program_id AND m.at < p.closes_at AND m.tries = 0
  ))
ORDER BY p.closes_at LIMIT 1 FOR UPDATE
""")  # noqa: S608


async def add_periods(conn: AsyncConnection, periods: Sequence[BoardPeriod]) -> None:
    """Add periods that are not there yet."""
    await conn.execute(_ADD, _NEW.of_structs(periods))


async def share_open(conn: AsyncConnection, keys: Iterable[PeriodKey]) -> dict[PeriodKey, BoardPeriod]:
    """Read open periods, which nobody closes until the transaction ends."""
    found = [from_row(BoardPeriod, row) for row in await conn.execute(_SHARE, _KEYS.of(sorted(set(keys))))]
    return {period.key: period for period in found}


async def read_periods(conn: AsyncConnection, keys: Iterable[PeriodKey]) -> dict[PeriodKey, BoardPeriod]:
    found = [from_row(BoardPeriod, row) for row in await conn.execute(_READ, _KEYS.of(sorted(set(keys))))]
    return {period.key: period for period in found}


async def list_open(conn: AsyncConnection) -> list[BoardPeriod]:
    """List the periods that are not closed."""
    rows = await conn.execute(select(*columns(table, BoardPeriod)).where(table.c.closed_at.is_(None)))
    return [from_row(BoardPeriod, row) for row in rows]


async def lock_due(
    conn: AsyncConnection, *, now: datetime, ahead: timedelta, on_time: bool
) -> BoardPeriod | None:
    """Lock a period that has ended and is not closed and paid, and that nobody else has locked."""
    values = {"now": now, "ahead": ahead, "on_time": on_time}
    row = (await conn.execute(_LOCK_DUE, values)).one_or_none()
    return None if row is None else from_row(BoardPeriod, row)


async def next_closing(conn: AsyncConnection, *, after: datetime) -> datetime | None:
    """Read the first time later than `after` at which a period ends that is not closed and paid."""
    c = table.c
    unpaid = or_(c.closed_at.is_(None), c.paid_to < c.prizes_to)
    found = await conn.execute(select(func.min(c.closes_at)).where(c.closes_at > after, unpaid))
    at: datetime | None = found.scalar()
    return at


async def write_period(conn: AsyncConnection, period: BoardPeriod) -> None:
    """Write when a locked period was closed, its members, and the ranks that are paid."""
    c = table.c
    await conn.execute(
        update(table)
        .where(
            and_(
                c.program_id == period.program_id,
                c.board_id == period.board_id,
                c.period == period.period,
            )
        )
        .values(
            closed_at=period.closed_at,
            members=period.members,
            prizes_to=period.prizes_to,
            paid_to=period.paid_to,
        )
    )
