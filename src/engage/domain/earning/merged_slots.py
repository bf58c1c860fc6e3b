"""The slots of two accounts that become one: what fits into the survivor's limits, and what exceeds them.

Two accounts of one person may have used each limit twice. Points that are active stay the member's. What is
pending is paid only as far as the survivor's limits have free slots.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from typing import Final, NamedTuple
from uuid import UUID

from msgspec import Struct

from engage.domain.calendar import WindowKind
from engage.domain.earning.definition import Rule
from engage.domain.earning.limits import DailyStreak, PerWindow
from engage.domain.earning.unit import Unit
from engage.domain.keys import TRANSFER_RULE, boosted_key, streak_key, window_key

_KINDS: Final[tuple[WindowKind, ...]] = ("day", "month")


class ClosingCredit(Struct, frozen=True):
    """A credit of an account that is being closed, with the places that it holds in windows.

    `decided_by` is the rule that granted it, also where it came from yet another account as a transfer. `day`
    is the day of a streak that it was granted for, in `zone`. `freezes_got`: it gave so many freezes, and no
    day.
    """

    id: UUID
    source_key: str
    beside: str | None
    reference: str | None
    rule_id: str
    program_version: str
    state: str
    points: int
    unit: Unit
    activity_at: datetime
    active_at: datetime | None
    of_day: date | None
    day_slot: int | None
    of_month: date | None
    month_slot: int | None
    decided_by: str
    day: date | None
    zone: str | None = None
    freezes_got: int = 0

    @property
    def is_pending_day(self) -> bool:
        """True for points of a day of a streak that came without their key, and are not paid yet."""
        return self.rule_id == TRANSFER_RULE and self.state == "pending" and self.day is not None


class SlotOf(NamedTuple):
    """A window of a rule."""

    rule_id: str
    kind: WindowKind
    first_day: date


class SurvivorSlots(Struct, frozen=True):
    """Slots that the survivor has used: source keys, (reference, rule), and numbers in windows."""

    keys: set[str]
    references: set[tuple[str, str]]
    numbers: dict[SlotOf, set[int]]


class SlotMove(Struct, frozen=True):
    """A credit that goes on in the survivor's account, under this key and in these places."""

    id: UUID
    source_key: str
    of_day: date | None
    day_slot: int | None
    of_month: date | None
    month_slot: int | None


class DayUse(Struct, frozen=True):
    """A day of a streak that the survivor has not used, and the places that it takes in windows. `credit` is
    one of that day; `is_pending` if any of that day's is.
    """

    rule_id: str
    credit: ClosingCredit
    place: SlotMove
    is_pending: bool


class Fit(Struct, frozen=True):
    """Credits that go on in a slot, and pending ones that exceed the survivor's limits. All others go on
    without a slot; of those of a streak, the days are used.
    """

    moves: list[SlotMove]
    exceeding: set[UUID]
    days: list[DayUse]


# The rule whose slot a credit uses; None for credits without a limit of their own, such as those of orders.
LeaderOf = Callable[[ClosingCredit], Rule | None]


def fit(credits: Iterable[ClosingCredit], survivor: SurvivorSlots, leader_of: LeaderOf) -> Fit:
    """Fit the credits of a merged account into the slots that the survivor has not used.

    Active credits come first, then pending ones, the oldest first. A credit keeps its slot if it is free, and
    gets another one of its window if not. Credits of one slot stay together, and those that boosts added stay
    with their base.
    """
    credits = list(credits)
    found = Fit([], set(), [])
    groups: dict[tuple[str, str], tuple[Rule, list[ClosingCredit]]] = {}
    for credit in credits:
        if credit.beside is not None or credit.freezes_got:
            continue
        leader = leader_of(credit)
        if leader is not None:
            slot = leader.id, _suffix(credit)
            groups.setdefault(slot, (leader, []))[1].append(credit)
        elif credit.source_key not in survivor.keys and not _is_known([credit], survivor):
            found.moves.append(_unchanged(credit))
    for (_, suffix), (leader, group) in sorted(groups.items(), key=lambda item: _turn(item[1][1])):
        _fit_slot(leader, suffix, group, survivor, found)
    _fit_boosts(credits, survivor, found)
    return found


def _fit_boosts(credits: Sequence[ClosingCredit], survivor: SurvivorSlots, found: Fit) -> None:
    """Fit credits beside others: under the key that their base has now, or with it not at all."""
    bases = {credit.source_key: credit.id for credit in credits if credit.beside is None}
    keys = {move.id: move.source_key for move in found.moves}
    for credit in credits:
        if credit.beside is None:
            continue
        base = bases.get(credit.source_key.removesuffix(boosted_key("", credit.beside)))
        if base in found.exceeding and credit.state == "pending":
            found.exceeding.add(credit.id)
        elif base in keys and (key := boosted_key(keys[base], credit.beside)) not in survivor.keys:
            found.moves.append(SlotMove(credit.id, key, None, None, None, None))


def _suffix(credit: ClosingCredit) -> str:
    """The source key after the rule: the same for all credits of a slot. A day of a streak that came as a
    transfer has another key, and is still paid once.
    """
    if credit.is_pending_day:
        assert credit.day is not None
        return streak_key("", credit.day)
    return credit.source_key.removeprefix(credit.rule_id)


