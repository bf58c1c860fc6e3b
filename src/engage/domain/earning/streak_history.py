"""The history of a streak, and the fold over it: what the streak is, in whatever order its events arrived.

Days count in the order of the calendar. Freezes count from when the member got them.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime

from msgspec import Struct
from msgspec.structs import replace

from engage.domain.earning.streak import Streak, StreakTerms, introduce, with_day, with_freezes


class TappedDay(Struct, frozen=True):
    """A day with an activity at `at`, in the zone that it was counted in."""

    at: datetime
    day: date
    zone: str
    terms: StreakTerms


class GotFreezes(Struct, frozen=True):
    """Freezes that the member bought at `at`, or brought from a merged account."""

    at: datetime
    count: int
    zone: str
    terms: StreakTerms


class Introduction(Struct, frozen=True):
    """The time at which a version gave the rule its first freezes, and its terms."""

    since: datetime
    terms: StreakTerms


StreakEvent = TappedDay | GotFreezes


class Fold(Struct, frozen=True):
    """The streak after all events, and how many days in a row there were on each day."""

    streak: Streak | None
    numbers: dict[date, int]


def fold(events: Iterable[StreakEvent], introduction: Introduction | None = None) -> Fold:
    """Fold the events of a streak, in any order."""
    streak: Streak | None = None
    numbers: dict[date, int] = {}
    for event in in_order(events):
        if streak is not None and introduction is not None and introduction.since <= event.at:
            streak = introduce(streak, introduction.since, introduction.terms)
        if isinstance(event, GotFreezes):
            streak = with_freezes(streak, event.count, event.at, event.zone, event.terms)
            continue
        longer = with_day(streak, event.day, event.zone, event.at, event.terms.freezes)
        if longer is not None:
            streak = longer if streak is None else replace(longer, at=max(event.at, streak.at))
            numbers[event.day] = streak.days
    return Fold(streak, numbers)


def in_order(events: Iterable[StreakEvent]) -> Sequence[StreakEvent]:
    """Events in the order in which they count: days by the calendar, each before the freezes that came after
    its activity.
    """
    days: list[TappedDay] = []
    freezes: list[GotFreezes] = []
    for event in events:
        if isinstance(event, TappedDay):
            days.append(event)
        else:
            freezes.append(event)
    days.sort(key=lambda event: event.day)
    freezes.sort(key=lambda event: event.at)
    ordered: list[StreakEvent] = []
    for day in days:
        while freezes and freezes[0].at < day.at:
            ordered.append(freezes.pop(0))
        ordered.append(day)
    return [*ordered, *freezes]
