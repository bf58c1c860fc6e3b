"""Expected member state: `engage.domain.simulation.limits` with removals and settlement, as plain sets."""

from datetime import datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from engage.domain import calendar
from engage.domain.activity import AnyActivity
from engage.domain.earning.decide import NewCredit
from engage.domain.earning.rules import PerWindow
from engage.domain.earning.slots import Grant, StreakSlot, WindowSlot, wanted
from engage.domain.earning.streak import StreakView, view
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.domain.simulation.limits import SimulatedLimits

State = Literal["pending", "active", "reversed"]


class Had(Struct):
    """A credit that a member has had."""

    credit: NewCredit
    state: State = "pending"


class Expected(Struct, frozen=True):
    """What an activity should come to: these credits, told before or not."""

    credits: list[NewCredit]
    repeated: bool
    days: int | None = None


class Foreseen(Struct, frozen=True):
    """What will have happened if it happens."""

    activity: AnyActivity
    earned: list[NewCredit]
    grants: list[Grant]


class Life(SimulatedLimits):
    """One member. An activity is first foreseen, and kept once it has happened."""

    def __init__(self, member_id: str, country: str) -> None:
        super().__init__()
        self.member_id = member_id
        self.country = country
        self.had: dict[str, Had] = {}  # By source key.
        self.removed: set[str] = set()  # References.
        self._foreseen: list[Foreseen] = []  # One, or none.

    def foresee(self, program: Program, activity: AnyActivity, at: datetime, zone: str) -> Expected | Refusal:
        self._foreseen = []
        slots = wanted(program.earning, activity, at=at, zone=zone)
        if slots and activity.reference in self.removed:
            return Refusal(Code.ACTIVITY_REMOVED)
        try:
            earned = self.record(program.earning, activity, at, zone)
        except Refusal as refusal:
            return refusal
        if not self._foreseen:
            return Expected(earned, repeated=True)
        days = [grant.number for grant in self._foreseen[0].grants if isinstance(grant.slot, StreakSlot)]
        return Expected(earned, repeated=False, days=days[0] if days else None)

    def _keep(self, activity: AnyActivity, earned: list[NewCredit], grants: list[Grant]) -> None:
        self._foreseen = [Foreseen(activity, earned, grants)]

    def happened(self, taken: dict[str, str]) -> None:
        """What was foreseen came about. `taken`: the source key of each rule's credit.

        A dead caller may keep a place of a window for a while, so what was taken may be another free place
        than was foreseen.
        """
        (foreseen,) = self._foreseen
        placed = [_moved(credit, taken[credit.rule_id]) for credit in foreseen.earned]
        super()._keep(foreseen.activity, placed, foreseen.grants)
        for credit in placed:
            self.had[credit.source_key] = Had(credit)

    def remove(self, reference: str) -> None:
        self.removed.add(reference)
        for had in self.had.values():
            if had.credit.reference == reference:
                had.state = "reversed"

    def settle(self, now: datetime) -> None:
        for had in self.had.values():
            if had.state == "pending" and had.credit.due_at and had.credit.due_at <= now:
                had.state = "active"

    def balance(self) -> tuple[int, int]:
        """(active, pending)"""
        points = {"active": 0, "pending": 0, "reversed": 0}
        for had in self.had.values():
            points[had.state] += had.credit.points
        return points["active"], points["pending"]

    def remaining(self, program: Program, at: datetime, zone: str) -> dict[str, int]:
        """Free places of each rule's window."""
        found = {}
        for rule in program.earning.rules.windows:
            assert isinstance(rule.limit, PerWindow)
            slot = WindowSlot(rule.id, calendar.window(rule.limit.window, at, zone), rule.limit.count)
            found[rule.id] = sum(slot.source_key(n) not in self.credits for n in range(1, slot.count + 1))
        return found

    def streak(self, program: Program, at: datetime, zone: str) -> StreakView | None:
        rules = program.earning.rules
        if rules.streak is None:
            return None
        days = rules.bonus_days(rules.streak)
        return view(self.streaks.get(rules.streak.id), at, zone, bonus_every_days=days)


def _moved(credit: NewCredit, key: str) -> NewCredit:
    """The same credit in the place that it took: only the number at the end of the key may differ."""
    if key == credit.source_key:
        return credit
    window, _, place = key.rpartition(":")
    expected, _, number = credit.source_key.rpartition(":")
    assert (window, place.isdigit(), number.isdigit()) == (expected, True, True), (key, credit.source_key)
    return replace(credit, source_key=key)
