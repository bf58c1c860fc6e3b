"""The limits of one member, as plain dictionaries: the specification of the gate and of unique source keys.

Nothing is fast, shared or lost here. The real gate and ledger have to give the same answers to any sequence
of activities, with any crashes and repeats among them.
"""

from collections.abc import Callable, Sequence, Set
from datetime import datetime

from msgspec.structs import replace

from engage.domain.activity import AnyActivity
from engage.domain.earning.credit import NewCredit, WindowPlace
from engage.domain.earning.decide import decide
from engage.domain.earning.limits import DailyStreak, OnceSlot, Slot, StreakSlot, WindowSlot
from engage.domain.earning.slots import Grant, WindowGrant, granted_day, refused, wanted
from engage.domain.earning.streak import Streak, extend
from engage.domain.earning.terms import EarningTerms
from engage.domain.refusals import Code, Refusal

# The rules, of those that pay credits, that cannot pay them.
Unpaid = Callable[[Sequence[NewCredit]], Set[str]]


def nothing_unpaid(credits: Sequence[NewCredit]) -> Set[str]:
    return frozenset()


class SimulatedLimits:
    """One member of one program, across its versions."""

    def __init__(self) -> None:
        self.streaks: dict[str, Streak] = {}  # By rule.
        self.source_keys: set[str] = set()  # Those of all credits.
        self.places: set[tuple[str, WindowPlace]] = set()  # (rule, slot of a window) of all credits.
        self.by_reference: dict[str, list[NewCredit]] = {}  # By the reference of their activity.
        self.removed: set[str] = set()  # References of activities that the shop has removed.

    def record(
        self,
        terms: EarningTerms,
        activity: AnyActivity,
        at: datetime,
        zone: str,
        *,
        unpaid: Unpaid = nothing_unpaid,
    ) -> list[NewCredit]:
        """The credits of an activity, one or more. `zone` is the member's.

        An activity with a window limit that is sent again, by its reference, has the credits of the first
        time. Raises Refusal: `not_offered` without a rule about the activity, `activity_removed`, or that of
        the first rule if no rule has a slot left. `unpaid` says which credits cannot be paid: they are not
        granted, and leave their slots.
        """
        slots = wanted(terms, activity, at=at, zone=zone, streak=self._streak(terms, activity))
        if not slots:
            raise Refusal(Code.NOT_OFFERED)
        if activity.reference in self.removed:
            raise Refusal(Code.ACTIVITY_REMOVED)
        before = self.by_reference.get(activity.reference or "")
        if before is not None and isinstance(slots[0], WindowSlot):
            return before
        grants = [grant for slot in slots if (grant := self._free(slot, at, zone))]
        if before is not None or not grants:
            raise refused(terms, slots[0], () if before is not None else self._full(slots[0], at, zone))
        earned = decide(terms, activity, at=at, zone=zone, grants=grants)
        without = unpaid(earned)
        grants = [grant for grant in grants if grant.slot.rule_id not in without]
        earned = [
            credit
            for credit in earned
            if not {credit.rule_id, terms.rules.leader(credit.rule_id).id} & without
        ]
        if not earned:
            raise _refused_without(terms, slots[0], without)
        self._keep(activity, earned, grants)
        return earned

    def _keep(self, activity: AnyActivity, earned: list[NewCredit], grants: list[Grant]) -> None:
        for grant in grants:
            if grant.run is not None:
                self.streaks[grant.slot.rule_id] = grant.run
        for credit in earned:
            assert credit.source_key not in self.source_keys
            self.source_keys.add(credit.source_key)
            self.places |= {(credit.rule_id, place) for place in credit.windows}
        if activity.reference is not None:
            self.by_reference[activity.reference] = earned

    def _streak(self, terms: EarningTerms, activity: AnyActivity) -> Streak | None:
        for rule in terms.rules.matching(activity):
            if isinstance(rule.limit, DailyStreak):
                return self.streaks.get(rule.id)
        return None

    def _free(self, slot: Slot, at: datetime, zone: str) -> Grant | None:
        grant = self._own(slot, at, zone)
        further = [self._place(window) for window in slot.further]
        if grant is None or not all(further):
            return None
        return replace(grant, further=tuple(place for place in further if place))

    def _full(self, slot: Slot, at: datetime, zone: str) -> list[WindowSlot]:
        """The windows that stop a slot; none where its own limit stops it and is no window."""
        if not isinstance(slot, WindowSlot) and self._own(slot, at, zone) is None:
            return []
        windows = [slot, *slot.further] if isinstance(slot, WindowSlot) else slot.further
        return [window for window in windows if self._place(window) is None]

    def _place(self, slot: WindowSlot) -> WindowGrant | None:
        window = slot.window
        free = [
            number
            for number in range(1, slot.count + 1)
            if (slot.rule_id, WindowPlace(window.kind, window.first_day, number)) not in self.places
        ]
        return WindowGrant(slot, free[0], len(free) - 1) if free else None

    def _own(self, slot: Slot, at: datetime, zone: str) -> Grant | None:
        match slot:
            case StreakSlot(rule_id=rule_id, terms=terms):
                longer = extend(self.streaks.get(rule_id), at, zone, terms)
                return None if longer is None else granted_day(slot, longer)
            case WindowSlot():
                place = self._place(slot)
                return Grant(slot, place.number, place.left) if place else None
            case OnceSlot():
                return Grant(slot, 1) if slot.source_key(1) not in self.source_keys else None


def _refused_without(terms: EarningTerms, slot: Slot, unpaid: Set[str]) -> Refusal:
    """The refusal of an activity for which nothing is paid, by its first slot."""
    if slot.rule_id in unpaid:
        return Refusal(Code.BUDGET_EXHAUSTED, campaign=terms.campaigns[slot.rule_id])
    return refused(terms, slot)
