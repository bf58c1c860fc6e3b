"""The faults of a run: in which round, on what, and for how long. Pure: a plan follows from its seed.

A plan is plain JSON, so that a run can be repeated from a file, and shortened. Rounds follow each other:
after the faults of one have ended, the installation has to be live again before the next one begins.
"""

import random
from collections.abc import Collection, Iterator, Sequence

import msgspec
from msgspec import Struct

from engage.torture.kinds import KINDS, Kind

# A round takes at least as long as its pause. A run ends when its time is over, so a plan has enough rounds.
PAUSE_S = 1.0

ACTORS = 12

# Of ten rounds as many have a second fault at the same time, of another part.
DOUBLE_OF_TEN = 3


class Step(Struct, frozen=True, kw_only=True):
    """A fault. `begin_s` counts from the begin of its round; a fault of no length ends where it begins."""

    round: int
    fault: str
    target: str
    begin_s: float
    length_s: float
    parameters: dict[str, float] = {}


class Plan(Struct, frozen=True, kw_only=True):
    """The faults of a run, in the order of their begin. `seed` is that of its `actors`, the members, too."""

    seed: int
    seconds: float
    steps: list[Step]
    actors: int = ACTORS

    def rounds(self) -> list[list[Step]]:
        numbers = dict.fromkeys(step.round for step in self.steps)
        return [[step for step in self.steps if step.round == number] for number in numbers]


def make_plan(seed: int, *, minutes: float, faults: Sequence[str] = ()) -> Plan:
    """Return a plan of the named faults, or of all. Each comes before any of them comes again. However short
    it is, it has a round.
    """
    rng = random.Random(seed)  # noqa: S311 - to be repeated.
    kinds = [KINDS[name] for name in sorted(set(faults) or KINDS)]
    seconds = minutes * 60
    coming = _each_in_turn(rng, kinds)
    steps: list[Step] = []
    for number in range(max(1, int(seconds / PAUSE_S))):
        first = _step(rng, next(coming), number, 0.0)
        steps.append(first)
        if first.length_s and rng.randrange(10) < DOUBLE_OF_TEN:
            second = _step(rng, next(coming), number, round(rng.uniform(0, first.length_s), 2))
            if not _would_hide_each_other(first, second):
                steps.append(second)
    return Plan(seed=seed, seconds=seconds, steps=steps)


def _each_in_turn(rng: random.Random, kinds: Sequence[Kind]) -> Iterator[Kind]:
    while True:
        yield from rng.sample(kinds, len(kinds))


def _step(rng: random.Random, kind: Kind, number: int, begin_s: float) -> Step:
    return Step(
        round=number,
        fault=kind.name,
        target=rng.choice(kind.targets),
        begin_s=begin_s,
        length_s=round(rng.uniform(kind.shortest_s, kind.longest_s), 2),
        parameters={name: rng.choice(values) for name, values in kind.parameters.items()},
    )


def _would_hide_each_other(first: Step, second: Step) -> bool:
    """True for two faults of one part: nobody could say from which of them it recovers."""
    return _part(first.target) == _part(second.target) or first.fault == second.fault


def _part(target: str) -> str:
    """The server of a link, or the process or server itself."""
    return target.rpartition("/")[2]


def without(plan: Plan, faults: Collection[str]) -> Plan:
    """Return the plan without some faults."""
    steps = [step for step in plan.steps if step.fault not in faults]
    return msgspec.structs.replace(plan, steps=steps)


def mistakes(plan: Plan) -> Iterator[str]:
    """Say what of a plan nothing can do: faults, targets and parameters that there are not."""
    names = [step.fault for step in plan.steps]
    if unknown := unknown_faults(names):
        yield unknown
    for step in plan.steps:
        kind = KINDS.get(step.fault)
        if kind is None:
            continue
        if step.target not in kind.targets:
            yield f"{step.fault} cannot be done to {step.target!r}, but to {', '.join(kind.targets)}"
        if step.parameters.keys() != kind.parameters.keys():
            yield f"{step.fault} takes {', '.join(kind.parameters) or 'no parameters'}"


def unknown_faults(names: Sequence[str]) -> str:
    """Say which of these names are no faults, and which names are; nothing if all are."""
    unknown = sorted(set(names) - KINDS.keys())
    return f"unknown: {', '.join(unknown)}; there are {', '.join(KINDS)}" if unknown else ""


def text_of_step(step: Step) -> str:
    parameters = "".join(f" {name}={value:g}" for name, value in step.parameters.items())
    length = f" {step.length_s:g} s" if step.length_s else ""
    return f"{step.fault} {step.target}{length}{parameters}"
