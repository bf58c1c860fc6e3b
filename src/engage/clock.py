"""The one place where the time is read.

`now` is the time that decisions follow; the sandbox can move it forward. `wall` is the time of the machine:
it governs what is about security and plumbing (tokens, tickets, deferrals), never what a member earns.
"""

from datetime import UTC, datetime, timedelta


class Clock:
    """The machine's clock, with an offset that only the sandbox and tests set."""

    def __init__(self, offset: timedelta = timedelta()) -> None:
        self.offset = offset

    def wall(self) -> datetime:
        return datetime.now(UTC)

    def now(self) -> datetime:
        return self.wall() + self.offset

    def wall_of(self, at: datetime) -> datetime:
        """The wall time at which this clock will show `at`."""
        return at - self.offset


class StoppedClock(Clock):
    """A clock that stands until it is moved, for tests and for the steps of the sandbox's clock."""

    def __init__(self, at: datetime) -> None:
        super().__init__()
        self.at = at

    def now(self) -> datetime:
        return self.at

    def advance(self, by: timedelta) -> datetime:
        self.at += by
        return self.at
