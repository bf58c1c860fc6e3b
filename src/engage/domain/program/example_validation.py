"""Validation of a document's examples, before they are played."""

from collections.abc import Iterator, Sequence
from typing import Final

from engage.domain.activity import Activity, Order
from engage.domain.document import iso_codes
from engage.domain.document.errors import Problem, duplicate_names, nearest, one_of, shown
from engage.domain.feature.action import Action
from engage.domain.feature.outcome import Expectation
from engage.domain.feature.section import Context
from engage.domain.program.example import Example, Step, TimedStep
from engage.domain.program.program import Program
from engage.domain.program.step_validation import action_problems, results_of, time_problems
from engage.domain.refusals import Code, UseCase

# Examples are played at each check and each test run. Nobody reads more than these.
ACTIVITIES_PER_DOCUMENT: Final = 20_000

NO_EXPECTATIONS = frozenset(TimedStep.__struct_fields__)
OF_ANY_ACTION = frozenset({"refused", "balance", "streak", "expiring", "tiers"})

# The use cases that steps can play, and the codes that they can be refused with.
USE_CASES = frozenset(
    {
        *(UseCase.RECORD_FUEL_TAP, UseCase.RECORD_SHARE, UseCase.RECORD_REVIEW, UseCase.RECORD_VISIT),
        UseCase.TAKE_EVENT,
        *(UseCase.QUOTE_CHECKOUT, UseCase.HOLD_POINTS, UseCase.END_HOLD),
        *(UseCase.REGISTER_MEMBER, UseCase.REDEEM_REWARD, UseCase.BUY_FREEZE, UseCase.WITHDRAW),
        *(UseCase.PLAY_GAME, UseCase.ENTER_DRAW),
        *(UseCase.START_QUIZ, UseCase.ANSWER_QUIZ, UseCase.CLAIM_REFERRAL),
    }
)
CODES = frozenset(code for code in Code if code.occurs_in & USE_CASES)


def example_problems(program: Program, context: Context) -> Iterator[Problem]:
    yield from common_problems(program.examples)
    for n, example in enumerate(program.examples):
        path = f"examples[{n}]"
        yield from step_problems(example, path, context)
        if example.country not in program.countries:
            yield Problem(f"{path}.country", one_of(program.countries), shown(example.country))
        elif program.countries[example.country].zone in iso_codes.zones():
            yield from time_problems(program, example.country, example.steps, f"{path}.steps")


def common_problems(examples: Sequence[Example]) -> Iterator[Problem]:
    """The problems of all examples of a document together."""
    activities = sum(step.days for example in examples for step in example.steps)
    if activities > ACTIVITIES_PER_DOCUMENT:
        yield Problem("examples", f"at most {ACTIVITIES_PER_DOCUMENT} activities in all", str(activities))
    yield from duplicate_names([example.title for example in examples], "examples", "title")


def step_problems(example: Example, path: str, context: Context) -> Iterator[Problem]:
    """The problems of steps, apart from their times."""
    for m, step in enumerate(example.steps):
        yield from _step(step, f"{path}.steps[{m}]", context)


def _step(step: Step, path: str, context: Context) -> Iterator[Problem]:
    possible = [name for name in step.__struct_fields__ if name not in NO_EXPECTATIONS]
    expected = [name for name in possible if getattr(step, name) is not None]
    tag, results = str(step.do.__struct_config__.tag), results_of(step.do)
    for name in expected:
        if name not in results | OF_ANY_ACTION:
            yield Problem(f"{path}.{name}", f"no {name}: {tag} has no such result", "one")
        elif name in results and step.refused is not None:
            yield Problem(path, f"{name} or refused", "both")
    if step.refused is not None and step.refused not in CODES:
        yield Problem(f"{path}.refused", "a refusal of some step", shown(step.refused))
    if isinstance(step.do, Activity) or step.do.must_earn:
        if step.refused is None and step.earns is None:
            yield Problem(path, "earns or refused", "neither")
    elif not expected:
        yield Problem(path, one_of(possible), "no expectation")
    if step.held is not None and step.origin is None:
        yield Problem(f"{path}.held", "an origin of the step beside it", "none")
    yield from action_problems(step, path, context, refused=step.refused)
    yield from _credits(step, path, context)
    yield from _tiers(step, path, context)
    for name in expected:
        expectation = getattr(step, name)
        if isinstance(expectation, Expectation):
            yield from expectation.problems(f"{path}.{name}", context)


def _credits(step: Step, path: str, context: Context) -> Iterator[Problem]:
    earns = step.earns or []
    if step.earns == [] and not isinstance(step.do, Order | Action):
        yield Problem(f"{path}.earns", "at least one credit, or a refusal", "an empty list")
    rules = context.paying
    for n, credit in enumerate(earns):
        field = f"{path}.earns[{n}]"
        if credit.rule not in rules:
            found = shown(credit.rule) + nearest(credit.rule, rules)
            yield Problem(f"{field}.rule", "the id of a rule", found)
        elif credit.names in [earlier.names for earlier in earns[:n]]:
            yield Problem(f"{field}.rule", "each rule once", f"{shown(credit.rule)} again")
        if credit.waits_for is not None and credit.due_at is not None:
            yield Problem(f"{field}.due_at", "no due_at beside waits_for", shown(credit.due_at))
        if step.days > 1:
            for name in ("source_key", "due_at", "expires_at"):
                if getattr(credit, name) is not None:
                    expected = f"no {name}: it differs from day to day"
                    yield Problem(f"{field}.{name}", expected, f"one for {step.days} days")


def _tiers(step: Step, path: str, context: Context) -> Iterator[Problem]:
    for n, tier in enumerate(step.tiers or []):
        if tier.group not in context.ids["tier_groups"]:
            yield Problem(f"{path}.tiers[{n}].group", "the id of a group of tiers", shown(tier.group))
