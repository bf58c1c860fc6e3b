"""The clock: the only module that reads the time.

`now` is the time for decisions, which the sandbox can advance. `wall` is the machine's time, for security and
technical time-outs (tokens, tickets, deferred jobs), never for what a member earns.
"""

from datetime import UTC, datetime, timedelta


class Clock:
    """The machine's clock with an offset, which only the sandbox and tests set."""

    def __init__(self, offset: timedelta = timedelta()) -> None:
        self.offset = offset

    def wall(self) -> datetime:
        return datetime.now(UTC)

    def now(self) -> datetime:
        return self.wall() + self.offset

    def wall_of(self, at: datetime) -> datetime:
        """The wall time at which this clock shows `at`."""
        return at - self.offset
