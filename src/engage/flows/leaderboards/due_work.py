"""The due work of leaderboards: periods that close, prizes, and boards that Valkey has lost."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from engage.flows.leaderboards.close import close_due
from engage.flows.leaderboards.load import load_boards
from engage.runtime.due_work import DueWork
from engage.store.leaderboards.periods import next_closing


async def _never(conn: AsyncConnection, *, after: datetime) -> None:
    """A board is loaded when it is missing, which is due at no time."""


DUE_WORK = (
    DueWork(name="close_boards", next_at=next_closing, do=close_due),
    DueWork(name="load_boards", next_at=_never, do=load_boards),
)
