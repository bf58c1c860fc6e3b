"""Validation of a campaign beside its program, after the types of its fields."""

from collections.abc import Iterator, Sequence

from engage.domain.campaigns.definition import Campaign
from engage.domain.definitions.definition import order_problems
from engage.domain.document.errors import Problem
from engage.domain.program.program import Program


def problems(campaign: Campaign, versions: Sequence[Program]) -> list[Problem]:
    """All problems. `versions` are those of the program, at least one."""
    return [*_times(campaign)]


def _times(campaign: Campaign) -> Iterator[Problem]:
    for problem in order_problems("", ("from", campaign.from_), ("until", campaign.until)):
        yield Problem(problem.path.removeprefix("."), problem.expected, problem.found)
