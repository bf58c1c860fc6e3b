"""The challenges of a simulated member: the specification of the reaction."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import Struct

from engage.domain.challenges.courses import Course, Edition
from engage.domain.challenges.credits import rule_of, step_credit
from engage.domain.challenges.definition import Challenge
from engage.domain.challenges.facts import CHALLENGE_STEP, Fact, credit_fact, order_facts, product_of
from engage.domain.challenges.progress import ReachedStep, progress_of_runs, reached_steps
from engage.domain.definitions.definition import BEGINNING
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.unit import POINTS
from engage.domain.rewards.simulated import IssuedCode, SimulatedRewards
from engage.domain.simulation.account import SimulatedCredit
from engage.domain.simulation.member import SimulatedFeature, SimulatedMember


class _Paid(Struct):
    """The newest credit and code of a step in one period, and how often there was a credit."""

    credit: SimulatedCredit | None = None
    code: IssuedCode | None = None
    number: int = 0


class SimulatedChallenges(SimulatedFeature):
    """Challenges that have always been defined."""

    def __init__(self, member: SimulatedMember, challenges: Sequence[Challenge]) -> None:
        self._member = member
        self._courses = [
            Course([Edition(BEGINNING, member.terms.version, challenge)]) for challenge in challenges
        ]
        self._paid: dict[tuple[str, str, int], _Paid] = {}

    def react(self, at: datetime) -> list[NewCredit]:
        """Pay the steps that are reached and not paid, and take back those that are not reached any more."""
        if not self._courses:
            return []
        reached = {
            (step.run.id, step.run.label, step.step.at): step
            for step in reached_steps(progress_of_runs(self._courses, self._facts()))
        }
        for key, paid in self._paid.items():
            if key not in reached:
                self._take_back(paid, at)
        return [
            credit
            for key, step in reached.items()
            for credit in self._pay(self._paid.setdefault(key, _Paid()), step, at)
        ]

    def _pay(self, paid: _Paid, reached: ReachedStep, at: datetime) -> list[NewCredit]:
        if not self._member.offers(rule_of(reached.run.id), reached.by.at):
            return []
        if reached.step.reward is not None and paid.code is None:
            rewards = self._member.feature(SimulatedRewards)
            reward = rewards.gift(reached.step.reward)
            paid.code = None if reward is None else rewards.give(reward, at)
        if reached.step.points is None or paid.credit is not None:
            return []
        credit = step_credit(self._member.terms, reached, paid.number + 1)
        if self._member.unpaid([credit], at):
            return []
        paid.number += 1
        earned = self._member.earn([credit], reached.by.at)
        for each in earned:
            if each.due_at is not None:  # What is paid late is due at once.
                self._member.account.credits[each.source_key].due_at = max(each.due_at, at)
        paid.credit = self._member.account.credits[credit.source_key]
        return earned

    def _take_back(self, paid: _Paid, at: datetime) -> None:
        if paid.credit is not None:
            self._member.account.take_back(paid.credit, paid.credit.new.points, at)
            paid.credit = None
        if paid.code is not None and paid.code.state(at) == "issued":
            paid.code.void = True  # One that is used stays, and is not given again.
            paid.code = None

    def _facts(self) -> Iterator[Fact]:
        for credit in self._member.account.credits.values():
            why = credit.new.why
            activity = why.activity
            name = str(activity.__struct_config__.tag)
            if credit.kept and name != CHALLENGE_STEP:
                yield credit_fact(
                    at=why.at,
                    zone=why.zone,
                    activity=name,
                    reference=activity.reference,
                    detail=activity.qualifier,
                    points=credit.kept if credit.new.unit == POINTS else 0,
                    product_id=product_of(activity),
                )
        yield from order_facts(list(self._member.orders.items()))
