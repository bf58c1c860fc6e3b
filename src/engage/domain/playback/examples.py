"""A document's own examples, played through the decision.

Each example is one new member. Its steps go through `engage.domain.simulation.member`, which stands in for
the gate, the ledger and the flows. The outcome of each step must be what the document expects.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from engage.domain.calendar import instant
from engage.domain.examples.steps import Example, Step
from engage.domain.playback.differences import differences, local
from engage.domain.playback.play import Outcome, play
from engage.domain.program.program import Program
from engage.domain.simulation.member import SimulatedMember


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
    """Plays every example. The program has passed `engage.domain.program.parse`."""
    played = (_play(program, index, example) for index, example in enumerate(program.examples))
    return [failure for failures in played for failure in failures]


def instants(step: Step, zone: str) -> list[datetime]:
    """When a step's activities happen, in UTC: the same local time on each of its days."""
    first = step.at if step.at.tzinfo is None else step.at.astimezone(ZoneInfo(zone))
    later = [(first + timedelta(days=n)).replace(tzinfo=None) for n in range(1, step.days)]
    return [instant(step.at, zone), *(instant(clock, zone) for clock in later)]


def _play(program: Program, index: int, example: Example) -> Iterator[Failure]:
    """The first failure of each step, or else that of the total: it follows from the steps."""
    zone = program.countries[example.country].zone
    member, failed = SimulatedMember(program, example.country), False
    for number, step in enumerate(example.steps, start=1):
        step_failed = False
        for day, at in enumerate(instants(step, zone), start=1):
            outcome = play(member, step, at)
            wrong = list(differences(step, outcome, member, zone, last=day == step.days))
            if wrong and not step_failed:
                step_failed = failed = True
                yield Failure(
                    index,
                    example.title,
                    number,
                    local(at, zone) + (f", day {day} of {step.days}" if step.days > 1 else ""),
                    "; ".join(expected for expected, _ in wrong),
                    "; ".join(found for _, found in wrong),
                    _trace(outcome),
                )
    total = sum(kept.credit.points for kept in member.accounts.credits.values())
    if example.total is not None and total != example.total and not failed:
        yield Failure(index, example.title, 0, "", f"{example.total} points", f"{total} points", [])


def _trace(outcome: Outcome) -> list[str]:
    if outcome.refusal is not None:
        return [f"{name}: {_fact(value)}" for name, value in outcome.refusal.facts.items()]
    return outcome.credits[0].why.trace if outcome.credits else []


def _fact(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
