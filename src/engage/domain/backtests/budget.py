"""The budget of a draft over a window: what it leaves of the points that the draft adds, in their order.

Of a population of any size the order is one. Each part knows what the draft adds in it by the hour. The hour
in which the budget ends follows from the sums of all parts, and only events from then on are looked at one
by one.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from engage.domain.backtests.sums import Event, instant_of
from engage.domain.campaigns.budget import Left, Used, Wanted, within, within_own_limits
from engage.domain.campaigns.definition import Budget, Campaign
from engage.domain.keys import MemberKey

_HOUR_US: Final = 3_600_000_000
_ONE_DEVICE: Final = ""


class HourSum(Struct, array_like=True):
    """The points and credits that the draft adds in an hour."""

    points: int = 0
    count: int = 0


Hours = dict[int, HourSum]  # By their number since 1970.


class Cut(Struct, frozen=True):
    """The end of a budget. It leaves all points of the events before `at_us` and `id`; of that one and of
    later ones those of `granted`, each with its key. It is used up `hit_us` after 1970.
    """

    hit_us: int
    at_us: int
    id: bytes
    granted: Sequence[tuple[int, bytes, int]]

    @property
    def hit_at(self) -> datetime:
        return instant_of(self.hit_us)


class Accepted:
    """The points of events that a budget leaves."""

    def __init__(self, cut: Cut | None) -> None:
        self._cut_at = None if cut is None else (cut.at_us, cut.id)
        self._granted = {} if cut is None else {(at, id_): points for at, id_, points in cut.granted}

    def points(self, event: Event) -> int:
        if self._cut_at is None or event.key < self._cut_at:
            return event.points
        return self._granted.get(event.key, 0)


def total_left(draft: Campaign, used: Left) -> Left:
    """The rest of the budget of a draft when the window begins. `used` is what the campaign that it replaces
    had granted before.
    """
    budget = draft.budget or Budget()
    return Left(_less(budget.points, used.points), _less(budget.count, used.count))


class UsedByMember(Struct, frozen=True):
    """Points and credits that a member had of a campaign before the window."""

    points: int = 0
    count: int = 0


UNUSED: Final = UsedByMember()


def within_member_limits(
    draft: Campaign, member: MemberKey, events: list[Event], used: UsedByMember = UNUSED
) -> list[Event]:
    """The events of a member with the points that limits of members and devices leave.

    The devices of then are not known, so each member is one device.
    """
    budget = draft.budget
    if budget is None or (budget.points_per_member is None and budget.per_device is None):
        return events
    wanted = [Wanted(draft, member, event.points, event.is_whole) for event in events]
    uses = {(draft.id, member): Used(points=used.points, devices=(_ONE_DEVICE,))}
    granted = within_own_limits(wanted, uses, {(draft.id, _ONE_DEVICE): used.count})
    return [
        replace(event, points=points, kept=event.kept * points // event.points)
        for event, points in zip(events, granted, strict=True)
        if points
    ]


def add_events(hours: Hours, events: Iterable[Event]) -> None:
    for event in events:
        hour = hours.setdefault(event.at_us // _HOUR_US, HourSum())
        hour.points += event.points
        hour.count += 1


def add_hours(hours: Hours, others: Mapping[int, HourSum]) -> None:
    for number, total in others.items():
        hour = hours.setdefault(number, HourSum())
        hour.points += total.points
        hour.count += total.count


def ending_hour(left: Left, hours: Hours) -> tuple[int, Left] | None:
    """The hour in which a budget is used up, and its rest when that begins; None where something remains."""
    for number in sorted(hours):
        total = hours[number]
        after = Left(_less(left.points, total.points), _less(left.count, total.count))
        if after.points == 0 or after.count == 0:
            return number, left
        left = after
    return None


def is_since(event: Event, hour: int) -> bool:
    return event.at_us >= hour * _HOUR_US


def cut_of(draft: Campaign, left: Left, events: Iterable[Event]) -> Cut | None:
    """The end of a budget among the events since the hour in which it is used up; None where all is left."""
    in_order = sorted(events, key=lambda event: event.key)
    wanted = [Wanted(draft, ("", ""), event.points, event.is_whole) for event in in_order]
    granted = within(wanted, [event.points for event in in_order], {(draft.program, draft.id): left})
    hit = _used_up(left, granted)
    cut = next((n for n, event in enumerate(in_order) if granted[n] < event.points), len(in_order))
    if hit is None and cut == len(in_order):
        return None
    first = min(cut if hit is None else hit, cut)
    begin = in_order[min(cut, len(in_order) - 1)]
    return Cut(
        in_order[first].at_us,
        begin.at_us,
        begin.id,
        [
            (event.at_us, event.id, points)
            for event, points in zip(in_order, granted, strict=True)
            if event.key >= begin.key and points
        ],
    )


def _used_up(left: Left, granted: Sequence[int]) -> int | None:
    """The number of the event with which a budget is used up."""
    points, count = left.points, left.count
    for n, each in enumerate(granted):
        points = None if points is None else points - each
        count = None if count is None else count - bool(each)
        if points == 0 or count == 0:
            return n
    return None


def _less(total: int | None, used: int | None) -> int | None:
    return None if total is None else max(0, total - (used or 0))
