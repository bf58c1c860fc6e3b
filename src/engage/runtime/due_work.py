"""A kind of work that falls due at some time: how to find the next time, and how to do the work.

Each feature describes its own kinds in its `due_work.py`; `engage.flows.scheduled.due_work` lists them all.
"""

from datetime import datetime
from typing import Protocol

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.runtime.services import Services


class NextAt(Protocol):
    async def __call__(self, conn: AsyncConnection, *, after: datetime) -> datetime | None:
        """Return the first time later than `after` at which unfinished work falls due, or None."""


class Do(Protocol):
    async def __call__(self, services: Services, *, now: datetime, on_time: bool) -> int:
        """Do everything that is due at `now` and not locked by another process; return the count.

        Rows are stamped with `now`, or with `on_time` with the time at which each fell due. Raises
        Unavailable.
        """


class DoTogether(Protocol):
    async def __call__(self, services: Services) -> int:
        """Do what is due now for as long as a worker's job may take, and call other workers to help if there
        is much. Return the count. Raises Unavailable.
        """


class DueWork(Struct, frozen=True, kw_only=True):
    """A kind of work that falls due.

    `any_order`: one call may do work of many due times, with the same result as doing each in its turn.
    Otherwise a clock that is advanced stops at each due time, with all other work done until then.
    `together`: how workers do it if several of them may share a large amount.
    """

    name: str
    next_at: NextAt
    do: Do
    any_order: bool = False
    together: DoTogether | None = None
