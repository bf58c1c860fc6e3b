"""The clocks of the tests. None depends on the machine's date, so tests pass on any day."""

import time
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from engage.clock import Clock, MachineClock, machine_time
from engage.runtime.database import open_database, transaction
from engage.runtime.services import Services
from engage.settings import Settings

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)  # A Saturday.

# Later than any machine's clock: a running sandbox can be advanced to it. A Monday in winter.
FAR_NOON = datetime(2050, 2, 7, 12, tzinfo=UTC)

DAY = timedelta(days=1)
FIVE_MINUTES = timedelta(minutes=5)

# What a statement may decide by, for tests whose time has nothing to do with the database's: any time.
UNBOUNDED = timedelta(days=100_000)


# engage itself only advances the clock.
_SET = text("""
INSERT INTO sandbox_clock (ahead) VALUES (:ahead) ON CONFLICT (one) DO UPDATE SET ahead = excluded.ahead
""")


class DetachedClock(Clock):
    """A clock that has nothing to do with the database's, which does not bound it either."""

    def follow(self, database: datetime, *, asked: int, offset: timedelta = timedelta()) -> None:
        pass

    @property
    def ahead(self) -> timedelta:
        return UNBOUNDED


class StoppedClock(DetachedClock):
    """A clock that stands still until it is advanced."""

    def __init__(self, at: datetime) -> None:
        super().__init__()
        self.at = at

    def now(self) -> datetime:
        return self.at

    def wall(self) -> datetime:
        return machine_time()

    def advance(self, by: timedelta) -> datetime:
        self.at += by
        return self.at


def running_clock(at: datetime = NOON) -> Clock:
    """A clock that shows `at` now and runs on, as the sandbox's does."""
    return MachineClock(at - machine_time())


async def set_sandbox_clock(settings: Settings, at: datetime = NOON) -> None:
    """Set the sandbox clock of a database. Processes that start later follow it."""
    db = open_database(settings.database_url, pool_size=1)
    try:
        async with transaction(db) as conn:
            await conn.execute(_SET, {"ahead": at - machine_time()})
    finally:
        await db.dispose()


def stopped_clock(services: Services) -> StoppedClock:
    assert isinstance(services.clock, StoppedClock)
    return services.clock


def advance(services: Services, by: timedelta) -> datetime:
    """Advance a stopped clock. Returns the new time."""
    return stopped_clock(services).advance(by)


def wrong_clock(ahead: timedelta) -> Clock:
    """The clock of a process on a machine whose own clock is ahead by this much."""
    return Clock(machine=lambda: time.time_ns() // 1_000 + ahead // timedelta(microseconds=1))


class LyingClock(MachineClock):
    """A clock that is ahead of the database's and does not know it: a bug that none may depend on."""

    def __init__(self, ahead: timedelta) -> None:
        super().__init__()
        self._lie = ahead

    def wall(self) -> datetime:
        return machine_time() + self._lie

    def follow(self, database: datetime, *, asked: int, offset: timedelta = timedelta()) -> None:
        pass
