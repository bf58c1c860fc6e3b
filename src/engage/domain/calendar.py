"""Calendar days and months in a member's zone: half-open windows, across clock changes.

All instants are aware datetimes; results are in UTC. A period is a window's number, small enough for the
gate's 16 bits: days since 1970-01-01, or months since the year 0.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

from engage.domain.keys import EVER

WindowKind = Literal["day", "month"]
PeriodKind = Literal["ever", "day", "week", "month"]

_EPOCH_DAY = date(1970, 1, 1).toordinal()


class Window(Struct, frozen=True):
    """A calendar day or month: [start, end)."""

    kind: WindowKind
    label: str  # In source keys: 2026-11-21 or 2026-11.
    first_day: date
    period: int
    start: datetime
    end: datetime


class Period(Struct, frozen=True):
    """All time, or a calendar day, a week from Monday or a month: [start, end). All time has no ends."""

    kind: PeriodKind
    label: str  # In source keys: ever, 2026-11-21, 2026-W47 or 2026-11.
    start: datetime | None
    end: datetime | None


# Requests that are answered together ask for the day of one instant, in few zones.
@lru_cache(1_024)
def local_date(at: datetime, zone: str) -> date:
    return at.astimezone(ZoneInfo(zone)).date()


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return day.toordinal() - _EPOCH_DAY


def day_of_number(number: int) -> date:
    return date.fromordinal(number + _EPOCH_DAY)


@lru_cache(1_024)
def start_of_day(day: date, zone: str) -> datetime:
    """The first instant of a local day, in UTC.

    If the clocks skip midnight, the day begins at the skip; if midnight occurs twice, at the first. A day
    that a zone skipped (Apia, 30 December 2011) is empty. Since 2012 days have no gap or overlap in any
    zone; before, a few zones turned back just after midnight into the day before.
    """
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


def instant(at: datetime, zone: str) -> datetime:
    """`at` in UTC. Without an offset it is local time of the zone, the first if that occurs twice."""
    return (at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def happens(local: datetime, zone: str) -> bool:
    """Tell whether the zone has this local time; the start of summer time skips some."""
    return instant(local, zone).astimezone(ZoneInfo(zone)).replace(tzinfo=None) == local


@lru_cache(1_024)
def window(kind: WindowKind, at: datetime, zone: str) -> Window:
    """The window that contains `at`, in that zone."""
    day = local_date(at, zone)
    if kind == "day":
        return Window(
            kind,
            day.isoformat(),
            day,
            day_number(day),
            start_of_day(day, zone),
            start_of_day(day + timedelta(days=1), zone),
        )
    first = day.replace(day=1)
    following = add_months(first, 1)
    return Window(
        kind,
        f"{first:%Y-%m}",
        first,
        first.year * 12 + first.month - 1,
        start_of_day(first, zone),
        start_of_day(following, zone),
    )


def period(kind: PeriodKind, at: datetime, zone: str) -> Period:
    """The period that contains `at`, in that zone."""
    match kind:
        case "ever":
            return Period(kind, EVER, None, None)
        case "week":
            day = local_date(at, zone)
            monday = day - timedelta(days=day.weekday())
            return Period(
                kind,
                f"{day:%G-W%V}",
                start_of_day(monday, zone),
                start_of_day(monday + timedelta(days=7), zone),
            )
        case _:
            found = window(kind, at, zone)
            return Period(kind, found.label, found.start, found.end)


def add_months(day: date, months: int) -> date:
    """The same day of a later month, or the last day of a shorter month."""
    month = day.year * 12 + day.month - 1 + months
    year, month0 = divmod(month, 12)
    first_of_next = date(year + (month0 == 11), (month0 + 1) % 12 + 1, 1)
    last_day = (first_of_next - timedelta(days=1)).day
    return date(year, month0 + 1, min(day.day, last_day))


def months_later(at: datetime, months: int, zone: str) -> datetime:
    """The same local time of day `months` later, in UTC.

    If the clocks skip that time, it is as much later; if it occurs twice, it is the first, unless `at` itself
    was the second of its day.
    """
    local = at.astimezone(ZoneInfo(zone))
    moved = datetime.combine(add_months(local.date(), months), local.timetz())
    # Of a skipped time the second reading is the earlier one.
    return max(moved.astimezone(UTC), moved.replace(fold=0).astimezone(UTC))


def yearly_after(at: datetime, *, months: int, month: int, day: int, local: time, zone: str) -> datetime:
    """The first occurrence of that day and local time that is strictly later than `months` after `at`."""
    after = months_later(at, months, zone)
    year = local_date(after, zone).year
    coming = (instant(datetime.combine(date(y, month, day), local), zone) for y in (year, year + 1))
    return next(moment for moment in coming if moment > after)


def end_of_year(at: datetime, *, years_later: int, zone: str) -> datetime:
    """The end of the local year `years_later` after that of `at`, in UTC."""
    return start_of_day(date(local_date(at, zone).year + years_later + 1, 1, 1), zone)


def next_day(at: datetime, zone: str) -> datetime:
    """The start of the next local day, in UTC."""
    return start_of_day(local_date(at, zone) + timedelta(days=1), zone)
