"""The instant from which on a change of a segment is in force, in every process at once.

It comes after the commit: whoever decides about an activity at that instant or later sees the change, and all
earlier activities are judged by what there was before. So the transaction has a time limit, which the server
keeps, and the instant is later than that limit.
"""

from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.clock import Clock
from engage.runtime.database import end_within

# For the transaction, and more for each member who enters or leaves: a multiple of what it takes.
COMMITS_WITHIN: Final = timedelta(seconds=3)
COMMITS_WITHIN_A_ROW: Final = timedelta(microseconds=50)

# Until each process has read what it keeps in memory. This clock may be behind the database's by less.
KNOWN_WITHIN: Final = timedelta(milliseconds=500)

# As for campaigns (`engage.domain.campaigns.lifecycle`): people read these times.
_SECOND: Final = timedelta(seconds=1)


class Effect(Struct, frozen=True):
    """The time of a change, and the instant from which on it is in force."""

    at: datetime
    since: datetime


async def begin_effect(conn: AsyncConnection, clock: Clock, *, rows: int, after: datetime | None) -> Effect:
    """Give the transaction its time limit for writing this many rows. `after`: the last change of the segment
    is in force from then on, which may be later than now.
    """
    within = COMMITS_WITHIN + rows * COMMITS_WITHIN_A_ROW
    await end_within(conn, within)
    now = clock.now()
    since = _whole_second(now + within + KNOWN_WITHIN)
    return Effect(now, since if after is None else max(since, after + _SECOND))


def _whole_second(at: datetime) -> datetime:
    whole = at.replace(microsecond=0)
    return whole if whole == at else whole + _SECOND
