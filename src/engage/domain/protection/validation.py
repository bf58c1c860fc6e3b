"""Validation of velocity rules."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from engage.domain.document.durations import duration_problems
from engage.domain.document.errors import Problem, duplicate_names, shown
from engage.domain.protection.definition import Protection

# A hold that nobody can use for a review says nothing; a member waits a month for their points at most.
SHORTEST_HOLD: Final = timedelta(minutes=1)
LONGEST_HOLD: Final = timedelta(days=31)


def problems(protection: Protection, path: str = "protection") -> Iterator[Problem]:
    rules = protection.velocity
    yield from duplicate_names([rule.id for rule in rules], f"{path}.velocity", "id")
    for n, rule in enumerate(rules):
        field = f"{path}.velocity[{n}]"
        yield from duration_problems(f"{field}.hold", rule.hold, SHORTEST_HOLD, LONGEST_HOLD)
        for m, name in enumerate(rule.on):
            if name in rule.on[:m]:
                yield Problem(f"{field}.on[{m}]", "each activity once", f"{shown(name)} again")
