"""Plays examples of documents through the flows, and compares all that their steps expect."""

from typing import Any

from engage.domain.activity import Registration
from engage.domain.calendar import instant
from engage.domain.examples.steps import Join
from engage.domain.feature.outcome import NOTHING
from engage.domain.program.example import Example, Step
from engage.domain.program.program import Program
from engage.flows.reads.home import read_home
from engage.runtime.services import Services
from tests.flows.example_member import EarnedCredit, ExampleMember, StepResult
from tests.support.clock import stopped_clock


async def play(services: Services, program: Program, example: Example) -> list[str]:
    """Play an example; return the differences from its expectations."""
    market = program.countries[example.country]
    member = ExampleMember(services, program.id, example.country, market.currency)
    # Each example begins at its own time.
    stopped_clock(services).at = example.steps[0].instants(market.zone)[0]
    if not any(isinstance(step.do, Join | Registration) for step in example.steps):
        await member.join_without_points()
    differences = []
    for number, step in enumerate(example.steps, start=1):
        for at in step.instants(market.zone):
            result = await member.step(step, at)
            pairs = _compare(step, result, market.zone)
        pairs += await _compare_state(member, step, market.zone)
        differences += [
            f"{example.title}, step {number}: expected {expected}, got {got}"
            for expected, got in pairs
            if expected != got
        ]
    return differences


def _compare(step: Step, result: StepResult, zone: str) -> list[tuple[Any, Any]]:
    """Return (expected, actual) of everything that the step expects."""
    pairs: list[tuple[Any, Any]] = [(step.refused, result.refusal)]
    if step.earns is not None:
        earned = {credit.names: credit for credit in result.credits or ()}
        pairs.append(({wanted.names for wanted in step.earns}, earned.keys()))
        for wanted in step.earns:
            if wanted.names in earned:
                pairs += _compare_credit(wanted, earned[wanted.names], zone)
    if step.quotes is not None and result.quote is not None:
        offered = result.quote
        pairs.append((step.quotes.max_points, offered.max_points))
        pairs.append((step.quotes.discount_minor, offered.discount_max.amount))
        if step.quotes.reasons is not None:
            pairs.append((step.quotes.reasons, offered.reasons))
        if step.quotes.coupons is not None:
            expected = {(c.reward, c.discount_minor, *c.reasons) for c in step.quotes.coupons}
            pairs.append((expected, {(c.reward_id, c.discount.amount, *c.reasons) for c in offered.coupons}))
    if step.pays is not None and result.held is not None:
        paid = result.held.points, result.held.discount.amount
        pairs.append(((step.pays.points, step.pays.discount_minor), paid))
    if step.gives is not None and result.redeemed is not None:
        code = result.redeemed.issued
        value_minor = None if code.value is None else code.value.amount
        pairs.append(((step.gives.value_minor, step.gives.product_id), (value_minor, code.product_id)))
        if step.gives.expires_at is not None:
            pairs.append((instant(step.gives.expires_at, zone), code.expires_at))
    if step.asks is not None and result.begun is not None:
        attempt, left = result.begun
        pairs.append((step.asks.questions, len(attempt.questions)))
        if step.asks.attempts_left is not None:
            pairs.append((step.asks.attempts_left, left))
        if step.asks.expires_at is not None:
            pairs.append((instant(step.asks.expires_at, zone), attempt.expires_at))
    if step.grades is not None and result.graded is not None:
        grade, graded = step.grades, result.graded
        pairs.append((grade.correct, graded.correct))
        pairs.append(((grade.total, grade.passed), (graded.total, graded.passed)))
    if step.wins is not None and result.played is not None:
        played = result.played
        pairs.append((step.wins.prize, NOTHING if played.prize is None else played.prize.id))
        if step.wins.chances_left is not None:
            pairs.append((step.wins.chances_left, played.chances_left))
    return pairs


def _compare_credit(wanted: Any, credit: EarnedCredit, zone: str) -> list[tuple[Any, Any]]:
    pairs: list[tuple[Any, Any]] = [((wanted.points, wanted.unit), (credit.points, credit.unit))]
    if wanted.source_key is not None:
        pairs.append((wanted.source_key, credit.source_key))
    if wanted.due_at is not None:
        pairs.append((instant(wanted.due_at, zone), credit.due_at))
    if wanted.waits_for is not None:
        pairs.append((None, credit.due_at))
    if wanted.expires_at is not None:
        pairs.append((instant(wanted.expires_at, zone), credit.expires_at))
    return pairs


async def _compare_state(member: ExampleMember, step: Step, zone: str) -> list[tuple[Any, Any]]:
    pairs: list[tuple[Any, Any]] = []
    if step.balance is not None:
        wanted = step.balance
        expected = wanted.active, wanted.pending, wanted.held, wanted.debt
        pairs.append((expected, await member.balance()))
    if step.expiring is not None:
        home = await read_home(member.services, *member.key)
        ending = [(end.points, instant(end.expires_at, zone)) for end in step.expiring if end.expires_at]
        pairs.append((ending, [(end.points, end.expires_at) for end in home.expiring]))
    if step.tiers is not None:
        home = await read_home(member.services, *member.key)
        levels = {tier.group: tier for tier in home.tiers}
        for wanted_tier in step.tiers:
            found = levels[wanted_tier.group]
            value = None if wanted_tier.value is None else found.value
            pairs.append(((wanted_tier.level, wanted_tier.value), (found.level, value)))
    return pairs
