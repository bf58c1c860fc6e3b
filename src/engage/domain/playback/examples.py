"""Play the examples of a document, each on a new simulated member, and report what differs."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from engage.domain.earning.trace import TraceStep
from engage.domain.earning.unit import POINTS
from engage.domain.feature.outcome import local
from engage.domain.playback.differences import differences
from engage.domain.playback.play import play
from engage.domain.program import sections
from engage.domain.program.example import Example
from engage.domain.program.program import Program
from engage.domain.simulation.member import SimulatedMember


class Failure(Struct, frozen=True):
    """A step with another outcome than expected. `index` counts examples from 0, `step` from 1; 0 is the
    total.

    `trace` and `facts` explain the outcome: steps of each rule about the activity, or facts of a refusal.
    """

    index: int
    title: str
    step: int
    when: str
    expected: str
    found: str
    trace: list[TraceStep]
    facts: dict[str, Any]

    def __str__(self) -> str:
        where = f"step {self.step}, {self.when}" if self.step else "total"
        return f'examples[{self.index}] "{self.title}", {where}: expected {self.expected}, got {self.found}'


def check(program: Program) -> list[Failure]:
    """Play every example of a valid program."""
    played = (
        play_example(sections.simulate(program, example.country), index, example)
        for index, example in enumerate(program.examples)
    )
    return [failure for failures in played for failure in failures]


def play_example(member: SimulatedMember, index: int, example: Example) -> Iterator[Failure]:
    """The first failure of each step of an example of a new member; without any, that of the total."""
    zone, failed = member.market.zone, False
    for number, step in enumerate(example.steps, start=1):
        step_failed = False
        for day, at in enumerate(step.instants(zone), start=1):
            outcome = play(member, step, at)
            found = list(differences(step, outcome, member, zone, last=day == step.days))
            if found and not step_failed:
                step_failed = failed = True
                yield Failure(
                    index,
                    example.title,
                    number,
                    local(at, zone) + (f", day {day} of {step.days}" if step.days > 1 else ""),
                    "; ".join(expected for expected, _ in found),
                    "; ".join(actual for _, actual in found),
                    outcome.credits[0].why.trace if outcome.credits else [],
                    {} if outcome.refusal is None else outcome.refusal.facts,
                )
    credits = [credit.new for credit in member.account.credits.values()]
    total = sum(credit.points for credit in credits if credit.unit == POINTS)
    if example.total is not None and total != example.total and not failed:
        yield Failure(index, example.title, 0, "", f"{example.total} points", f"{total} points", [], {})
