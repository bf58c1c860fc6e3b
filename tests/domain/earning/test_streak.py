"""Streaks across zones and clock changes, with and without freezes."""

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engage.domain.calendar import local_date, start_of_day
from engage.domain.earning.freezes import FreezeTerms
from engage.domain.earning.limits import DailyStreak
from engage.domain.earning.streak import (
    Streak,
    day_of,
    extend,
    freezes_at,
    introduce,
    lost_run,
    restored_streak,
    running,
    view,
    with_freezes,
)
from engage.domain.earning.streak_history import GotFreezes, Introduction, StreakEvent, TappedDay, fold
from engage.domain.earning.streak_record import recorded, run_inputs
from tests.domain.strategies import ZONES, journeys

TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)
MADRID = "Europe/Madrid"
PLAIN = DailyStreak()
zones = st.sampled_from(ZONES)
freezes = st.builds(
    FreezeTerms,
    start=st.integers(0, 3),
    max=st.integers(3, 4),
    earn_every_days=st.none() | st.integers(1, 5),
    price_points=st.just(10),
)
terms_of_any_kind = st.builds(
    DailyStreak, freezes=st.none() | freezes, grace_until=st.sampled_from([None, "03:00", "11:59"])
)


@st.composite
def taps(draw: st.DrawFn) -> tuple[str, list[datetime]]:
    zone = draw(zones)
    return zone, draw(journeys(zone))


@st.composite
def travels(draw: st.DrawFn) -> list[tuple[datetime, str]]:
    """Taps of a member who moves between zones."""
    times = draw(journeys(draw(zones)))
    return [(at, draw(zones)) for at in times]


def after(stops: list[tuple[datetime, str]], terms: DailyStreak) -> Streak | None:
    streak: Streak | None = None
    for at, zone in stops:
        streak = extend(streak, at, zone, terms) or streak
    return streak


@given(taps())
def test_a_streak_counts_the_consecutive_days_until_today(tapped: tuple[str, list[datetime]]) -> None:
    zone, times = tapped
    streak: Streak | None = None
    days: set[date] = set()
    for at in times:
        today = local_date(at, zone)
        longer = extend(streak, at, zone, PLAIN)
        assert (longer is None) == (today in days)  # The first tap of each day counts, and only that.
        days.add(today)
        streak = longer or streak
        assert streak is not None
        assert (streak.last_day, streak.days, streak.zone) == (today, _in_a_row(days, today), zone)
        assert streak.best == max(_in_a_row(days, day) for day in days)


def _in_a_row(days: set[date], day: date) -> int:
    count = 0
    while day in days:
        count, day = count + 1, day - timedelta(days=1)
    return count


class Walk:
    """A member's days, walked one after the other by the words of the rules: the model of a streak."""

    def __init__(self, terms: FreezeTerms, days: set[date], bought: dict[date, int]) -> None:
        self.run, self.best, self.stock = 0, 0, terms.start
        self.frozen: list[date] = []
        for n in range((max(days) - min(days)).days + 1):
            day = min(days) + n * DAY
            # Bought in the last moment of a day, a freeze is in time for that day, and later than its tap.
            if day in days:
                self._pass(terms, day, tapped=True)
            self.stock += bought.get(day, 0)
            if day not in days:
                self._pass(terms, day, tapped=False)

    def _pass(self, terms: FreezeTerms, day: date, *, tapped: bool) -> None:
        if tapped:
            self.run += 1
            self.best = max(self.best, self.run)
            if terms.earn_every_days and self.run % terms.earn_every_days == 0 and self.stock < terms.max:
                self.stock += 1
        elif self.run and self.stock:
            self.stock -= 1
            self.frozen.append(day)
        else:
            self.run, self.frozen = 0, []


@given(freezes, st.sets(st.integers(0, 20), min_size=1), st.data())
def test_a_freeze_covers_each_missed_day_of_a_run_by_itself(
    terms: FreezeTerms, numbers: set[int], drawn: st.DataObject
) -> None:
    """Days, freezes bought late on some of them, in any order of arrival."""
    first = date(2026, 3, 20)  # The clocks change on the 29th.
    limit = DailyStreak(freezes=terms)
    days = {first + n * DAY for n in numbers}
    spent_days = st.integers(min(numbers), max(numbers)).map(lambda n: first + n * DAY)
    bought = dict.fromkeys(drawn.draw(st.sets(spent_days, max_size=3), label="bought"), 1)
    events: list[StreakEvent] = [TappedDay(_at(day, 9), day, MADRID, limit) for day in days]
    events += [GotFreezes(_at(day, 24), 1, MADRID, limit) for day in bought]
    model = Walk(terms, days, bought)
    folded = fold(drawn.draw(st.permutations(events)))
    streak = folded.streak
    assert streak is not None
    at = _at(max(days), 25)
    assert (streak.days, streak.best, streak.frozen) == (model.run, model.best, len(model.frozen))
    assert freezes_at(streak, at, limit) == model.stock
    assert streak.first_day == max(days) - (model.run + len(model.frozen) - 1) * DAY
    assert set(folded.numbers) == days


