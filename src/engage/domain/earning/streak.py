"""Streaks: consecutive days with an activity, and their view on a screen."""

from datetime import date, datetime, timedelta

from msgspec import Struct

from engage.domain import calendar


class Streak(Struct, frozen=True):
    """A streak's last day, its length so far, and the zone in which it began, which stays its zone."""

    last_day: date
    days: int
    zone: str


class StreakView(Struct, frozen=True):
    """A streak at an instant. `next_tap_at` is past or now when a tap is open."""

    days: int
    next_tap_at: datetime
    next_bonus_in: int | None


def running(streak: Streak, at: datetime) -> bool:
    """Tell whether the streak can go on at `at`: its last day is today or yesterday, in its own zone."""
    return calendar.local_date(at, streak.zone) <= streak.last_day + timedelta(days=1)


def day_of(streak: Streak | None, at: datetime, zone: str) -> tuple[date, str]:
    """(day that an activity at `at` counts for, zone of that day). `zone` is the member's.

    A running streak keeps the zone in which it began; after its end the member's zone counts.
    """
    if streak is not None and running(streak, at):
        zone = streak.zone
    return calendar.local_date(at, zone), zone


def extend(streak: Streak | None, at: datetime, zone: str) -> Streak | None:
    """The streak with the day of `at`, or None when that day is used.

    A member who moves west after the end of a streak can meet one of its dates again: it stays used.
    """
    day, zone = day_of(streak, at, zone)
    if streak is None:
        return Streak(day, 1, zone)
    if day <= streak.last_day:
        return None
    return Streak(day, streak.days + 1 if running(streak, at) else 1, zone)


def view(streak: Streak | None, at: datetime, zone: str, *, bonus_every_days: int | None) -> StreakView:
    """The streak on the home screen at `at`: one that has ended counts 0 days."""
    day, zone = day_of(streak, at, zone)
    tapped = streak is not None and day <= streak.last_day
    days = streak.days if streak is not None and running(streak, at) else 0
    next_day = streak.last_day + timedelta(days=1) if streak is not None and tapped else day
    return StreakView(
        days=days,
        next_tap_at=calendar.start_of_day(next_day, zone),
        next_bonus_in=None if bonus_every_days is None else bonus_every_days - days % bonus_every_days,
    )


def restored_streak(streak: Streak, *, at: datetime, zone: str) -> tuple[int, int, str]:
    """(number of the last day, days, zone), as the gate keeps a streak.

    A streak that has ended has 0 days in the member's own zone, so that the next day begins at 1 and a day
    that was used stays used.
    """
    last = calendar.day_number(streak.last_day)
    if running(streak, at):
        return last, streak.days, streak.zone
    return last, 0, zone
