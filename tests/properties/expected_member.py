"""The expected state of a member: `engage.domain.simulation.limits` with removals and settlement."""

from datetime import datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from engage.domain.activity import AnyActivity
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.limits import StreakSlot
from engage.domain.earning.slots import Grant, wanted
from engage.domain.earning.streak import StreakView, view
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.domain.simulation.limits import SimulatedLimits

State = Literal["pending", "active", "reversed"]


class ExpectedCredit(Struct):
    credit: NewCredit
    state: State = "pending"


class Expected(Struct, frozen=True):
    """The expected answer to an activity: new credits, or those of its first recording."""

    credits: list[NewCredit]
    repeated: bool
    days: int | None = None


class Prediction(Struct, frozen=True):
    """An activity with its credits, until the answer confirms it."""

    activity: AnyActivity
    earned: list[NewCredit]
    grants: list[Grant]


class ExpectedMember(SimulatedLimits):
    """A member whose activities are predicted, and stored once their answers confirm them."""

    def __init__(self, member_id: str, country: str) -> None:
        super().__init__()
        self.member_id = member_id
        self.country = country
        self.expected_credits: dict[str, ExpectedCredit] = {}  # By source key.
        self.removed: set[str] = set()  # References.
        self._predictions: list[Prediction] = []  # One, or none.

    def predict(self, program: Program, activity: AnyActivity, at: datetime, zone: str) -> Expected | Refusal:
        self._predictions = []
        slots = wanted(program.earning, activity, at=at, zone=zone)
        if slots and activity.reference in self.removed:
            return Refusal(Code.ACTIVITY_REMOVED)
        try:
            earned = self.record(program.earning, activity, at, zone)
        except Refusal as refusal:
            return refusal
        if not self._predictions:
            return Expected(earned, repeated=True)
        grants = self._predictions[0].grants
        days = [grant.number for grant in grants if isinstance(grant.slot, StreakSlot)]
        return Expected(earned, repeated=False, days=days[0] if days else None)

    def _keep(self, activity: AnyActivity, earned: list[NewCredit], grants: list[Grant]) -> None:
        self._predictions = [Prediction(activity, earned, grants)]

    def confirm(self, source_keys: dict[str, str]) -> None:
        """Keep the predicted activity, with the source keys of its credits by rule.

        A caller that died may keep a slot of a window for a while, so the credit may have another free slot
        than predicted.
        """
        (predicted,) = self._predictions
        placed = [_with_key(credit, source_keys[credit.rule_id]) for credit in predicted.earned]
        super()._keep(predicted.activity, placed, predicted.grants)
        for credit in placed:
            self.expected_credits[credit.source_key] = ExpectedCredit(credit)

    def remove(self, reference: str) -> None:
        self.removed.add(reference)
        for expected in self.expected_credits.values():
            if expected.credit.reference == reference:
                expected.state = "reversed"

    def settle(self, now: datetime) -> None:
        for expected in self.expected_credits.values():
            due_at = expected.credit.due_at
            if expected.state == "pending" and due_at and due_at <= now:
                expected.state = "active"

    def balance(self) -> tuple[int, int]:
        """(active, pending)"""
        points = {"active": 0, "pending": 0, "reversed": 0}
        for expected in self.expected_credits.values():
            points[expected.state] += expected.credit.points
        return points["active"], points["pending"]

    def remaining(self, program: Program, at: datetime, zone: str) -> dict[str, int]:
        """Free slots of each rule's window."""
        found = {}
        for slot in program.earning.rules.open_windows(at, zone):
            found[slot.rule_id] = sum(
                slot.source_key(n) not in self.credits for n in range(1, slot.count + 1)
            )
        return found

    def streak(self, program: Program, at: datetime, zone: str) -> StreakView | None:
        rules = program.earning.rules
        if rules.streak is None:
            return None
        days = rules.bonus_days(rules.streak.id)
        return view(self.streaks.get(rules.streak.id), at, zone, bonus_every_days=days)


def _with_key(credit: NewCredit, key: str) -> NewCredit:
    """The credit with the key of another slot of its window: only the number at the end may differ."""
    if key == credit.source_key:
        return credit
    window, _, place = key.rpartition(":")
    expected, _, number = credit.source_key.rpartition(":")
    assert (window, place.isdigit(), number.isdigit()) == (expected, True, True), (key, credit.source_key)
    return replace(credit, source_key=key)
