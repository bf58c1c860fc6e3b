"""Streaks: days with an activity in a row, missed days that freezes cover, and their view on a screen.

A streak is a fold over what happened to it, in order: days with an activity, and freezes that the member got.
Time alone needs no event. How many freezes the days since the last one have used follows from the clock.
"""

from datetime import date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from engage.domain import calendar
from engage.domain.earning.freezes import MOST_FREEZES, FreezeTerms

ONE_DAY = timedelta(days=1)


class StreakTerms(Protocol):
    """The terms of a streak in a version. Before `grace_until`, a local time such as 03:00, an activity still
    counts for the day before where that day has none.
    """

    @property
    def freezes(self) -> FreezeTerms | None: ...

    @property
    def grace_until(self) -> str | None: ...


class Streak(Struct, frozen=True, kw_only=True):
    """A streak after an event.

    Its run has `days` with an activity, the last one `last_day`; 0 where none has begun. `frozen` days of the
    run were missed and covered. `zone` is the one in which the run began, which stays its zone. `freezes` are
    those that the member had after `last_day`; None before any program gave some. `best` is the longest run.
    `ended_on`: the missed day that ended the run, where freezes came later. `at`: the time of the event.
    """

    last_day: date
    days: int
    zone: str
    at: datetime
    frozen: int = 0
    freezes: int | None = None
    best: int = 0
    ended_on: date | None = None

    @property
    def first_day(self) -> date:
        return self.last_day - timedelta(days=self.days + self.frozen - 1)


class LostRun(Struct, frozen=True):
    """A run of `days` that ended on a missed day that no freeze covered, until the next activity."""

    days: int
    on: date


class FreezeOffer(Struct, frozen=True):
    """A freeze that the app can sell. `is_full`: the member has as many as they can."""

    points: int
    max: int
    is_full: bool


class StreakView(Struct, frozen=True):
    """A streak at an instant. `next_tap_at` is past or now when a tap is open."""

    days: int
    next_tap_at: datetime
    next_bonus_in: int | None
    freezes: int
    best: int


def running(streak: Streak, at: datetime, terms: StreakTerms) -> bool:
    """Return whether the run can go on at `at`: freezes cover each day that was missed, in its own zone."""
    return _is_open(streak) and missed(streak, at, terms) <= (streak.freezes or 0)


def missed(streak: Streak, at: datetime, terms: StreakTerms) -> int:
    """The days after the last one that are over at `at`, in the streak's own zone."""
    return max(0, (_day(streak, at, streak.zone, terms) - streak.last_day).days - 1)


def day_of(streak: Streak | None, at: datetime, zone: str, terms: StreakTerms) -> tuple[date, str]:
    """(day that an activity at `at` counts for, zone of that day). `zone` is the member's.

    A running streak keeps the zone in which it began; after its end the member's zone counts.
    """
    if streak is not None and running(streak, at, terms):
        zone = streak.zone
    return _day(streak, at, zone, terms), zone


def in_grace(at: datetime, zone: str, terms: StreakTerms) -> bool:
    """Return whether the day before is still open in a zone."""
    return terms.grace_until is not None and f"{at.astimezone(ZoneInfo(zone)):%H:%M}" < terms.grace_until


def extend(streak: Streak | None, at: datetime, zone: str, terms: StreakTerms) -> Streak | None:
    """The streak with an activity at `at`, or None when its day is used.

    A member who moves west after the end of a streak can meet one of its dates again: it stays used.
    """
    day, zone = day_of(streak, at, zone, terms)
    return with_day(streak, day, zone, at, terms.freezes)


def with_day(
    streak: Streak | None, day: date, zone: str, at: datetime, freezes: FreezeTerms | None
) -> Streak | None:
    """The streak with a day, or None when the day is used. A missed day before it takes a freeze.

    As library.lua has it.
    """
    if streak is not None and day <= streak.last_day:
        return None
    days, frozen, stock, best = 0, 0, None, 0
    if streak is not None:
        stock, best = streak.freezes, streak.best
        gap = (day - streak.last_day).days - 1
        if _is_open(streak) and zone == streak.zone and gap <= (stock or 0):
            days, frozen, stock = streak.days, streak.frozen + gap, stock and stock - gap
        elif _is_open(streak):
            stock = stock and 0  # Each covered a missed day, until there was none left.
    days += 1
    if freezes is not None:
        stock = freezes.start if stock is None else stock
        if freezes.earn_every_days is not None and days % freezes.earn_every_days == 0:
            stock = max(stock, min(stock + 1, freezes.max))
    return Streak(
        last_day=day, days=days, zone=zone, at=at, frozen=frozen, freezes=stock, best=max(best, days)
    )


