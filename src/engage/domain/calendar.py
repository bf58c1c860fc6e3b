"""Days and months as a member lives them: calendar windows in a zone, half-open, across DST.

All instants are aware datetimes; what comes out is in UTC. A "period" is a window's number, small enough
for the gate's 16 bits: days since 1970-01-01, or months since the year 0.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

WindowKind = Literal["day", "month"]

_EPOCH_DAY = date(1970, 1, 1).toordinal()


class Window(Struct, frozen=True):
    """A calendar day or month: [start, end)."""

    kind: WindowKind
    label: str  # As source keys write it: 2026-11-21 or 2026-11.
    period: int
    start: datetime
    end: datetime


def local_date(at: datetime, zone: str) -> date:
    return at.astimezone(ZoneInfo(zone)).date()


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return day.toordinal() - _EPOCH_DAY


def day_of_number(number: int) -> date:
    return date.fromordinal(number + _EPOCH_DAY)


def start_of_day(day: date, zone: str) -> datetime:
    """The first instant of a local day, in UTC.

    Where the clocks skip midnight the day begins at the skip; where midnight comes twice, at the first. A day
    that a zone skipped whole (Apia, 30 December 2011) is empty. Days follow each other without gap or
    overlap in every zone since 2012; before, a few zones turned back just after midnight into the day before.
    """
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


def instant(at: datetime, zone: str) -> datetime:
    """`at` in UTC. Without an offset it is local time of the zone; where that comes twice, the first."""
    return (at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def happens(local: datetime, zone: str) -> bool:
    """Whether clocks of the zone ever show this local time; at the start of summer time they skip some."""
    return instant(local, zone).astimezone(ZoneInfo(zone)).replace(tzinfo=None) == local


def window(kind: WindowKind, at: datetime, zone: str) -> Window:
    """The window of that kind that `at` lies in, in that zone."""
    day = local_date(at, zone)
    if kind == "day":
        return Window(
            kind,
            day.isoformat(),
            day_number(day),
            start_of_day(day, zone),
            start_of_day(day + timedelta(days=1), zone),
        )
    first = day.replace(day=1)
    following = add_months(first, 1)
    return Window(
        kind,
        f"{first:%Y-%m}",
        first.year * 12 + first.month - 1,
        start_of_day(first, zone),
        start_of_day(following, zone),
    )


def add_months(day: date, months: int) -> date:
    """The same day of a later month, or that month's last day where it has no such day."""
    month = day.year * 12 + day.month - 1 + months
    year, month0 = divmod(month, 12)
    first_of_next = date(year + (month0 == 11), (month0 + 1) % 12 + 1, 1)
    last_day = (first_of_next - timedelta(days=1)).day
    return date(year, month0 + 1, min(day.day, last_day))


def months_later(at: datetime, months: int, zone: str) -> datetime:
    """The same local time of day `months` later, in UTC.

    Where the clocks skip that time it is as much later; where it comes twice it is the first, unless `at`
    itself was the second of its day.
    """
    local = at.astimezone(ZoneInfo(zone))
    moved = datetime.combine(add_months(local.date(), months), local.timetz())
    # For a time that is skipped, the second reading is the earlier one.
    return max(moved.astimezone(UTC), moved.replace(fold=0).astimezone(UTC))


def yearly_after(at: datetime, *, months: int, month: int, day: int, local: time, zone: str) -> datetime:
    """The first time that a year comes to that day and local time, strictly later than `months` later."""
    after = months_later(at, months, zone)
    year = local_date(after, zone).year
    coming = (instant(datetime.combine(date(y, month, day), local), zone) for y in (year, year + 1))
    return next(moment for moment in coming if moment > after)


def end_of_year(at: datetime, *, years_later: int, zone: str) -> datetime:
    """The end of the local year that lies `years_later` after that of `at`, in UTC."""
    return start_of_day(date(local_date(at, zone).year + years_later + 1, 1, 1), zone)


def next_day(at: datetime, zone: str) -> datetime:
    """The start of the next local day, in UTC."""
    return start_of_day(local_date(at, zone) + timedelta(days=1), zone)
