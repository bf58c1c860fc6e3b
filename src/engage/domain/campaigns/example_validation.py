"""Validation of a campaign's examples, before they are played."""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from engage.domain.calendar import instant, start_of_day
from engage.domain.campaigns.composition import with_definitions
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.example import CampaignExample
from engage.domain.definitions.definition import moment_problems
from engage.domain.document.errors import Problem, one_of, shown
from engage.domain.feature.section import Context
from engage.domain.program import sections, versions
from engage.domain.program.example_validation import common_problems, step_problems, time_problems
from engage.domain.program.program import Program


def example_problems(campaign: Campaign, programs: Sequence[Program]) -> Iterator[Problem]:
    """`programs` are the versions of the campaign's program, the oldest first. An example is about the one
    that is in force at its first step.
    """
    yield from common_problems(campaign.examples)
    for n, example in enumerate(campaign.examples):
        yield from _problems(campaign, example, f"examples[{n}]", programs)


def version_of(example: CampaignExample, programs: Sequence[Program]) -> Program | None:
    """The program version in force at the first step; None before there is one."""
    markets = [program.countries.get(example.country) for program in programs]
    zone = next((market.zone for market in reversed(markets) if market is not None), None)
    if zone is None:
        return None
    return versions.in_force(programs, example.steps[0].instants(zone)[0], example.country)


def context_of(campaign: Campaign, program: Program) -> Context:
    """The context of a program's document with the parts of a campaign among its own."""
    joined = with_definitions(program, [campaign])
    return sections.context_of(replace(joined, rules=[*program.rules, *campaign.rules]))


def _problems(
    campaign: Campaign, example: CampaignExample, path: str, programs: Sequence[Program]
) -> Iterator[Problem]:
    countries = dict.fromkeys(country for program in programs for country in program.countries)
    if example.country not in countries:
        yield Problem(f"{path}.country", one_of(countries), shown(example.country))
        return
    first, impossible = f"{path}.steps[0].at", False
    for problem in moment_problems(first, example.steps[0].at):
        yield problem
        impossible = True
    if impossible:
        return
    program = version_of(example, programs)
    if program is None:
        expected = f"a time at which the program is in force in {example.country}"
        yield Problem(first, expected, example.steps[0].at.isoformat())
        return
    yield from step_problems(example, path, context_of(campaign, program))
    wrong = [*time_problems(program, example, path), *_joining(program, example, path)]
    yield from wrong or _beyond(program, example, path, programs)


def _joining(program: Program, example: CampaignExample, path: str) -> Iterator[Problem]:
    zone, joined_at = program.countries[example.country].zone, example.joined_at
    if joined_at is not None and instant(joined_at, zone) > example.steps[0].instants(zone)[0]:
        first = example.steps[0].at.isoformat()
        yield Problem(
            f"{path}.joined_at", f"a time not after the first step ({first})", joined_at.isoformat()
        )


def _beyond(
    program: Program, example: CampaignExample, path: str, programs: Sequence[Program]
) -> Iterator[Problem]:
    """The first step at which a later version of the program is in force."""
    zone = program.countries[example.country].zone
    for m, step in enumerate(example.steps):
        at = step.instants(zone)[-1]
        later = versions.in_force(programs, at, example.country)
        if later is not None and later is not program:
            begin = start_of_day(later.in_force_from, zone)
            expected = f"a time before version {later.version} of the program ({begin:%Y-%m-%dT%H:%M:%SZ})"
            yield Problem(f"{path}.steps[{m}].at", expected, f"{at:%Y-%m-%dT%H:%M:%SZ}")
            return