def _turn(group: Sequence[ClosingCredit]) -> tuple[int, datetime, UUID]:
    states = {credit.state for credit in group}
    rank = 0 if "active" in states else 1 if "pending" in states else 2
    first = min(group, key=lambda credit: (credit.activity_at, credit.id))
    return rank, first.activity_at, first.id


def _fit_slot(
    leader: Rule, suffix: str, group: Sequence[ClosingCredit], survivor: SurvivorSlots, found: Fit
) -> None:
    """Fit the credits of one slot: those of its own rule, and of the rules that pay with it."""
    is_used = f"{leader.id}{suffix}" in survivor.keys or any(c.source_key in survivor.keys for c in group)
    numbers = None if _is_known(group, survivor) else _numbers(leader, group, survivor)
    if isinstance(leader.limit, DailyStreak):
        _fit_day(leader, f"{leader.id}{suffix}", group, numbers or {}, survivor, found, is_used=is_used)
        return
    own = leader.limit.window if isinstance(leader.limit, PerWindow) else None
    fits = numbers is not None and all(number is not None for number in numbers.values())
    # A key that names a place of a window changes with the place; any other key has to be free.
    if numbers is None or (numbers[own] is None if own in numbers else is_used):
        found.exceeding.update(c.id for c in group if c.state == "pending")
        return
    for credit in group:
        if credit.state == "pending" and not fits:
            found.exceeding.add(credit.id)
            continue
        move = _moved(credit, leader, numbers)
        found.moves.append(move)
        _use(move, credit.rule_id, survivor)


def _fit_day(
    leader: Rule,
    source_key: str,
    group: Sequence[ClosingCredit],
    numbers: dict[WindowKind, int | None],
    survivor: SurvivorSlots,
    found: Fit,
    *,
    is_used: bool,
) -> None:
    """Use a day of a streak. Two streaks do not add up, so points go on without the day."""
    if is_used or None in numbers.values():
        found.exceeding.update(c.id for c in group if c.state == "pending")
    if is_used:
        return
    credit = next((c for c in group if c.rule_id == leader.id), group[0])
    place = _in_places(credit, source_key, numbers)
    found.days.append(DayUse(leader.id, credit, place, any(c.state == "pending" for c in group)))
    _use(place, leader.id, survivor)


def _is_known(group: Sequence[ClosingCredit], survivor: SurvivorSlots) -> bool:
    """Return whether the survivor has credits of this activity, by its reference."""
    return any(c.reference is not None and (c.reference, c.rule_id) in survivor.references for c in group)


def _numbers(
    leader: Rule, group: Sequence[ClosingCredit], survivor: SurvivorSlots
) -> dict[WindowKind, int | None]:
    """Return a number that is free in each window that the slot is in; None where there is none."""
    limits = [leader.limit, *leader.also]
    counts = {limit.window: limit.count for limit in limits if isinstance(limit, PerWindow)}
    found: dict[WindowKind, int | None] = {}
    for kind in _KINDS:
        held = {c.rule_id: place for c in group if (place := _place(c, kind)) is not None}
        if not held:
            continue
        used: set[int] = set()
        for rule_id, (first_day, _) in held.items():
            used |= survivor.numbers.get(SlotOf(rule_id, kind, first_day), set())
        number = next(iter(held.values()))[1]
        free = (n for n in range(1, counts.get(kind, 0) + 1) if n not in used)
        found[kind] = number if number not in used else next(free, None)
    return found


def _place(credit: ClosingCredit, kind: WindowKind) -> tuple[date, int] | None:
    first_day, number = (
        (credit.of_day, credit.day_slot) if kind == "day" else (credit.of_month, credit.month_slot)
    )
    return None if first_day is None or number is None else (first_day, number)


def _moved(credit: ClosingCredit, leader: Rule, numbers: dict[WindowKind, int | None]) -> SlotMove:
    key = credit.source_key
    if isinstance(leader.limit, PerWindow):
        place, number = _place(credit, leader.limit.window), numbers.get(leader.limit.window)
        if place is not None and number is not None:
            label = f"{place[0]:%Y-%m-%d}" if leader.limit.window == "day" else f"{place[0]:%Y-%m}"
            key = window_key(credit.rule_id, label, number)
    return _in_places(credit, key, numbers)


def _in_places(credit: ClosingCredit, key: str, numbers: dict[WindowKind, int | None]) -> SlotMove:
    day_slot = numbers.get("day") if credit.of_day is not None else None
    month_slot = numbers.get("month") if credit.of_month is not None else None
    return SlotMove(
        credit.id,
        key,
        credit.of_day if day_slot is not None else None,
        day_slot,
        credit.of_month if month_slot is not None else None,
        month_slot,
    )


def _unchanged(credit: ClosingCredit) -> SlotMove:
    return SlotMove(
        credit.id,
        credit.source_key,
        credit.of_day,
        credit.day_slot,
        credit.of_month,
        credit.month_slot,
    )


def _use(move: SlotMove, rule_id: str, survivor: SurvivorSlots) -> None:
    survivor.keys.add(move.source_key)
    if move.of_day is not None and move.day_slot is not None:
        survivor.numbers.setdefault(SlotOf(rule_id, "day", move.of_day), set()).add(move.day_slot)
    if move.of_month is not None and move.month_slot is not None:
        survivor.numbers.setdefault(SlotOf(rule_id, "month", move.of_month), set()).add(move.month_slot)