def introduce(streak: Streak, since: datetime, terms: StreakTerms) -> Streak:
    """The streak with its first freezes, from when a version gives them. Days missed before stay missed."""
    if streak.freezes is not None or terms.freezes is None:
        return streak
    ended_on = streak.last_day + ONE_DAY if not running(streak, since, terms) and _is_open(streak) else None
    return replace(streak, freezes=terms.freezes.start, ended_on=streak.ended_on or ended_on)


def with_freezes(streak: Streak | None, count: int, at: datetime, zone: str, terms: StreakTerms) -> Streak:
    """The streak with `count` more freezes at `at`. They cover days that are over later."""
    if streak is None:
        start = 0 if terms.freezes is None else terms.freezes.start
        last_day = _day(None, at, zone, terms) - ONE_DAY
        return Streak(last_day=last_day, days=0, zone=zone, at=at, freezes=min(start + count, MOST_FREEZES))
    stock, ended_on = streak.freezes or 0, streak.ended_on
    if _is_open(streak) and not running(streak, at, terms):
        stock, ended_on = 0, _ended_on(streak)
    return replace(streak, freezes=min(stock + count, MOST_FREEZES), ended_on=ended_on, at=max(streak.at, at))


def freezes_at(streak: Streak | None, at: datetime, terms: StreakTerms) -> int:
    """The freezes that a member has at `at`."""
    if streak is None or streak.freezes is None:
        return 0 if terms.freezes is None else terms.freezes.start
    return max(0, streak.freezes - missed(streak, at, terms)) if _is_open(streak) else streak.freezes


def view(
    streak: Streak | None, at: datetime, zone: str, terms: StreakTerms, *, bonus_every_days: int | None
) -> StreakView:
    """The streak at `at`: a run that has ended counts 0 days."""
    day, zone = day_of(streak, at, zone, terms)
    tapped = streak is not None and day <= streak.last_day
    days = streak.days if streak is not None and running(streak, at, terms) else 0
    next_day = streak.last_day + ONE_DAY if streak is not None and tapped else day
    return StreakView(
        days=days,
        next_tap_at=calendar.start_of_day(next_day, zone),
        next_bonus_in=None if bonus_every_days is None else bonus_every_days - days % bonus_every_days,
        freezes=freezes_at(streak, at, terms),
        best=0 if streak is None else streak.best,
    )


def lost_run(streak: Streak | None, at: datetime, terms: StreakTerms) -> LostRun | None:
    """The run that the member has lost and not replaced by another one yet."""
    if streak is None or streak.days == 0 or running(streak, at, terms):
        return None
    return LostRun(streak.days, streak.ended_on or _ended_on(streak))


def freeze_offer(streak: Streak | None, at: datetime, terms: StreakTerms) -> FreezeOffer | None:
    """The offer of a freeze; None where none are sold."""
    offered = terms.freezes
    if offered is None or offered.price_points is None:
        return None
    return FreezeOffer(offered.price_points, offered.max, freezes_at(streak, at, terms) >= offered.max)


def frozen_since(streak: Streak, at: datetime, terms: StreakTerms) -> list[date]:
    """The days since the last one that freezes cover, of a run that goes on."""
    if not running(streak, at, terms):
        return []
    return [streak.last_day + timedelta(days=n + 1) for n in range(missed(streak, at, terms))]


def restored_streak(streak: Streak, *, at: datetime, zone: str, terms: StreakTerms) -> Streak:
    """The streak as the gate keeps it.

    A run that has ended in another zone than the member's has 0 days in the member's own, so that the next
    day begins at 1 and a day that was used stays used.
    """
    if streak.ended_on is not None:
        return replace(streak, days=0, frozen=0, zone=zone)
    if streak.zone == zone or running(streak, at, terms):
        return streak
    freezes = streak.freezes and (0 if streak.days else streak.freezes)
    return replace(streak, days=0, frozen=0, zone=zone, freezes=freezes)


def _is_open(streak: Streak) -> bool:
    """Return whether nothing but missed days can have ended the run."""
    return streak.days > 0 and streak.ended_on is None


def _ended_on(streak: Streak) -> date:
    return streak.last_day + timedelta(days=(streak.freezes or 0) + 1)


def _day(streak: Streak | None, at: datetime, zone: str, terms: StreakTerms) -> date:
    """The day that an activity at `at` counts for, in a zone."""
    day = calendar.local_date(at, zone)
    if terms.grace_until is not None and in_grace(at, zone, terms):
        before = day - ONE_DAY
        if streak is None or streak.last_day < before:
            return before
    return day
