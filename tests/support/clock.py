"""The clocks of the tests. None depends on the machine's date, so tests pass on any day."""

from datetime import UTC, datetime, timedelta

from engage.clock import Clock
from engage.runtime.database import open_database, transaction
from engage.runtime.services import Services
from engage.settings import Settings
from engage.store import sandbox_clock

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)  # A Saturday.

# Later than any machine's clock: a running sandbox can be advanced to it. A Monday in winter.
FAR_NOON = datetime(2050, 2, 7, 12, tzinfo=UTC)

DAY = timedelta(days=1)
FIVE_MINUTES = timedelta(minutes=5)


class StoppedClock(Clock):
    """A clock that stands still until it is advanced."""

    def __init__(self, at: datetime) -> None:
        super().__init__()
        self.at = at

    def now(self) -> datetime:
        return self.at

    def advance(self, by: timedelta) -> datetime:
        self.at += by
        return self.at


def running_clock(at: datetime = NOON) -> Clock:
    """A clock that shows `at` now and runs on, as the sandbox's does."""
    return Clock(at - Clock().wall())


async def set_sandbox_clock(settings: Settings, at: datetime = NOON) -> None:
    """Set the sandbox clock of a database. Processes that start later follow it."""
    db = open_database(settings.database_url, pool_size=1)
    try:
        async with transaction(db) as conn:
            await sandbox_clock.set_ahead(conn, at - Clock().wall())
    finally:
        await db.dispose()


def stopped_clock(services: Services) -> StoppedClock:
    assert isinstance(services.clock, StoppedClock)
    return services.clock


def advance(services: Services, by: timedelta) -> datetime:
    """Advance a stopped clock. Returns the new time."""
    return stopped_clock(services).advance(by)
