"""Days and months in members' zones, across clock changes."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.domain.calendar import (
    WindowKind,
    add_months,
    day_number,
    day_of_number,
    end_of_year,
    happens,
    instant,
    local_date,
    months_later,
    next_day,
    start_of_day,
    window,
    yearly_after,
)
from engage.domain.document import iso_codes
from tests.domain.strategies import instants, zoned_instants

kinds: st.SearchStrategy[WindowKind] = st.sampled_from(["day", "month"])
dates = st.dates(date(1990, 1, 1), date(2100, 12, 31))

SINCE_2012 = datetime(2012, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)


@given(zoned_instants(), kinds)
def test_windows_tile_time_without_gap_or_overlap(zoned: tuple[str, datetime], kind: WindowKind) -> None:
    zone, at = zoned
    found = window(kind, at, zone)
    assert found.start <= at < found.end
    following, before = window(kind, found.end, zone), window(kind, found.start - TICK, zone)
    assert following.start == found.end
    assert before.end == found.start
    assert before.period < found.period < following.period


@given(st.sampled_from(sorted(iso_codes.zones())), instants(SINCE_2012), kinds)
def test_windows_tile_time_in_every_zone(zone: str, at: datetime, kind: WindowKind) -> None:
    found = window(kind, at, zone)
    assert found.start <= at < found.end
    assert window(kind, found.end, zone).start == found.end


@given(zoned_instants(), kinds, st.fractions(0, 1))
def test_every_instant_of_a_window_is_in_that_window(
    zoned: tuple[str, datetime], kind: WindowKind, share: float
) -> None:
    zone, at = zoned
    found = window(kind, at, zone)
    inside = found.start + (found.end - TICK - found.start) * float(share)
    assert window(kind, min(inside, found.end - TICK), zone) == found


@given(zoned_instants(), kinds)
def test_windows_are_half_open(zoned: tuple[str, datetime], kind: WindowKind) -> None:
    zone, at = zoned
    found = window(kind, at, zone)
    assert window(kind, found.start, zone) == found
    assert window(kind, found.end - TICK, zone) == found
    assert window(kind, found.end, zone) != found


@given(zoned_instants())
def test_a_day_begins_when_clocks_first_show_its_date(zoned: tuple[str, datetime]) -> None:
    zone, at = zoned
    found = window("day", at, zone)
    begins = found.start.astimezone(ZoneInfo(zone))
    assert begins.date().isoformat() == found.label
    assert (found.start - TICK).astimezone(ZoneInfo(zone)).date() < begins.date()
    # Midnight, or the first time there is where the clocks skip it.
    midnight = begins.replace(tzinfo=None, fold=0, hour=0, minute=0)
    assert begins.time() == time() or not happens(midnight, zone)


@given(zoned_instants())
def test_a_month_holds_the_days_of_its_name(zoned: tuple[str, datetime]) -> None:
    zone, at = zoned
    day, month = window("day", at, zone), window("month", at, zone)
    assert day.label.startswith(month.label)
    assert month.start <= day.start < day.end <= month.end


@pytest.mark.parametrize(
    ("zone", "day", "hours", "start"),
    [
        ("Europe/Madrid", "2022-10-30", 25, "2022-10-29T22:00:00"),
        ("Europe/Madrid", "2023-03-26", 23, "2023-03-25T23:00:00"),
        ("Europe/London", "2022-10-30", 25, "2022-10-29T23:00:00"),
        ("Europe/London", "2023-03-26", 23, "2023-03-26T00:00:00"),
        ("America/Sao_Paulo", "2018-11-04", 23, "2018-11-04T03:00:00"),  # The day begins at 01:00.
        ("America/Sao_Paulo", "2018-02-17", 25, "2018-02-17T02:00:00"),  # 23:00 occurs twice.
        ("Africa/Cairo", "2023-04-28", 23, "2023-04-27T22:00:00"),
        ("Africa/Cairo", "2023-10-26", 25, "2023-10-25T21:00:00"),
        ("Asia/Beirut", "2022-03-27", 23, "2022-03-26T22:00:00"),
        ("Asia/Beirut", "2022-10-29", 25, "2022-10-28T21:00:00"),
        ("America/Havana", "2022-11-06", 25, "2022-11-06T04:00:00"),  # Midnight occurs twice.
        ("Australia/Lord_Howe", "2022-04-03", 24.5, "2022-04-02T13:00:00"),
        ("Pacific/Apia", "2011-12-29", 24, "2011-12-29T10:00:00"),
        ("Pacific/Apia", "2011-12-30", 0, "2011-12-30T10:00:00"),  # The day was skipped.
        ("Pacific/Apia", "2011-12-31", 24, "2011-12-30T10:00:00"),
    ],
)
def test_a_day_is_as_long_as_its_clocks_say(zone: str, day: str, hours: float, start: str) -> None:
    this = date.fromisoformat(day)
    begins, ends = start_of_day(this, zone), start_of_day(this + timedelta(days=1), zone)
    assert begins == datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert ends - begins == timedelta(hours=hours)


@given(dates)
def test_a_day_number_converts_back_to_its_day(day: date) -> None:
    assert day_of_number(day_number(day)) == day
    assert day_number(day + timedelta(days=1)) == day_number(day) + 1


def test_periods_fit_sixteen_bits_for_the_next_century() -> None:
    last = datetime(2149, 1, 1, tzinfo=UTC)
    assert window("day", last, "UTC").period < 2**16
    assert window("month", last, "UTC").period < 2**16


@given(dates, st.integers(-240, 240))
def test_months_are_added_by_the_calendar(day: date, months: int) -> None:
    moved = add_months(day, months)
    assert moved.year * 12 + moved.month == day.year * 12 + day.month + months
    assert moved.day <= day.day
    # The day differs only if the month is too short: then it is the last of the month.
    assert moved.day == day.day or (moved + timedelta(days=1)).month != moved.month


@given(dates, st.integers(0, 120))
def test_adding_months_keeps_the_order_of_days(day: date, months: int) -> None:
    assert add_months(day, months) <= add_months(day + timedelta(days=1), months)


@given(zoned_instants(), st.integers(1, 36))
def test_months_later_is_the_same_time_of_day(zoned: tuple[str, datetime], months: int) -> None:
    zone, at = zoned
    local = at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    wanted = datetime.combine(add_months(local.date(), months), local.time())
    later = months_later(at, months, zone).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    if happens(wanted, zone):
        assert later == wanted
    else:
        assert later > wanted  # Clocks skip this time. Points never end early.


@pytest.mark.parametrize(
    ("at", "months", "later"),
    [
        ("2024-02-29T12:00:00+01:00", 12, "2025-02-28T12:00:00+01:00"),
        ("2022-03-26T02:30:00+01:00", 12, "2023-03-26T03:30:00+02:00"),  # 02:30 is skipped.
        (
            "2011-10-30T02:00:00+01:00",
            29,
            "2014-03-30T03:00:00+02:00",
        ),  # 02:00 occurs twice at first, and is skipped later.
        ("2022-10-30T02:30:00+01:00", 12, "2023-10-30T02:30:00+01:00"),
        ("2021-10-30T02:30:00+02:00", 12, "2022-10-30T02:30:00+02:00"),
        ("2022-08-31T10:00:00+02:00", 6, "2023-02-28T10:00:00+01:00"),
    ],
)
def test_points_end_at_the_same_local_time(at: str, months: int, later: str) -> None:
    found = months_later(datetime.fromisoformat(at), months, "Europe/Madrid")
    assert found == datetime.fromisoformat(later)


@given(zoned_instants())
def test_local_time_names_its_instant(zoned: tuple[str, datetime]) -> None:
    zone, at = zoned
    local = at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    assert happens(local, zone)
    assert instant(at.astimezone(ZoneInfo(zone)), "UTC") == at
    assert instant(local.replace(fold=0), zone) <= at  # The first of two equal local times.
    assert local_date(instant(local, zone), zone) == local.date()


@given(zoned_instants())
def test_the_next_day_begins_where_this_one_ends(zoned: tuple[str, datetime]) -> None:
    zone, at = zoned
    found = next_day(at, zone)
    assert found == window("day", at, zone).end
    assert at < found
    assert local_date(found - TICK, zone) == local_date(at, zone)


@pytest.mark.parametrize(
    ("zone", "at", "begins"),
    [
        ("Europe/Minsk", "2026-11-21T12:00:00+03:00", "2026-11-22T00:00:00+03:00"),
        ("Europe/Minsk", "2026-11-21T00:00:00+03:00", "2026-11-22T00:00:00+03:00"),
        ("Europe/Minsk", "2026-11-21T23:59:59.999999+03:00", "2026-11-22T00:00:00+03:00"),
        ("Europe/Madrid", "2026-10-24T12:00:00+02:00", "2026-10-25T00:00:00+02:00"),
        ("Europe/Madrid", "2026-10-25T00:30:00+02:00", "2026-10-26T00:00:00+01:00"),  # 24.5 hours later.
        ("Europe/London", "2027-03-28T00:30:00+00:00", "2027-03-29T00:00:00+01:00"),  # 22.5 hours later.
        ("Pacific/Auckland", "2026-09-26T23:00:00+12:00", "2026-09-27T00:00:00+12:00"),
        ("Pacific/Auckland", "2026-09-27T12:00:00+13:00", "2026-09-28T00:00:00+13:00"),
        ("Asia/Kolkata", "2024-02-28T18:29:59+00:00", "2024-02-29T00:00:00+05:30"),
        ("Asia/Kolkata", "2024-02-28T18:30:00+00:00", "2024-03-01T00:00:00+05:30"),
    ],
)
def test_the_next_day_is_that_of_the_members_calendar(zone: str, at: str, begins: str) -> None:
    assert next_day(datetime.fromisoformat(at), zone) == datetime.fromisoformat(begins)


yearly = st.tuples(
    st.integers(0, 36),
    st.integers(1, 12),
    st.integers(1, 28),
    st.times().map(lambda at: at.replace(microsecond=0)),
)


@given(zoned_instants(), yearly)
def test_a_yearly_time_is_the_first_that_comes_later(
    zoned: tuple[str, datetime], rule: tuple[int, int, int, time]
) -> None:
    zone, at = zoned
    months, month, day, local = rule
    found = yearly_after(at, months=months, month=month, day=day, local=local, zone=zone)
    after = months_later(at, months, zone)
    year = local_date(found, zone).year
    times = [instant(datetime.combine(date(y, month, day), local), zone) for y in range(year - 2, year + 3)]
    # Strictly after the end of the months, and no earlier year qualifies.
    assert found == min(candidate for candidate in times if candidate > after)


@given(zoned_instants(), yearly)
def test_at_a_yearly_time_the_next_is_a_year_away(
    zoned: tuple[str, datetime], rule: tuple[int, int, int, time]
) -> None:
    zone, at = zoned
    months, month, day, local = rule
    found = yearly_after(at, months=months, month=month, day=day, local=local, zone=zone)
    after = months_later(at, months, zone)
    # Counted from the yearly time itself, the next one is a year later.
    following = yearly_after(found, months=0, month=month, day=day, local=local, zone=zone)
    assert local_date(following, zone).year == local_date(found, zone).year + 1
    assert after < found < following


@given(zoned_instants(), st.integers(0, 10))
def test_a_year_ends_where_the_next_begins(zoned: tuple[str, datetime], years_later: int) -> None:
    zone, at = zoned
    found = end_of_year(at, years_later=years_later, zone=zone)
    assert local_date(found - TICK, zone).year == local_date(at, zone).year + years_later
    begins = found.astimezone(ZoneInfo(zone))
    assert (begins.year, begins.month, begins.day) == (local_date(at, zone).year + years_later + 1, 1, 1)
    assert found > at
    assert end_of_year(found, years_later=0, zone=zone) > found
