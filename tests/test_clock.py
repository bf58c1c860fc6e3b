"""A process follows the database's clock: never ahead of it, never backwards, whatever its machine shows."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.clock import MAX_SKEW, Clock
from engage.domain.refusals import Unavailable

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND = 1_000_000


class Clocks:
    """A database's clock, and a machine whose clocks a test sets. Times are in microseconds."""

    def __init__(self, machine_ahead: timedelta = timedelta()) -> None:
        self.passed = 0
        self.database_moved = timedelta()
        self.machine_ahead = machine_ahead
        self.clock = Clock(machine=self._machine, steady=lambda: self.passed)

    def database(self) -> datetime:
        return START + self.passed * MICROSECOND + self.database_moved

    def _machine(self) -> int:
        return (START - EPOCH + self.machine_ahead) // MICROSECOND + self.passed

    def measure(self, there: int = 100, back: int = 100) -> None:
        """Ask the database: the question and the answer take this long."""
        asked = self.clock.steady()
        self.passed += there
        shown = self.database()
        self.passed += back
        self.clock.follow(shown, asked=asked)


def test_before_the_database_has_been_asked_there_is_no_time() -> None:
    clock = Clock()
    for read in (clock.wall, clock.now, lambda: clock.error):
        with pytest.raises(Unavailable, match="unavailable"):
            read()


@pytest.mark.parametrize("ahead", [timedelta(hours=25), timedelta(days=-400), timedelta(milliseconds=3)])
def test_the_machines_clock_decides_nothing(ahead: timedelta) -> None:
    clocks = Clocks(ahead)
    clocks.measure()
    assert timedelta() <= clocks.database() - clocks.clock.now() <= clocks.clock.error
    assert clocks.clock.error < timedelta(milliseconds=1)


DELAYS = st.integers(0, 3 * SECOND)


@given(st.lists(st.tuples(DELAYS, DELAYS, st.integers(0, 60 * SECOND)), min_size=1, max_size=10))
def test_the_clock_is_never_ahead_nor_backwards_and_its_error_is_bounded(
    measurements: list[tuple[int, int, int]],
) -> None:
    clocks = Clocks()
    last = EPOCH
    for there, back, pause in measurements:
        clocks.measure(there, back)
        for step in (0, pause // 2, pause - pause // 2):
            clocks.passed += step
            shown = clocks.clock.wall()
            assert last <= shown <= clocks.database()
            assert clocks.database() - shown <= clocks.clock.error
            last = shown


def test_a_slow_measurement_does_not_spoil_a_better_one() -> None:
    clocks = Clocks()
    clocks.measure(50, 50)
    clocks.passed += 2 * SECOND
    clocks.measure(2 * SECOND, 2 * SECOND)
    assert clocks.clock.error < timedelta(milliseconds=20)


def test_a_small_step_back_of_the_database_is_waited_out() -> None:
    clocks = Clocks()
    clocks.measure()
    before = clocks.clock.wall()
    clocks.database_moved = timedelta(seconds=-5)
    clocks.measure()
    assert clocks.clock.wall() == before
    clocks.passed += 6 * SECOND
    assert before < clocks.clock.wall() <= clocks.database()


def test_a_large_step_of_the_database_is_followed() -> None:
    clocks = Clocks()
    clocks.measure()
    for moved in (timedelta(hours=30), timedelta(hours=-30)):
        clocks.database_moved = moved
        clocks.measure()
        assert timedelta() <= clocks.database() - clocks.clock.wall() < timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("ahead_s", "reported", "works"),
    [(0, False, True), (0.9, False, True), (1.1, True, True), (-59, True, True), (61, True, False)],
)
def test_a_machine_that_is_off_is_reported_and_past_a_minute_does_not_work(
    ahead_s: float, reported: bool, works: bool
) -> None:
    clocks = Clocks(timedelta(seconds=ahead_s))
    clocks.measure()
    assert clocks.clock.is_reported is reported
    if works:
        clocks.clock.check()
        return
    with pytest.raises(Unavailable) as refused:
        clocks.clock.check()
    assert refused.value.facts["part"] == "clock"
    clocks.machine_ahead = timedelta()
    clocks.measure()
    clocks.clock.check()


def test_a_slow_answer_alone_does_not_make_a_machine_look_wrong() -> None:
    clocks = Clocks()
    clocks.measure(0, 2 * MAX_SKEW // MICROSECOND)
    assert clocks.clock.skew == timedelta()


def test_the_sandboxs_offset_only_grows() -> None:
    clocks = Clocks()
    for offset, expected in ((-3, -3), (10, 10), (4, 10)):
        clocks.clock.follow(clocks.database(), asked=0, offset=timedelta(days=offset))
        assert clocks.clock.offset == timedelta(days=expected)
