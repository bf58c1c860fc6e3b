"""Streaks across zones and clock changes."""

from datetime import UTC, date, datetime, timedelta

from hypothesis import assume, given
from hypothesis import strategies as st

from engage.domain.calendar import day_of_number, local_date
from engage.domain.earning.streak import Streak, day_of, extend, restored_streak, running, view
from tests.domain.strategies import ZONES, journeys

TICK = timedelta(microseconds=1)
zones = st.sampled_from(ZONES)


@st.composite
def taps(draw: st.DrawFn) -> tuple[str, list[datetime]]:
    zone = draw(zones)
    return zone, draw(journeys(zone))


@st.composite
def travels(draw: st.DrawFn) -> list[tuple[datetime, str]]:
    """Taps of a member who moves between zones."""
    times = draw(journeys(draw(zones)))
    return [(at, draw(zones)) for at in times]


@given(taps())
def test_a_streak_counts_the_consecutive_days_until_today(tapped: tuple[str, list[datetime]]) -> None:
    zone, times = tapped
    streak: Streak | None = None
    days: set[date] = set()
    for at in times:
        today = local_date(at, zone)
        longer = extend(streak, at, zone)
        assert (longer is None) == (today in days)  # The first tap of each day counts, and only that.
        days.add(today)
        streak = longer or streak
        assert streak == Streak(today, _in_a_row(days, today), zone)


def _in_a_row(days: set[date], day: date) -> int:
    count = 0
    while day in days:
        count, day = count + 1, day - timedelta(days=1)
    return count


@given(travels())
def test_a_running_streak_keeps_its_zone_and_no_day_is_paid_twice(stops: list[tuple[datetime, str]]) -> None:
    streak: Streak | None = None
    for at, zone in stops:
        longer = extend(streak, at, zone)
        if longer is None:
            continue
        if streak is not None:
            assert longer.last_day > streak.last_day
            if running(streak, at):
                assert (longer.zone, longer.days) == (streak.zone, streak.days + 1)
            else:
                assert (longer.zone, longer.days) == (zone, 1)
        streak = longer


@given(travels(), zones)
def test_the_next_tap_opens_exactly_at_next_tap_at(stops: list[tuple[datetime, str]], zone: str) -> None:
    streak: Streak | None = None
    for at, where in stops:
        streak = extend(streak, at, where) or streak
    at = stops[-1][0]
    shown = view(streak, at, zone, bonus_every_days=7)
    if shown.next_tap_at <= at:
        assert extend(streak, at, zone) is not None
    else:
        assert extend(streak, at, zone) is None
        assert extend(streak, shown.next_tap_at - TICK, zone) is None
        # After the streak has ended, days are those of the new zone. The time shown is never too early.
        assert extend(streak, shown.next_tap_at, zone) is not None


@given(taps(), st.integers(2, 14))
def test_the_bonus_comes_after_next_bonus_in_taps(tapped: tuple[str, list[datetime]], every: int) -> None:
    zone, times = tapped
    streak: Streak | None = None
    for at in times:
        streak = extend(streak, at, zone) or streak
    shown = view(streak, times[-1], zone, bonus_every_days=every)
    assert streak is not None
    assert shown.days == streak.days
    assert shown.next_bonus_in is not None
    assert 1 <= shown.next_bonus_in <= every
    assert (shown.days + shown.next_bonus_in) % every == 0


def test_an_ended_streak_is_shown_as_0_days() -> None:
    streak = Streak(date(2022, 11, 6), 6, "Europe/Madrid")
    late = datetime(2022, 11, 8, 9, tzinfo=UTC)
    shown = view(streak, late, "Europe/Madrid", bonus_every_days=7)
    assert (shown.days, shown.next_bonus_in) == (0, 7)
    assert shown.next_tap_at <= late
    assert view(None, late, "Europe/Madrid", bonus_every_days=None).next_bonus_in is None


def test_a_member_who_moves_west_does_not_tap_a_date_again() -> None:
    east, west = "Pacific/Kiritimati", "Etc/GMT+12"
    streak = Streak(date(2022, 11, 6), 3, east)
    ended = datetime(2022, 11, 7, 11, tzinfo=UTC)  # The 8th in the east, still the 6th in the west.
    assert day_of(streak, ended, west) == (date(2022, 11, 6), west)
    assert extend(streak, ended, west) is None
    assert extend(streak, ended + timedelta(days=1), west) == Streak(date(2022, 11, 7), 1, west)


@given(travels(), st.integers(0, 200), zones)
def test_a_streak_restored_to_the_gate_continues_like_the_real_one(
    stops: list[tuple[datetime, str]], hours: int, zone: str
) -> None:
    streak: Streak | None = None
    for at, where in stops:
        streak = extend(streak, at, where) or streak
    assume(streak is not None)
    assert streak is not None
    at = stops[-1][0] + timedelta(hours=hours)
    last, days, told_zone = restored_streak(streak, at=at, zone=zone)
    assert extend(Streak(day_of_number(last), days, told_zone), at, zone) == extend(streak, at, zone)
