"""The entry of a member in a trial, credit by credit."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from itertools import combinations

from engage.domain.backtests.activities import Boosted, MemberHistory, StoredCredit
from engage.domain.backtests.deciding import Change, Own
from engage.domain.backtests.sums import Days, Entry, Event, PairSum, microseconds_of, pair_of


class NewEntry:
    """Makes the entry of a member. `activity` is the kind of what a credit is for."""

    def __init__(self, history: MemberHistory, days: Days, activity: Callable[[StoredCredit], str]) -> None:
        self.entry = Entry(history.member_id, history.country)
        self._history = history
        self._days = days
        self._activity = activity
        self._activities: set[tuple[datetime, str | None, str]] = set()
        for at, points in history.by_levels:
            self.entry.on(days.number(at)).granted += points

    def add(self, credit: StoredCredit, change: Change | None) -> None:
        """Add a base credit, with what campaigns added beside it, and with what the trial changes of that."""
        number = self._days.number(credit.activity_at)
        day = self.entry.on(number)
        activity = credit.activity_at, credit.reference, self._activity(credit)
        if activity not in self._activities:
            self._activities.add(activity)
            day.activities += 1
        granted = self._history.boosts.get(credit.source_key, {})
        day.granted += credit.points
        if granted:
            day.granted += _points(granted.values())
        others = granted if change is None else change.others
        if len(others) > 1:
            self._add_pairs(others)
        if change is not None:
            if others != granted:
                day.difference += _points(others.values()) - _points(granted.values())
                self.entry.kept += _kept(others.values()) - _kept(granted.values())
            if change.draft.points:
                self.entry.events.append(_event(change, number))

    def grant(self, own: Own) -> None:
        """Add a credit of a rule of the draft's own, which is granted as a whole or not at all."""
        credit = own.credit
        number = self._days.number(credit.activity_at)
        at_us, id_ = microseconds_of(credit.accepted_at), credit.id.bytes
        self.entry.events.append(Event(at_us, id_ + b"=", number, credit.points, credit.kept, is_whole=True))
        if own.change is not None and own.change.draft.points:
            self.entry.events.append(_event(own.change, number))

    def lose(self, credit: StoredCredit, lost: Boosted) -> None:
        """Take what the trial does not grant."""
        self.entry.on(self._days.number(credit.activity_at)).difference -= lost.points
        self.entry.kept -= lost.kept

    def _add_pairs(self, boosts: Mapping[str, Boosted]) -> None:
        for a, b in combinations(boosts, 2):
            pair = self.entry.pairs.setdefault(pair_of(a, b), PairSum(members=1))
            pair.activities += 1
            pair.points += boosts[a].points + boosts[b].points


def _event(change: Change, day: int) -> Event:
    credit = change.credit
    return Event(
        microseconds_of(credit.accepted_at),
        credit.id.bytes,
        day,
        change.draft.points,
        change.draft.kept,
        {name: boosted.points for name, boosted in change.others.items()},
    )


def _points(boosts: Iterable[Boosted]) -> int:
    return sum(boosted.points for boosted in boosts)


def _kept(boosts: Iterable[Boosted]) -> int:
    return sum(boosted.kept for boosted in boosts)
