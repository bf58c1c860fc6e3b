"""The sums of a trial: of a member, and of all members together."""

from bisect import bisect_right
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Final

from msgspec import Struct

from engage.domain.calendar import local_date, start_of_day

# Of the members whose points differ most.
MOST_AFFECTED: Final = 20

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_PAIR: Final = "+"  # Between two ids of campaigns, which have none.

EventKey = tuple[int, bytes]


def microseconds_of(at: datetime) -> int:
    """Microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def instant_of(microseconds: int) -> datetime:
    return _EPOCH + microseconds * _MICROSECOND


class Days:
    """The calendar days of a window, in one zone."""

    def __init__(self, start: datetime, end: datetime, zone: str) -> None:
        self._first = local_date(start, zone)
        last = (local_date(end, zone) - self._first).days
        self._starts = [start_of_day(self.day(number), zone) for number in range(1, last + 1)]

    def number(self, at: datetime) -> int:
        """The number of the day that an instant of the window is in, from 0."""
        return bisect_right(self._starts, at)

    def day(self, number: int) -> date:
        return self._first + timedelta(days=number)


class Event(Struct, array_like=True, frozen=True):
    """Points of the draft, in the order of acceptance. `others` are those of further campaigns beside the
    same credit. `is_whole`: the budget leaves all points or none, as of a rule of the draft's own.
    """

    at_us: int
    id: bytes
    day: int
    points: int
    kept: int
    others: dict[str, int] = {}
    is_whole: bool = False

    @property
    def key(self) -> EventKey:
        return self.at_us, self.id


class DaySum(Struct, array_like=True):
    activities: int = 0
    granted: int = 0
    difference: int = 0

    def add(self, other: "DaySum") -> None:
        self.activities += other.activities
        self.granted += other.granted
        self.difference += other.difference


class PairSum(Struct, array_like=True):
    """Credits that two campaigns boost at once, the members who have them, and what both add there."""

    activities: int = 0
    members: int = 0
    points: int = 0

    def add(self, other: "PairSum") -> None:
        self.activities += other.activities
        self.members += other.members
        self.points += other.points


class Entry(Struct, array_like=True):
    """A member's part of a trial, without what the draft adds: its budget decides about the `events`.

    `kept` is the difference less what was taken back since. `pairs` are campaigns other than the draft.
    """

    member_id: str
    country: str
    days: dict[int, DaySum] = {}
    kept: int = 0
    pairs: dict[str, PairSum] = {}
    events: list[Event] = []

    def on(self, day: int) -> DaySum:
        return self.days.setdefault(day, DaySum())


class MemberSum(Struct, array_like=True):
    """A member's points in the window: those that were granted, and those that the trial grants."""

    member_id: str
    granted: int
    would: int

    @property
    def rank(self) -> tuple[int, str]:
        """Sorts those with the largest difference to the front."""
        return -abs(self.would - self.granted), self.member_id


class Gain(Struct, array_like=True, frozen=True):
    """Points that a member would have by now, less those that they have."""

    member_id: str
    points: int


class Tally(Struct, array_like=True):
    """The sums of members. `by_country` are differences; `most` are the members who are affected most."""

    gaining: int = 0
    losing: int = 0
    unchanged: int = 0
    gains: int = 0
    days: dict[int, DaySum] = {}
    by_country: dict[str, int] = {}
    pairs: dict[str, PairSum] = {}
    most: list[MemberSum] = []

    def add(self, other: "Tally") -> None:
        """Add the sums of other members."""
        self.gaining += other.gaining
        self.losing += other.losing
        self.unchanged += other.unchanged
        self.gains += other.gains
        for day, total in other.days.items():
            self.days.setdefault(day, DaySum()).add(total)
        for country, difference in other.by_country.items():
            self.by_country[country] = self.by_country.get(country, 0) + difference
        for pair, boosted in other.pairs.items():
            self.pairs.setdefault(pair, PairSum()).add(boosted)
        self.most = sorted([*self.most, *other.most], key=lambda each: each.rank)[:MOST_AFFECTED]


def in_full(event: Event) -> int:
    """The points of an event where no budget cuts them."""
    return event.points


def tally_of(entry: Entry, draft: str, accepted: Callable[[Event], int] = in_full) -> tuple[Tally, Gain]:
    """The sums of one member, and what they gain. `accepted` are the points that the budget of the draft
    leaves of an event.
    """
    kept, pairs = entry.kept, entry.pairs
    for event in entry.events:
        points = accepted(event)
        if not points:
            continue
        entry.on(event.day).difference += points
        kept += event.kept * points // event.points
        for name, others in event.others.items():
            pair = pairs.setdefault(pair_of(draft, name), PairSum(members=1))
            pair.activities += 1
            pair.points += points + others
    granted = sum(day.granted for day in entry.days.values())
    difference = sum(day.difference for day in entry.days.values())
    gains = max(0, kept)
    tally = Tally(
        gaining=int(difference > 0),
        losing=int(difference < 0),
        unchanged=int(difference == 0),
        gains=gains,
        days=entry.days,
        by_country={entry.country: difference} if difference else {},
        pairs=pairs,
        most=[MemberSum(entry.member_id, granted, granted + difference)] if difference else [],
    )
    return tally, Gain(entry.member_id, gains)


def pair_of(a: str, b: str) -> str:
    """The name of two campaigns."""
    return _PAIR.join(sorted((a, b)))


def names_of(pair: str) -> list[str]:
    return pair.split(_PAIR)
