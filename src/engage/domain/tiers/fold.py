"""Levels as a fold over movements: up at once, down at the end of a window and its grace.

A level that is reached lasts until its window ends, and `grace` longer, whatever is taken back meanwhile: the
value falls at once, the level does not. The window of a calendar year ends with the year. That of twelve
months ends when what the level was reached with is too old for it; each further gain moves that on. A
lifetime has no end.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final

from msgspec import Struct

from engage.domain.calendar import local_date, months_later, start_of_day
from engage.domain.tiers.definition import Level, TierGroup
from engage.domain.tiers.movement import WINDOW_END, Cause, Movement, in_order

NEVER: Final = datetime.max.replace(tzinfo=UTC)
LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
NO_LEVEL: Final = -1
NO_PLACE: Final = -1


class LevelChange(Struct, frozen=True):
    """A level that began at `at`, and the one before it; None is below the first level."""

    at: datetime
    before: str | None
    level: str | None
    cause: Cause


class TierStanding(Struct, frozen=True):
    """A member's place in a group at an instant. `value` is that of the window; `keeps_until` is when the
    level ends if nothing more is earned, None for never.
    """

    level: Level | None
    value: int
    next: Level | None
    missing: int
    keeps_until: datetime | None


def standing(group: TierGroup, movements: Iterable[Movement], *, at: datetime, zone: str) -> TierStanding:
    """The standing at `at`, by the movements until then. Years are those of the zone."""
    fold = fold_until(group, movements, at=at, zone=zone)
    level, value = fold.level, fold.value
    following = group.levels[fold.index + 1] if fold.index + 1 < len(group.levels) else None
    return TierStanding(
        level=level,
        value=value,
        next=following,
        missing=0 if following is None else max(0, following.from_ - value),
        keeps_until=fold.keeps_until,
    )


def level_at(group: TierGroup, movements: Iterable[Movement], *, at: datetime, zone: str) -> Level | None:
    return fold_until(group, movements, at=at, zone=zone).level


def history(group: TierGroup, movements: Iterable[Movement], *, at: datetime, zone: str) -> list[LevelChange]:
    """All changes of the level until `at`, oldest first."""
    return fold_until(group, movements, at=at, zone=zone).changes


def fold_until(group: TierGroup, movements: Iterable[Movement], *, at: datetime, zone: str) -> "Fold":
    fold = Fold(group, zone)
    for movement in in_order(movements):
        if movement.at > at:
            break
        fold.add(movement)
    fold.advance(at)
    return fold


class Fold:
    """The state after the movements so far, which come in the order of their times."""

    def __init__(self, group: TierGroup, zone: str) -> None:
        self.changes: list[LevelChange] = []
        self._group = group
        self._zone = zone
        # What counts, by the time at which it leaves the window: times and amounts, oldest first. Those
        # before `_first` have left it.
        self._ends: list[datetime] = []
        self._amounts: list[int] = []
        self._places: dict[datetime, int] = {}
        self._first = 0
        self.value = 0
        # Of each level the newest place from which on there is enough for it, and what there is from there.
        self._enough = [[0, 0] for _ in group.levels]
        # Until when each level is kept. One from 0 on is everybody's.
        self._until = [NEVER if level.from_ == 0 else LONG_AGO for level in group.levels]
        self.index = 0 if group.levels[0].from_ == 0 else NO_LEVEL

    @property
    def level(self) -> Level | None:
        return None if self.index == NO_LEVEL else self._group.levels[self.index]

    @property
    def keeps_until(self) -> datetime | None:
        until = NEVER if self.index == NO_LEVEL else self._until[self.index]
        return None if until == NEVER else until

    def add(self, movement: Movement) -> None:
        """Add a movement that is no older than those before it."""
        self.advance(movement.at)
        end = self._end(movement.earned_at)
        place = self._places.get(end, NO_PLACE)
        if movement.delta < 0:
            if place >= self._first:  # Or else its window is over.
                self._change(place, -min(-movement.delta, self._amounts[place]))
            return
        if place == NO_PLACE:
            place = self._places[end] = len(self._ends)
            self._ends.append(end)
            self._amounts.append(0)
        self._change(place, movement.delta)
        if self._keep_levels() > self.index:
            self._move(movement.at, movement.cause)

    def advance(self, at: datetime) -> None:
        """End the levels and the windows that end by `at`."""
        while self.index != NO_LEVEL and self._until[self.index] <= at:
            self._move(self._until[self.index], WINDOW_END)
        while self._first < len(self._ends) and self._ends[self._first] <= at:
            self._change(self._first, -self._amounts[self._first])
            self._first += 1
            for enough in self._enough:
                enough[0] = max(enough[0], self._first)

    def _end(self, earned_at: datetime) -> datetime:
        """The time at which what was earned then leaves the window."""
        match self._group.window:
            case "calendar_year":
                return _end_of_year(local_date(earned_at, self._zone).year, self._zone)
            case "rolling_12_months":
                return months_later(earned_at, 12, self._zone)
            case "lifetime":
                return NEVER

    def _change(self, place: int, delta: int) -> None:
        self._amounts[place] += delta
        self.value += delta
        for enough in self._enough:
            if place >= enough[0]:
                enough[1] += delta

    def _keep_levels(self) -> int:
        """Keep each level that the value reaches until so much has left the window that it does not any more;
        the highest of them.
        """
        highest = NO_LEVEL
        for n, level in enumerate(self._group.levels):
            if not 0 < level.from_ <= self.value:
                continue
            highest = n
            place, rest = self._enough[n]
            while rest < level.from_:
                place -= 1
                rest += self._amounts[place]
            while rest - self._amounts[place] >= level.from_:
                rest -= self._amounts[place]
                place += 1
            self._enough[n] = [place, rest]
            end = self._ends[place]
            self._until[n] = max(self._until[n], NEVER if end == NEVER else end + self._group.grace)
        return highest

    def _move(self, at: datetime, cause: Cause) -> None:
        """To the highest level that lasts longer than `at`."""
        before = self.level
        self.index = max((n for n, until in enumerate(self._until) if until > at), default=NO_LEVEL)
        level = self.level
        if level is not before:
            self.changes.append(LevelChange(at, _id(before), _id(level), cause))


def _id(level: Level | None) -> str | None:
    return None if level is None else level.id


@lru_cache(maxsize=1024)
def _end_of_year(year: int, zone: str) -> datetime:
    return start_of_day(date(year + 1, 1, 1), zone)
