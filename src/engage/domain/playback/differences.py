"""The differences between what a step expects and its outcome, both in the same words."""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from engage.domain.calendar import instant
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.unit import POINTS
from engage.domain.examples.expectations import ExpectedBalance, ExpectedCredit, ExpectedExpiration
from engage.domain.feature.outcome import NEVER, NOTHING, Expectation, Outcome, local, until
from engage.domain.program.example import Step
from engage.domain.simulation.member import SimulatedMember
from engage.domain.streaks.example_steps import actual_streak
from engage.domain.tiers.example_steps import ExpectedTier
from engage.domain.tiers.simulated import SimulatedTiers


def differences(
    step: Step, outcome: Outcome, member: SimulatedMember, zone: str, *, last: bool
) -> Iterator[tuple[str, str]]:
    """(expected, found) of each difference. `last`: on the last of the step's days."""
    if step.refused is not None or outcome.refusal is not None:
        expected = f"refusal {step.refused}" if step.refused else " and ".join(_expected(step, zone))
        found = f"refusal {outcome.refusal.code}" if outcome.refusal else ""
        found = found or " and ".join(_found(step, outcome, zone)) or "no refusal"
        if expected != found:
            yield expected, found
            return
    else:
        pairs = zip(_expected(step, zone), _found(step, outcome, zone), strict=True)
        yield from ((expected, found) for expected, found in pairs if expected != found)
    if last:
        yield from _account_differences(step, member, zone)


def _expectations(step: Step) -> dict[str, Expectation]:
    """Return the expectations of a step about features, by field."""
    fields = {name: getattr(step, name) for name in step.__struct_fields__}
    return {name: value for name, value in fields.items() if isinstance(value, Expectation)}


def _expected(step: Step, zone: str) -> list[str]:
    """One text for each result that the step expects."""
    words = []
    if step.earns is not None:
        words.append(" and ".join(_credit(credit, zone) for credit in step.earns) or NOTHING)
    return words + [expectation.in_words(zone) for expectation in _expectations(step).values()]


def _found(step: Step, outcome: Outcome, zone: str) -> list[str]:
    """The same results as they came, in the same detail. All of them where a refusal was expected."""
    words = []
    if step.earns is not None or (step.refused and outcome.credits is not None):
        words.append(_credits(step, outcome.credits or [], zone))
    expected = _expectations(step)
    for name in outcome.results if step.refused else expected:
        result = outcome.results.get(name)
        words.append(NOTHING if result is None else result.as_detailed_as(expected.get(name)).in_words(zone))
    return words


def _account_differences(step: Step, member: SimulatedMember, zone: str) -> Iterator[tuple[str, str]]:
    account = member.account
    if step.balance is not None:
        now = account.balance
        balance = ExpectedBalance(now.active, now.pending, now.held, now.debt)
        if balance != step.balance:
            yield _balance(step.balance), _balance(balance)
    if step.streak is not None:
        streak = actual_streak(member).as_detailed_as(step.streak)
        if streak != step.streak:
            yield step.streak.in_words(), streak.in_words()
    if step.expiring is not None:
        expected = [ExpectedExpiration(e.points, _instant(e.expires_at, zone)) for e in step.expiring]
        expiring = [ExpectedExpiration(points, at) for at, points in account.expiring()]
        if expected != expiring:
            yield _expirations(expected, zone), _expirations(expiring, zone)
    if step.tiers is not None:
        yield from _tier_differences(step.tiers, member, step.instants(zone)[-1])


def _tier_differences(
    expectations: list[ExpectedTier], member: SimulatedMember, at: datetime
) -> Iterator[tuple[str, str]]:
    tiers = member.feature(SimulatedTiers)
    groups = {group.id: group for group in tiers.groups}
    for expected in expectations:
        found = tiers.standing(groups[expected.group], at)
        level = None if found.level is None else found.level.id
        value = None if expected.value is None else found.value
        actual = ExpectedTier(group=expected.group, level=level, value=value)
        if actual != expected:
            yield _tier(expected), _tier(actual)


def _tier(tier: ExpectedTier) -> str:
    words = f"{tier.group} at {tier.level or 'no level'}"
    return words if tier.value is None else f"{words} with {tier.value}"


def _credits(step: Step, credits: list[NewCredit], zone: str) -> str:
    """In the order of the step. Credits that it does not expect come last."""
    expected = {credit.names: credit for credit in step.earns or ()}
    order = [*expected, *map(_names, credits)]
    listed = sorted(credits, key=lambda credit: order.index(_names(credit)))
    words = [_credit(_as_expected(credit, expected.get(_names(credit))), zone) for credit in listed]
    return " and ".join(words) or NOTHING


def _names(credit: NewCredit) -> tuple[str, str | None]:
    return credit.rule_id, credit.boost


def _as_expected(credit: NewCredit, expected: ExpectedCredit | None) -> ExpectedCredit:
    """A credit without the details that its expectation leaves open."""
    wanted = expected or ExpectedCredit(credit.rule_id, credit.points)
    compares_due = wanted.due_at is not None or wanted.waits_for is not None
    return ExpectedCredit(
        rule=credit.rule_id,
        points=credit.points,
        unit=credit.unit,
        boost=credit.boost,
        source_key=None if wanted.source_key is None else credit.source_key,
        due_at=credit.due_at if compares_due else None,
        expires_at=None if wanted.expires_at is None else credit.expires_at or NEVER,
        waits_for=_waits_for(credit) if compares_due else None,
    )


def _waits_for(credit: NewCredit) -> Literal["delivery", "confirmation"] | None:
    if credit.due_at is not None:
        return None
    return "delivery" if credit.lapses_at is None else "confirmation"


def _credit(credit: ExpectedCredit, zone: str) -> str:
    words = f"{credit.rule} {credit.points}"
    if credit.unit != POINTS:
        words += f" {credit.unit}"
    if credit.boost is not None:
        words += f" by {credit.boost}"
    if credit.source_key is not None:
        words += f" as {credit.source_key}"
    if credit.waits_for is not None:
        words += f" due on {credit.waits_for}"
    elif credit.due_at is not None:
        words += f" due {local(instant(credit.due_at, zone), zone)}"
    return words + until(credit.expires_at, zone)


def _balance(balance: ExpectedBalance) -> str:
    return f"{balance.active} active, {balance.pending} pending, {balance.held} held, {balance.debt} in debt"


def _expirations(expirations: list[ExpectedExpiration], zone: str) -> str:
    words = [f"{one.points}{until(one.expires_at or NEVER, zone)}" for one in expirations]
    return " and ".join(words) or "no active points"


def _instant(at: datetime | None, zone: str) -> datetime | None:
    return None if at is None else instant(at, zone)
