"""The expected state of a member: `engage.domain.simulation.limits` with removals and settlement."""

from datetime import datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from engage.domain.activity import AnyActivity
from engage.domain.earning.credit import NewCredit, WindowPlace
from engage.domain.earning.limits import StreakSlot
from engage.domain.earning.slots import Grant
from engage.domain.earning.streak import StreakView, view
from engage.domain.program.program import Program
from engage.domain.refusals import Refusal
from engage.domain.simulation.limits import SimulatedLimits
from engage.flows.activities.streaks import streak_terms

State = Literal["pending", "active", "reversed"]
Slots = tuple[str, tuple[WindowPlace, ...]]  # (source key, places in windows)


class ExpectedCredit(Struct):
    credit: NewCredit
    state: State = "pending"
    lapsed: bool = False


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
        self.confirmed: dict[str, datetime] = {}  # Times, by reference.
        self._predictions: list[Prediction] = []  # One, or none.

    def predict(self, program: Program, activity: AnyActivity, at: datetime, zone: str) -> Expected | Refusal:
        self._predictions = []
        try:
            earned = self.record(program.earning, activity, at, zone)
        except Refusal as refusal:
            return refusal
        if not self._predictions:
            return Expected(earned, repeated=True)
        earned = [self._with_due_time(credit) for credit in earned]
        grants = self._predictions[0].grants
        self._predictions = [Prediction(activity, earned, grants)]
        days = [grant.number for grant in grants if isinstance(grant.slot, StreakSlot)]
        return Expected(earned, repeated=False, days=days[0] if days else None)

    def _keep(self, activity: AnyActivity, earned: list[NewCredit], grants: list[Grant]) -> None:
        self._predictions = [Prediction(activity, earned, grants)]

    def confirm(self, placed_in: dict[str, Slots]) -> None:
        """Keep the predicted activity, with the slots of its credits by rule.

        A caller that died may keep a slot of a window for a while, so the credit may have another free slot
        than predicted.
        """
        (predicted,) = self._predictions
        placed = [_in_slots(credit, placed_in[credit.rule_id]) for credit in predicted.earned]
        super()._keep(predicted.activity, placed, predicted.grants)
        for credit in placed:
            self.expected_credits[credit.source_key] = ExpectedCredit(credit)

    def confirm_activity(self, reference: str, at: datetime) -> None:
        """The shop confirms an activity, which may come later. All versions have the same due times."""
        self.confirmed[reference] = min(at, self.confirmed.get(reference, at))
        for expected in self.expected_credits.values():
            if expected.state == "pending":
                expected.credit = self._with_due_time(expected.credit)

    def _with_due_time(self, credit: NewCredit) -> NewCredit:
        at = self.confirmed.get(credit.reference or "")
        if at is None or credit.due_at is not None or credit.lapses_at is None or at > credit.lapses_at:
            return credit
        return replace(credit, due_at=max(at, credit.activity_at))

    def remove(self, reference: str) -> None:
        if any(c.lapsed and c.credit.reference == reference for c in self.expected_credits.values()):
            return  # Nothing was left to remove.
        self.removed.add(reference)
        for expected in self.expected_credits.values():
            if expected.credit.reference == reference:
                expected.state = "reversed"

    def settle(self, now: datetime) -> None:
        for expected in self.expected_credits.values():
            due_at, lapses_at = expected.credit.due_at, expected.credit.lapses_at
            if expected.state == "pending" and due_at and due_at <= now:
                expected.state = "active"
            if expected.state == "pending" and due_at is None and lapses_at and lapses_at <= now:
                expected.state, expected.lapsed = "reversed", True

    def balance(self) -> tuple[int, int]:
        """(active, pending)"""
        points = {"active": 0, "pending": 0, "reversed": 0}
        for expected in self.expected_credits.values():
            points[expected.state] += expected.credit.points
        return points["active"], points["pending"]

    def remaining(self, program: Program, at: datetime, zone: str) -> dict[str, int]:
        """Free slots of the window of each rule that has the fewest."""
        found: dict[str, int] = {}
        for slot in program.earning.rules.open_windows(at, zone):
            of_window = {
                place.number
                for rule_id, place in self.places
                if (rule_id, place.kind, place.first_day)
                == (slot.rule_id, slot.window.kind, slot.window.first_day)
            }
            free = sum(n not in of_window for n in range(1, slot.count + 1))
            found[slot.rule_id] = min(free, found.get(slot.rule_id, free))
        return found

    def streak(self, program: Program, at: datetime, zone: str) -> StreakView | None:
        rules = program.earning.rules
        if rules.streak is None:
            return None
        days = rules.bonus_days(rules.streak.id)
        terms = streak_terms(program, rules.streak.id)
        return view(self.streaks.get(rules.streak.id), at, zone, terms, bonus_every_days=days)


def _in_slots(credit: NewCredit, slots: Slots) -> NewCredit:
    """The credit in other slots of its windows: only their numbers may differ."""
    key, places = slots
    assert {(p.kind, p.first_day) for p in places} == {(p.kind, p.first_day) for p in credit.windows}
    if key != credit.source_key:
        window, _, place = key.rpartition(":")
        expected, _, number = credit.source_key.rpartition(":")
        assert (window, place.isdigit(), number.isdigit()) == (expected, True, True), (key, credit.source_key)
    return replace(credit, source_key=key, windows=places)
