"""What makes a document's examples wrong, before they are even played (`engage.domain.playback.examples`)."""

from collections.abc import Iterator
from datetime import datetime
from typing import get_args

from engage.domain.activity import Activity, AnyActivity, Line, Order
from engage.domain.calendar import happens, start_of_day
from engage.domain.document import iso_codes
from engage.domain.document.errors import Problem, nearest, one_of, shown
from engage.domain.examples.steps import Example, Hold, Join, Quote, Redeem, Spend, Step
from engage.domain.playback.examples import instants
from engage.domain.program.program import Program

# Examples are played at each check and each test run; these are more than anyone reads.
ACTIVITIES_PER_DOCUMENT = 20_000

# What a step can tell of what comes of it, and the deeds that some of it comes of.
EXPECTATIONS = ("earns", "refused", "quotes", "pays", "gives", "balance", "expiring")
GIVEN_BY = {
    "earns": {*(str(activity.__struct_config__.tag) for activity in get_args(AnyActivity)), "join", "spend"},
    "quotes": {"quote"},
    "pays": {"hold", "spend"},
    "gives": {"redeem"},
}

EARLIEST_YEAR, LATEST_YEAR = 2000, 2100


def example_problems(program: Program) -> Iterator[Problem]:
    activities = sum(step.days for example in program.examples for step in example.steps)
    if activities > ACTIVITIES_PER_DOCUMENT:
        yield Problem("examples", f"at most {ACTIVITIES_PER_DOCUMENT} activities in all", str(activities))
    titles: dict[str, str] = {}
    for n, example in enumerate(program.examples):
        path = f"examples[{n}]"
        first = titles.setdefault(example.title, path)
        if first != path:
            yield Problem(f"{path}.title", "a title of its own", f"{shown(example.title)}, which {first} has")
        for m, step in enumerate(example.steps):
            yield from _expectations(program, step, f"{path}.steps[{m}]")
        if example.country not in program.countries:
            yield Problem(f"{path}.country", one_of(program.countries), shown(example.country))
        elif program.countries[example.country].zone in iso_codes.zones():
            yield from _times(program, example, path)


def _expectations(program: Program, step: Step, path: str) -> Iterator[Problem]:
    told = [name for name in EXPECTATIONS if getattr(step, name) is not None]
    deed = str(step.do.__struct_config__.tag)
    for name, deeds in GIVEN_BY.items():
        if name in told and deed not in deeds:
            yield Problem(f"{path}.{name}", f"none: {deed} gives no such thing", "one")
        elif name in told and step.refused is not None:
            yield Problem(path, f"{name} or refused", "both")
    if isinstance(step.do, Activity | Join):
        if step.refused is None and step.earns is None:
            yield Problem(path, "earns or refused", "neither")
    elif not told:
        yield Problem(path, one_of(EXPECTATIONS), "nothing that is expected")
    if isinstance(step.do, Order | Quote):
        yield from _lines(step.do.lines, f"{path}.do.lines")
    yield from _credits(program, step, path)
    yield from _rewards(program, step, path)


def _lines(lines: list[Line], path: str) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for n, line in enumerate(lines):
        if first.setdefault(line.line_id, n) != n:
            found = f"{shown(line.line_id)}, which {path}[{first[line.line_id]}] has"
            yield Problem(f"{path}[{n}].line_id", "an id of its own", found)


def _credits(program: Program, step: Step, path: str) -> Iterator[Problem]:
    earns = step.earns or []
    if step.earns == [] and not isinstance(step.do, Order | Join | Spend):
        yield Problem(f"{path}.earns", "at least one credit, or a refusal", "an empty list")
    rules = [rule.id for rule in program.rules]
    for n, credit in enumerate(earns):
        field = f"{path}.earns[{n}]"
        if credit.rule not in rules:
            yield Problem(f"{field}.rule", "a rule's id", shown(credit.rule) + nearest(credit.rule, rules))
        elif credit.rule in [earlier.rule for earlier in earns[:n]]:
            yield Problem(f"{field}.rule", "each rule once", f"{shown(credit.rule)} again")
        if credit.waits_for is not None and credit.due_at is not None:
            yield Problem(f"{field}.due_at", "none: it waits for the delivery", shown(credit.due_at))
        if step.days > 1:
            for name in ("source_key", "due_at", "expires_at"):
                if getattr(credit, name) is not None:
                    found = f"one for {step.days} days"
                    yield Problem(f"{field}.{name}", "none: it is another on each day", found)


def _rewards(program: Program, step: Step, path: str) -> Iterator[Problem]:
    """Rewards that are named and not there."""
    named: list[tuple[str, str]] = []
    match step.do:
        case Redeem(reward_id=reward_id) if step.refused != "unknown_reward":
            named.append((f"{path}.do.reward_id", reward_id))
        case Hold(coupons=coupons):
            named += [(f"{path}.do.coupons[{n}]", reward_id) for n, reward_id in enumerate(coupons)]
    offers = step.quotes.coupons if step.quotes is not None and step.quotes.coupons else []
    named += [(f"{path}.quotes.coupons[{n}].reward", offer.reward) for n, offer in enumerate(offers)]
    known = [reward.id for reward in program.rewards]
    for field, reward_id in named:
        if reward_id not in known:
            yield Problem(field, "a reward's id", shown(reward_id) + nearest(reward_id, known))


def _times(program: Program, example: Example, path: str) -> Iterator[Problem]:
    """Times that never come, or else steps that are not in order."""
    zone = program.countries[example.country].zone
    wrong = [problem for field, at in _all_times(example, path) for problem in _moment(at, zone, field)]
    yield from wrong
    if wrong:
        return
    previous = start_of_day(program.in_force_from, zone)
    since = f"a time from {program.in_force_from} on, when the version comes into force"
    for n, step in enumerate(example.steps):
        moments = instants(step, zone)
        if moments[0] < previous:
            yield Problem(f"{path}.steps[{n}].at", since, step.at.isoformat())
        previous = max(previous, moments[-1])
        since = f"a time not before that of the step before it ({previous:%Y-%m-%dT%H:%M:%SZ})"


def _all_times(example: Example, path: str) -> Iterator[tuple[str, datetime]]:
    for n, step in enumerate(example.steps):
        yield f"{path}.steps[{n}].at", step.at
        for m, credit in enumerate(step.earns or ()):
            if credit.due_at is not None:
                yield f"{path}.steps[{n}].earns[{m}].due_at", credit.due_at
            if credit.expires_at is not None:
                yield f"{path}.steps[{n}].earns[{m}].expires_at", credit.expires_at
        for m, end in enumerate(step.expiring or ()):
            if end.expires_at is not None:
                yield f"{path}.steps[{n}].expiring[{m}].expires_at", end.expires_at
        if step.gives is not None and step.gives.expires_at is not None:
            yield f"{path}.steps[{n}].gives.expires_at", step.gives.expires_at


def _moment(at: datetime, zone: str, path: str) -> Iterator[Problem]:
    if not EARLIEST_YEAR <= at.year <= LATEST_YEAR:
        yield Problem(path, f"a year from {EARLIEST_YEAR} to {LATEST_YEAR}", at.isoformat())
    elif at.tzinfo is None and not happens(at, zone):
        yield Problem(path, f"a local time of {zone}", f"{at.isoformat()}, which its clocks skip")
