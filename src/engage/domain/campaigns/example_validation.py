"""Validation of a campaign's examples, before they are played."""

from collections.abc import Iterator, Sequence

from engage.domain.calendar import instant
from engage.domain.campaigns.composition import context_of
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.example import CampaignExample
from engage.domain.definitions.definition import moment_problems
from engage.domain.document.errors import Problem
from engage.domain.feature.section import Context
from engage.domain.program.example_validation import common_problems, step_problems
from engage.domain.program.program import Program
from engage.domain.program.step_validation import starting_version, time_problems, version_problems


def example_problems(campaign: Campaign, programs: Sequence[Program]) -> Iterator[Problem]:
    """`programs` are the versions of the campaign's program, the oldest first. An example is about the one
    that is in force at its first step.
    """
    yield from common_problems(campaign.examples)
    contexts: dict[str, Context] = {}
    for n, example in enumerate(campaign.examples):
        path = f"examples[{n}]"
        found = starting_version(programs, example.country, example.steps, path)
        if isinstance(found, Problem):
            yield found
            continue
        if found.version not in contexts:
            contexts[found.version] = context_of(found, [campaign])
        yield from step_problems(example, path, contexts[found.version])
        yield from _time_problems(found, programs, example, path)


def _time_problems(
    program: Program, programs: Sequence[Program], example: CampaignExample, path: str
) -> Iterator[Problem]:
    country, steps = example.country, f"{path}.steps"
    wrong = [
        *time_problems(program, country, example.steps, steps),
        *_joining(program.countries[country].zone, example, f"{path}.joined_at"),
    ]
    yield from wrong or version_problems(program, programs, country, example.steps, steps)


def _joining(zone: str, example: CampaignExample, path: str) -> Iterator[Problem]:
    joined_at, first = example.joined_at, example.steps[0]
    wrong = list(moment_problems(path, joined_at, [zone]))
    yield from wrong
    if not wrong and joined_at is not None and instant(joined_at, zone) > first.instants(zone)[0]:
        expected = f"a time not after the first step ({first.at.isoformat()})"
        yield Problem(path, expected, joined_at.isoformat())
