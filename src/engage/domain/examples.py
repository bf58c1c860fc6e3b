"""A document's own examples, played through the decision.

Each example is one new member. Its steps go through `engage.domain.model`, which stands in for the gate and
the ledger, and what comes of each has to be what the document expects.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from engage.domain.calendar import instant
from engage.domain.decide import NewCredit
from engage.domain.model import MemberModel
from engage.domain.program import Example, ExpectedCredit, Program, Step
from engage.domain.refusal import Refusal

Outcome = list[NewCredit] | Refusal


class Failure(Struct, frozen=True):
    """An example that did not come as expected. `index` counts from 0, `step` from 1; 0 is the total.

    `trace` is why it came so: a line for each rule that was asked.
    """

    index: int
    title: str
    step: int
    when: str
    expected: str
    found: str
    trace: list[str]

    def __str__(self) -> str:
        where = f"step {self.step}, {self.when}" if self.step else "total"
        return f'examples[{self.index}] "{self.title}", {where}: expected {self.expected}, got {self.found}'


def check(program: Program) -> list[Failure]:
    """Plays every example. The program has passed `engage.domain.document`."""
    played = (_play(program, index, example) for index, example in enumerate(program.examples))
    return [failure for failures in played for failure in failures]


def instants(step: Step, zone: str) -> list[datetime]:
    """When a step's activities happen, in UTC: the same local time on each of its days."""
    first = step.at if step.at.tzinfo is None else step.at.astimezone(ZoneInfo(zone))
    later = [(first + timedelta(days=n)).replace(tzinfo=None) for n in range(1, step.days)]
    return [instant(step.at, zone), *(instant(local, zone) for local in later)]


def _play(program: Program, index: int, example: Example) -> Iterator[Failure]:
    """The first failure of each step, or else that of the total: it follows from the steps."""
    zone = program.countries[example.country].zone
    member, failed = MemberModel(), False
    for number, step in enumerate(example.steps, start=1):
        step_failed = False
        for day, at in enumerate(instants(step, zone), start=1):
            outcome = _outcome(member, program, step, at, zone)
            if not step_failed and not _as_expected(step, outcome, zone):
                step_failed = failed = True
                yield Failure(
                    index,
                    example.title,
                    number,
                    _local(at, zone) + (f", day {day} of {step.days}" if step.days > 1 else ""),
                    _expectation(step, zone),
                    _account(step, outcome, zone),
                    _trace(outcome),
                )
    total = sum(credit.points for credit in member.credits.values())
    if example.total is not None and total != example.total and not failed:
        yield Failure(index, example.title, 0, "", f"{example.total} points", f"{total} points", [])


def _outcome(member: MemberModel, program: Program, step: Step, at: datetime, zone: str) -> Outcome:
    try:
        return member.record(program, step.do, at, zone)
    except Refusal as refusal:
        return refusal


def _as_expected(step: Step, outcome: Outcome, zone: str) -> bool:
    if isinstance(outcome, Refusal):
        return outcome.code == step.refused
    by_rule = {credit.rule_id: credit for credit in outcome}
    return by_rule.keys() == {wanted.rule for wanted in step.earns} and all(
        _said(wanted, zone) == _told(wanted, by_rule[wanted.rule]) for wanted in step.earns
    )


def _said(wanted: ExpectedCredit, zone: str) -> tuple[object, ...]:
    """What an expectation says of its credit, to be equal to `_told`."""
    return (
        wanted.points,
        wanted.source_key,
        None if wanted.due_at is None else instant(wanted.due_at, zone),
        None if wanted.expires_at is None else instant(wanted.expires_at, zone),
    )


def _told(wanted: ExpectedCredit, credit: NewCredit) -> tuple[object, ...]:
    """The same of the credit that came, silent where the expectation is."""
    return (
        credit.points,
        None if wanted.source_key is None else credit.source_key,
        None if wanted.due_at is None else credit.due_at,
        None if wanted.expires_at is None else credit.expires_at or "never",
    )


def _expectation(step: Step, zone: str) -> str:
    if step.refused:
        return f"refusal {step.refused}"
    return " and ".join(_credit(wanted.rule, *_said(wanted, zone), zone=zone) for wanted in step.earns)


def _account(step: Step, outcome: Outcome, zone: str) -> str:
    """What came, in as many words as the step used of each rule."""
    if isinstance(outcome, Refusal):
        return f"refusal {outcome.code}"
    by_rule = {wanted.rule: wanted for wanted in step.earns}
    silent = ExpectedCredit(rule="", points=0)
    return " and ".join(
        _credit(credit.rule_id, *_told(by_rule.get(credit.rule_id, silent), credit), zone=zone)
        for credit in outcome
    )


def _credit(rule: str, points: object, source_key: object, due: object, expires: object, *, zone: str) -> str:
    words = [f"{rule} {points}"]
    if source_key is not None:
        words.append(f"as {source_key}")
    if isinstance(due, datetime):
        words.append(f"due {_local(due, zone)}")
    if expires is not None:
        words.append(f"until {_local(expires, zone) if isinstance(expires, datetime) else expires}")
    return " ".join(words)


def _trace(outcome: Outcome) -> list[str]:
    if isinstance(outcome, Refusal):
        return [f"{name}: {_fact(value)}" for name, value in outcome.facts.items()]
    return outcome[0].why.trace


def _fact(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _local(at: datetime, zone: str) -> str:
    return at.astimezone(ZoneInfo(zone)).isoformat(sep=" ")
