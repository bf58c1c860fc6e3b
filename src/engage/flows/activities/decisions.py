"""Decisions that members have in common: worked out once for all who do the same at the same time.

A batch of taps of one market differs only in who tapped. The rules know nothing of who, so what they say of
one of them they say of all.
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
from engage.domain.program.program import Program

T = TypeVar("T")


class Decisions:
    """The domain's answers of one batch. What is given out is shared, so nobody may change it."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Any] = {}

    def wanted(self, program: Program, activity: AnyActivity, *, at: datetime, zone: str) -> list[Slot]:
        return self._once(
            ("wanted", id(program), activity, at, zone),
            lambda: wanted(program.earning, activity, at=at, zone=zone),
        )

    def credits(
        self, program: Program, activity: AnyActivity, *, at: datetime, zone: str, grants: list[Grant]
    ) -> list[NewCredit]:
        return self._once(
            ("credits", id(program), activity, at, zone, *grants),
            lambda: decide(program.earning, activity, at=at, zone=zone, grants=grants),
        )

    def streak(self, program: Program, streak: Streak, *, at: datetime) -> StreakView:
        def shown() -> StreakView:
            rules = program.earning.rules
            bonus_days = None if rules.streak is None else rules.bonus_days(rules.streak)
            return view(streak, at, streak.zone, bonus_every_days=bonus_days)

        return self._once(("streak", id(program), streak, at), shown)

    def _once(self, key: tuple[Any, ...], work_out: Callable[[], T]) -> T:
        found: T
        try:
            found = self._known[key]
        except KeyError:
            found = self._known[key] = work_out()
        return found