def _at(day: date, hour: float) -> datetime:
    """`hour` hours into a day of Madrid; the last moment before its end for 24."""
    if hour == 24:
        return start_of_day(day + DAY, MADRID) - TICK
    return start_of_day(day, MADRID) + timedelta(hours=hour)


@given(travels(), terms_of_any_kind)
def test_events_one_by_one_give_the_fold_of_all(
    stops: list[tuple[datetime, str]], terms: DailyStreak
) -> None:
    """The gate and each credit count step by step as the whole history does."""
    streak: Streak | None = None
    events: list[StreakEvent] = []
    for n, (at, zone) in enumerate(stops):
        if n % 4 == 3:
            streak = with_freezes(streak, 1, at, zone, terms)
            events.append(GotFreezes(at, 1, zone, terms))
        longer = extend(streak, at + TICK, zone, terms)
        if longer is not None:
            streak = longer
            events.append(TappedDay(at + TICK, longer.last_day, longer.zone, terms))
        assert fold(events).streak == streak


@given(travels(), terms_of_any_kind)
def test_a_running_streak_keeps_its_zone_and_no_day_is_paid_twice(
    stops: list[tuple[datetime, str]], terms: DailyStreak
) -> None:
    streak: Streak | None = None
    for at, zone in stops:
        longer = extend(streak, at, zone, terms)
        if longer is None:
            continue
        if streak is not None:
            assert longer.last_day > streak.last_day
            if running(streak, at, terms):
                assert (longer.zone, longer.days) == (streak.zone, streak.days + 1)
            else:
                assert (longer.zone, longer.days) == (zone, 1)
        streak = longer


@given(taps(), st.lists(zones, min_size=1), terms_of_any_kind)
def test_moving_gains_and_loses_nothing_while_the_run_goes_on(
    tapped: tuple[str, list[datetime]], elsewhere: list[str], terms: DailyStreak
) -> None:
    """The same taps, at home and on a journey, until the run ends: the same days, freezes and best."""
    zone, times = tapped
    home: Streak | None = None
    away: Streak | None = None
    for n, at in enumerate(times):
        if home is not None and not running(home, at, terms):
            return
        here = zone if away is None else elsewhere[n % len(elsewhere)]
        home, away = extend(home, at, zone, terms) or home, extend(away, at, here, terms) or away
        assert home == away
        assert freezes_at(home, at, terms) == freezes_at(away, at, terms)


def test_a_freeze_is_spent_by_the_date_where_the_run_began() -> None:
    """The 22nd is over in Auckland eleven hours before it is over by UTC."""
    terms = DailyStreak(freezes=FreezeTerms(start=1, max=1))
    auckland = "Pacific/Auckland"
    streak = extend(None, datetime(2026, 11, 20, 12, tzinfo=UTC), auckland, terms)  # The 21st there.
    over = datetime(2026, 11, 22, 11, tzinfo=UTC)
    assert freezes_at(streak, over - TICK, terms) == 1
    assert freezes_at(streak, over, terms) == 0
    assert streak is not None
    next_over = over + DAY
    assert running(streak, next_over - TICK, terms)
    assert not running(streak, next_over, terms)
    lost = lost_run(streak, next_over, terms)
    assert lost is not None
    assert (lost.days, lost.on) == (1, date(2026, 11, 23))


def test_a_tap_in_the_grace_counts_for_yesterday_where_that_has_none() -> None:
    terms = DailyStreak(grace_until="03:00")
    night = datetime(2026, 11, 21, 1, 30, tzinfo=UTC)  # 02:30 in Madrid.
    streak = extend(None, night, MADRID, terms)
    assert streak is not None
    assert streak.last_day == date(2026, 11, 20)
    streak = extend(streak, night + TICK, MADRID, terms)
    assert streak is not None
    assert (streak.last_day, streak.days) == (date(2026, 11, 21), 2)
    assert extend(streak, night + 2 * TICK, MADRID, terms) is None
    morning = night + timedelta(minutes=30)
    assert day_of(None, morning, MADRID, terms)[0] == date(2026, 11, 21), "at 03:00 it is over"
    next_night = night + 2 * DAY
    assert running(streak, next_night, terms)
    assert not running(streak, next_night + timedelta(minutes=30), terms)


def test_freezes_of_a_later_version_cover_no_day_that_was_missed_before() -> None:
    terms = DailyStreak(freezes=FreezeTerms(start=2, max=2))
    streak = extend(None, datetime(2026, 11, 1, 12, tzinfo=UTC), MADRID, PLAIN)
    assert streak is not None
    since = start_of_day(date(2026, 11, 3), MADRID)
    lost = introduce(streak, since, terms)
    assert (lost.ended_on, lost.freezes) == (date(2026, 11, 2), 2)
    kept = introduce(streak, since - DAY, terms)
    assert (kept.ended_on, kept.freezes) == (None, 2)
    on_third = datetime(2026, 11, 4, 12, tzinfo=UTC)
    after_gap = extend(kept, on_third, MADRID, terms)
    assert after_gap is not None
    assert (after_gap.days, after_gap.frozen, after_gap.freezes) == (2, 2, 0)
    events: list[StreakEvent] = [
        TappedDay(streak.at, streak.last_day, MADRID, PLAIN),
        TappedDay(on_third, date(2026, 11, 4), MADRID, terms),
    ]
    assert fold(events, Introduction(since - DAY, terms)).streak == after_gap


