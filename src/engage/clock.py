"""The clock: the only module that reads the time.

All processes of an installation follow one clock, that of PostgreSQL, which the sandbox can put ahead. What a
machine's own clock shows decides nothing: a process measures how far it is off, says so, and refuses to work
when it is off by more than MAX_SKEW, because logs, certificates and the queue's deferred jobs go by it.

Between two measurements the clock advances with the machine's monotonic clock. It shows a lower bound of the
database's time: never ahead of it, and behind by `error` at most.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from engage.domain.refusals import Unavailable

# A machine's clock that is off by more is reported; one off by more than MAX_SKEW stops the process's work.
REPORTED_SKEW: Final = timedelta(seconds=1)
MAX_SKEW: Final = timedelta(minutes=1)

# How far two clocks may drift apart in one unit of time while both are disciplined: 500 ppm.
_DRIFT_OF: Final = 2_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NONE: Final = timedelta()

# Microseconds of a clock.
Microseconds = Callable[[], int]


def _machine_us() -> int:
    return time.time_ns() // 1_000


def _steady_us() -> int:
    """The monotonic clock, which runs on while the machine sleeps where the system has such a clock."""
    return time.clock_gettime_ns(_STEADY) // 1_000


_STEADY: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def machine_time() -> datetime:
    """The time of this machine. Only for what has no database to ask, such as a client that measures."""
    return _EPOCH + _machine_us() * _MICROSECOND


class Clock:
    """The installation's clock as a process follows it.

    Until it has followed the database for the first time it shows no time: `wall` and `now` raise
    Unavailable("postgres"). `offset` is how far the sandbox's clock is ahead.
    """

    def __init__(
        self,
        offset: timedelta | None = None,
        *,
        machine: Microseconds = _machine_us,
        steady: Microseconds = _steady_us,
    ) -> None:
        self.offset = offset or _NONE
        self._has_offset = offset is not None
        self.skew = _NONE  # How far the machine's clock is ahead of the database's at least, or behind.
        self.is_too_far_off = False  # The machine's clock is so far off that nothing may be decided by it.
        self._machine = machine
        self._steady = steady
        # The database's clock minus the steady one lies between these, as of the last measurement.
        self._low: int | None = None
        self._high = 0
        self._measured_at = 0
        self._last = 0  # The clock never goes backwards.

    def steady(self) -> int:
        """Microseconds of the monotonic clock, for the beginning of a measurement."""
        return self._steady()

    def follow(self, database: datetime, *, asked: int, offset: timedelta = _NONE) -> None:
        """Set the clock by the database's, which showed `database` after `asked` and before this call.

        `offset` counts if it is later than the present one: the sandbox's clock only advances.
        """
        answered, machine = self._steady(), self._machine()
        shown = (database - _EPOCH) // _MICROSECOND
        low, high = shown - answered, shown - asked
        if self._low is not None:
            drift = self._drift(answered)
            known_low, known_high = self._low - drift, self._high + drift
            if known_low <= high and low <= known_high:
                low, high = max(low, known_low), min(high, known_high)
            elif self._last - (answered + low) > MAX_SKEW // _MICROSECOND:
                # Someone set the database's clock back by far. Standing still until then would be worse.
                self._last = 0
        self._low, self._high, self._measured_at = low, high, answered
        self.skew = _towards_zero(machine - shown, machine - shown - (answered - asked)) * _MICROSECOND
        self.is_too_far_off = abs(self.skew) > MAX_SKEW
        self.offset = max(self.offset, offset) if self._has_offset else offset
        self._has_offset = True

    def wall(self) -> datetime:
        """The database's time, without the sandbox's offset: for tokens, time-outs and what is technical.

        Raises Unavailable.
        """
        if self._low is None:
            raise Unavailable("postgres")
        steady = self._steady()
        self._last = max(self._last, steady + self._low - self._drift(steady))
        return _EPOCH + self._last * _MICROSECOND

    def now(self) -> datetime:
        """The time for decisions about what members earn. Raises Unavailable."""
        return self.wall() + self.offset

    def wall_of(self, at: datetime) -> datetime:
        """The database's time when this clock shows `at`."""
        return at - self.offset

    @property
    def ahead(self) -> timedelta:
        """The interval that a statement adds to the database's own clock to bound `now`. A clock that stands
        still, as in tests, has another one than its offset.
        """
        return self.offset

    @property
    def error(self) -> timedelta:
        """Bound how far the clock is behind the database's. Raises Unavailable."""
        if self._low is None:
            raise Unavailable("postgres")
        return (self._high - self._low + 2 * self._drift(self._steady())) * _MICROSECOND

    @property
    def is_reported(self) -> bool:
        """True if the machine's clock is so far off that its operator should know."""
        return abs(self.skew) > REPORTED_SKEW

    def check(self) -> None:
        """Raises Unavailable("clock") if the machine's clock is too far off to work with."""
        if self.is_too_far_off:
            raise Unavailable("clock")

    def _drift(self, steady: int) -> int:
        return max(steady - self._measured_at, 0) // _DRIFT_OF


class MachineClock(Clock):
    """The clock of this machine: for benchmarks' clients and for tests, which have it from their servers."""

    def wall(self) -> datetime:
        return machine_time()


def _towards_zero(high: int, low: int) -> int:
    """The number between two that is closest to zero."""
    return low if low > 0 else min(high, 0)
