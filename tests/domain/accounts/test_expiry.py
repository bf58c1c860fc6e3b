"""Expiry of points at the boundaries of each kind, in the members' zones."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engage.domain.accounts.expiry import EndOfYear, Expiry, Never, Rolling, Yearly
from tests.domain.strategies import zoned_instants

ROLLING = Rolling(months=12)
NEW_YEARS_NOON = Yearly(month=1, day=1, at=time(12), months=12)
END_OF_NEXT_YEAR = EndOfYear(years_later=1)

MADRID, LONDON, OUAGADOUGOU = "Europe/Madrid", "Europe/London", "Africa/Ouagadougou"
MINSK, KOLKATA, AUCKLAND = "Europe/Minsk", "Asia/Kolkata", "Pacific/Auckland"


def ends(expiry: Expiry, zone: str, active_at: str) -> datetime | None:
    return expiry.expires_at(datetime.fromisoformat(active_at), zone)


@pytest.mark.parametrize(
    ("zone", "active_at", "ends_at"),
    [
        (MADRID, "2026-11-21T13:05:00+01:00", "2027-11-21T13:05:00+01:00"),
        (MADRID, "2024-02-29T23:59:59+01:00", "2025-02-28T23:59:59+01:00"),
        (MADRID, "2027-02-28T12:00:00+01:00", "2028-02-28T12:00:00+01:00"),
        # Summer time begins and ends on different days each year: local time counts.
        (MADRID, "2026-03-28T12:00:00+01:00", "2027-03-28T12:00:00+02:00"),
        (MADRID, "2026-10-25T12:00:00+01:00", "2027-10-25T12:00:00+02:00"),
        (MADRID, "2026-03-28T02:30:00+01:00", "2027-03-28T03:30:00+02:00"),  # 02:30 is skipped.
        (MADRID, "2026-10-25T02:30:00+02:00", "2027-10-25T02:30:00+02:00"),
        (LONDON, "2026-03-28T01:30:00+00:00", "2027-03-28T02:30:00+01:00"),  # 01:30 is skipped.
        (
            LONDON,
            "2026-10-31T01:30:00+00:00",
            "2027-10-31T01:30:00+01:00",
        ),  # 01:30 occurs twice: the first counts.
        (LONDON, "2026-06-30T23:30:00+00:00", "2027-06-30T23:30:00+00:00"),
        (OUAGADOUGOU, "2026-12-31T23:59:59+00:00", "2027-12-31T23:59:59+00:00"),
        (MINSK, "2026-07-01T00:00:00+03:00", "2027-07-01T00:00:00+03:00"),
        (KOLKATA, "2024-02-29T00:00:00+05:30", "2025-02-28T00:00:00+05:30"),
        (AUCKLAND, "2026-09-27T03:00:00+13:00", "2027-09-27T03:00:00+13:00"),
        (AUCKLAND, "2026-04-05T12:00:00+12:00", "2027-04-05T12:00:00+12:00"),
    ],
)
def test_rolling_points_end_a_year_later_by_the_members_clock(
    zone: str, active_at: str, ends_at: str
) -> None:
    assert ends(ROLLING, zone, active_at) == datetime.fromisoformat(ends_at)


@pytest.mark.parametrize(
    ("zone", "active_at", "ends_at"),
    [
        # "The first 1 January 12:00 local that is strictly later than a year after."
        (OUAGADOUGOU, "2025-01-01T11:59:59.999999+00:00", "2026-01-01T12:00:00+00:00"),
        (OUAGADOUGOU, "2025-01-01T12:00:00+00:00", "2027-01-01T12:00:00+00:00"),
        (OUAGADOUGOU, "2025-01-01T12:00:00.000001+00:00", "2027-01-01T12:00:00+00:00"),
        (OUAGADOUGOU, "2025-12-31T23:59:59+00:00", "2027-01-01T12:00:00+00:00"),
        (OUAGADOUGOU, "2026-01-01T00:00:00+00:00", "2027-01-01T12:00:00+00:00"),
        (OUAGADOUGOU, "2024-02-29T10:00:00+00:00", "2026-01-01T12:00:00+00:00"),
        (OUAGADOUGOU, "2026-11-21T10:00:00+00:00", "2028-01-01T12:00:00+00:00"),
        (MADRID, "2025-01-01T11:59:59+01:00", "2026-01-01T12:00:00+01:00"),
        (MADRID, "2025-01-01T11:00:00+00:00", "2027-01-01T12:00:00+01:00"),
        (LONDON, "2025-07-01T00:00:00+01:00", "2027-01-01T12:00:00+00:00"),
        (MINSK, "2025-01-01T08:59:59+00:00", "2026-01-01T12:00:00+03:00"),
        (MINSK, "2025-01-01T09:00:00+00:00", "2027-01-01T12:00:00+03:00"),
        (KOLKATA, "2025-01-01T06:29:59+00:00", "2026-01-01T12:00:00+05:30"),
        (KOLKATA, "2025-01-01T06:30:00+00:00", "2027-01-01T12:00:00+05:30"),
        # At noon of New Year's Day in Auckland, London is still in the old year.
        (AUCKLAND, "2024-12-31T22:59:59+00:00", "2026-01-01T12:00:00+13:00"),
        (AUCKLAND, "2024-12-31T23:00:00+00:00", "2027-01-01T12:00:00+13:00"),
    ],
)
def test_points_older_than_a_year_end_at_noon_of_new_years_day(
    zone: str, active_at: str, ends_at: str
) -> None:
    assert ends(NEW_YEARS_NOON, zone, active_at) == datetime.fromisoformat(ends_at)


@pytest.mark.parametrize(
    ("zone", "active_at", "ends_at"),
    [
        (KOLKATA, "2026-01-01T00:00:00+05:30", "2028-01-01T00:00:00+05:30"),
        (KOLKATA, "2026-12-31T23:59:59.999999+05:30", "2028-01-01T00:00:00+05:30"),
        (KOLKATA, "2026-12-31T18:30:00+00:00", "2029-01-01T00:00:00+05:30"),
        (KOLKATA, "2024-02-29T12:00:00+05:30", "2026-01-01T00:00:00+05:30"),
        (MADRID, "2026-12-31T23:00:00+00:00", "2029-01-01T00:00:00+01:00"),
        (LONDON, "2026-12-31T23:00:00+00:00", "2028-01-01T00:00:00+00:00"),
        (AUCKLAND, "2026-12-31T11:00:00+00:00", "2029-01-01T00:00:00+13:00"),
        (MINSK, "2026-06-01T00:00:00+03:00", "2028-01-01T00:00:00+03:00"),
        (OUAGADOUGOU, "2026-06-01T00:00:00+00:00", "2028-01-01T00:00:00+00:00"),
    ],
)
def test_points_end_with_the_year_after_theirs(zone: str, active_at: str, ends_at: str) -> None:
    assert ends(END_OF_NEXT_YEAR, zone, active_at) == datetime.fromisoformat(ends_at)


def test_some_points_never_end() -> None:
    assert ends(Never(), MINSK, "2026-11-21T12:00:00+03:00") is None


@example(("Antarctica/Troll", datetime(2028, 3, 26, 0, 59, 59, tzinfo=UTC)), ROLLING)
@given(zoned_instants(), st.sampled_from([ROLLING, NEW_YEARS_NOON, END_OF_NEXT_YEAR]))
def test_points_last_their_time_and_not_another_year(zoned: tuple[str, datetime], expiry: Expiry) -> None:
    zone, at = zoned
    end = expiry.expires_at(at, zone)
    assert end is not None
    # In local time, because clocks change in between: by two hours in Troll.
    began, ended = (instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for instant in (at, end))
    assert timedelta(days=365) <= ended - began <= timedelta(days=2 * 366 + 1)


@given(zoned_instants(), st.timedeltas(timedelta(), timedelta(days=800)))
def test_points_that_came_first_do_not_end_last(zoned: tuple[str, datetime], later: timedelta) -> None:
    zone, at = zoned
    # Not for rolling points: their order may change when clocks are set back.
    for expiry in (NEW_YEARS_NOON, END_OF_NEXT_YEAR):
        first, second = expiry.expires_at(at, zone), expiry.expires_at(at + later, zone)
        assert first is not None
        assert second is not None
        assert second >= first or at.year == 2011  # Apia skipped a day that year.