def test_a_freeze_bought_after_the_loss_is_for_the_next_run() -> None:
    terms = DailyStreak(freezes=FreezeTerms(start=0, max=2, price_points=5))
    streak = extend(None, datetime(2026, 11, 1, 12, tzinfo=UTC), MADRID, terms)
    late = datetime(2026, 11, 3, 12, tzinfo=UTC)
    streak = with_freezes(streak, 1, late, MADRID, terms)
    assert (running(streak, late, terms), freezes_at(streak, late, terms)) == (False, 1)
    lost = lost_run(streak, late, terms)
    assert lost is not None
    assert (lost.days, lost.on) == (1, date(2026, 11, 2))
    again = extend(streak, late, MADRID, terms)
    assert again is not None
    assert (again.days, again.freezes) == (1, 1)
    assert lost_run(again, late, terms) is None


@given(travels(), zones, terms_of_any_kind)
def test_the_next_tap_opens_exactly_at_next_tap_at(
    stops: list[tuple[datetime, str]], zone: str, terms: DailyStreak
) -> None:
    streak = after(stops, terms)
    at = stops[-1][0]
    shown = view(streak, at, zone, terms, bonus_every_days=7)
    if shown.next_tap_at <= at:
        assert extend(streak, at, zone, terms) is not None
    else:
        assert extend(streak, at, zone, terms) is None
        assert extend(streak, shown.next_tap_at - TICK, zone, terms) is None
        # After the streak has ended, days are those of the new zone. The time shown is never too early.
        assert extend(streak, shown.next_tap_at, zone, terms) is not None


@given(taps(), st.integers(2, 14))
def test_the_bonus_comes_after_next_bonus_in_taps(tapped: tuple[str, list[datetime]], every: int) -> None:
    zone, times = tapped
    streak = after([(at, zone) for at in times], PLAIN)
    shown = view(streak, times[-1], zone, PLAIN, bonus_every_days=every)
    assert streak is not None
    assert shown.days == streak.days
    assert shown.next_bonus_in is not None
    assert 1 <= shown.next_bonus_in <= every
    assert (shown.days + shown.next_bonus_in) % every == 0


def test_an_ended_streak_is_shown_as_0_days() -> None:
    at = datetime(2022, 11, 6, 9, tzinfo=UTC)
    streak = Streak(last_day=date(2022, 11, 6), days=6, zone=MADRID, at=at, best=9)
    late = datetime(2022, 11, 8, 9, tzinfo=UTC)
    shown = view(streak, late, MADRID, PLAIN, bonus_every_days=7)
    assert (shown.days, shown.next_bonus_in, shown.best) == (0, 7, 9)
    assert shown.next_tap_at <= late
    assert view(None, late, MADRID, PLAIN, bonus_every_days=None).next_bonus_in is None


def test_a_member_who_moves_west_does_not_tap_a_date_again() -> None:
    east, west = "Pacific/Kiritimati", "Etc/GMT+12"
    at = datetime(2022, 11, 5, 12, tzinfo=UTC)
    streak = Streak(last_day=date(2022, 11, 6), days=3, zone=east, at=at, best=3)
    ended = datetime(2022, 11, 7, 11, tzinfo=UTC)  # The 8th in the east, still the 6th in the west.
    assert day_of(streak, ended, west, PLAIN) == (date(2022, 11, 6), west)
    assert extend(streak, ended, west, PLAIN) is None
    again = extend(streak, ended + timedelta(days=1), west, PLAIN)
    assert again is not None
    assert (again.last_day, again.days, again.zone) == (date(2022, 11, 7), 1, west)


@given(travels(), st.integers(0, 200), zones, terms_of_any_kind)
def test_a_streak_restored_to_the_gate_continues_like_the_real_one(
    stops: list[tuple[datetime, str]], hours: int, zone: str, terms: DailyStreak
) -> None:
    streak = after(stops, terms)
    assert streak is not None
    at = stops[-1][0] + timedelta(hours=hours)
    restored = restored_streak(streak, at=at, zone=zone, terms=terms)
    assert extend(restored, at, zone, terms) == extend(streak, at, zone, terms)


@given(travels(), terms_of_any_kind, st.booleans())
def test_a_credit_records_the_streak_after_it(
    stops: list[tuple[datetime, str]], terms: DailyStreak, late: bool
) -> None:
    streak = after(stops, terms)
    assert streak is not None
    day = streak.last_day - DAY if late else streak.last_day
    inputs = {"day": day.isoformat(), "streak_days": streak.days, "zone": streak.zone}
    assert recorded(inputs | run_inputs(streak, day, streak.at), streak.at) == streak
    earlier = streak.at - DAY
    assert recorded(inputs | run_inputs(streak, day, earlier), earlier) == streak, "a freeze came later"
    ended = replace(streak, ended_on=day)
    assert recorded(inputs | run_inputs(ended, day, streak.at), streak.at) == ended
