"""Decisions that the activities of a batch share.

The taps of a batch in one market differ only in their members, and the rules do not depend on the member: a
decision for one of them is the decision for all.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from engage.domain.activity import AnyActivity
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.decide import decide
from engage.domain.earning.limits import Slot
from engage.domain.earning.slots import Grant, wanted
from engage.domain.earning.streak import Streak, StreakView, view
from engage.domain.earning.terms import EarningTerms
from engage.domain.program.program import Program
from engage.flows.activities.streaks import streak_terms

T = TypeVar("T")


class Decisions:
    """Caches the domain's decisions for one batch. Results are shared: do not change them."""

    def __init__(self) -> None:
        self._results: dict[tuple[Any, ...], Any] = {}

    def wanted(self, terms: EarningTerms, activity: AnyActivity, *, at: datetime, zone: str) -> list[Slot]:
        return self._once(
            ("wanted", id(terms), activity, at, zone),
            lambda: wanted(terms, activity, at=at, zone=zone),
        )

    def credits(
        self, terms: EarningTerms, activity: AnyActivity, *, at: datetime, zone: str, grants: list[Grant]
    ) -> list[NewCredit]:
        return self._once(
            ("credits", id(terms), activity, at, zone, *grants),
            lambda: decide(terms, activity, at=at, zone=zone, grants=grants),
        )

    def streak(self, program: Program, rule_id: str, streak: Streak, *, at: datetime) -> StreakView:
        def show() -> StreakView:
            bonus_days = program.earning.rules.bonus_days(rule_id)
            terms = streak_terms(program, rule_id)
            return view(streak, at, streak.zone, terms, bonus_every_days=bonus_days)

        return self._once(("streak", id(program), rule_id, streak, at), show)

    def _once(self, key: tuple[Any, ...], decide: Callable[[], T]) -> T:
        result: T
        try:
            result = self._results[key]
        except KeyError:
            result = self._results[key] = decide()
        return result
