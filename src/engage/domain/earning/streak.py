"""A run of days in a row on which a member did something, and what a screen shows of it."""

from datetime import date, datetime, timedelta

from msgspec import Struct

from engage.domain import calendar


class Streak(Struct, frozen=True):
    """A run's last day, its length so far, and the zone it began in, which stays its zone."""

    last_day: date
    days: int
    zone: str


class StreakView(Struct, frozen=True):
    """A streak at an instant. `next_tap_at` is past or now when a tap is open."""

    days: int
    next_tap_at: datetime
    next_bonus_in: int | None


def running(streak: Streak, at: datetime) -> bool:
    """Whether the run still stands at `at`: its last day is today or yesterday, in its own zone."""
    return calendar.local_date(at, streak.zone) <= streak.last_day + timedelta(days=1)


def day_of(streak: Streak | None, at: datetime, zone: str) -> tuple[date, str]:
    """The day that an activity at `at` counts for, and the zone it is a day of.

    A running streak keeps the zone it began in; once it has ended, the member's own zone counts.
    """
    if streak is not None and running(streak, at):
        zone = streak.zone
    return calendar.local_date(at, zone), zone


def extend(streak: Streak | None, at: datetime, zone: str) -> Streak | None:
    """The streak with today in it, or None when that day has been used.

    A member who moves west after a run has ended may meet a date again that the run had: it stays used.
    """
    day, zone = day_of(streak, at, zone)
    if streak is None:
        return Streak(day, 1, zone)
    if day <= streak.last_day:
        return None
    return Streak(day, streak.days + 1 if running(streak, at) else 1, zone)


def view(streak: Streak | None, at: datetime, zone: str, *, bonus_every_days: int | None) -> StreakView:
    """What the home screen shows at `at`: a run that was broken counts 0 days."""
    day, zone = day_of(streak, at, zone)
    tapped = streak is not None and day <= streak.last_day
    days = streak.days if streak is not None and running(streak, at) else 0
    next_day = streak.last_day + timedelta(days=1) if streak is not None and tapped else day
    return StreakView(
        days=days,
        next_tap_at=calendar.start_of_day(next_day, zone),
        next_bonus_in=None if bonus_every_days is None else bonus_every_days - days % bonus_every_days,
    )
