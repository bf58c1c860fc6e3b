"""Simulations: a made-up member does some things under campaigns, on a clock of their own, in memory."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from engage.domain.campaigns.composition import context_of
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.simulated import GivenFacts, simulate
from engage.domain.document.errors import DocumentError, Problem
from engage.domain.earning.credit import NewCredit
from engage.domain.playback.statement import PlayedStep, play_steps
from engage.domain.program.example import TimedStep
from engage.domain.program.program import Program
from engage.domain.program.step_validation import (
    action_problems,
    starting_version,
    time_problems,
    version_problems,
)
from engage.domain.simulation.member import SimulatedMember
from engage.flows.campaigns.dry_run import check_program
from engage.flows.campaigns.looked_at import CampaignLookedAt, check_documents, read_campaigns
from engage.runtime.database import snapshot
from engage.runtime.services import Services

# Activities, counted on each of the days of a step, and the time that they may take.
ACTIVITIES: Final = 1_000
PLAYED_WITHIN_S: Final = 5.0


class SimulationRequest(Struct, frozen=True, kw_only=True):
    """Documents, stored campaigns by id, or both; without them, the program alone. The member is in these
    segments from the beginning, and in no other.
    """

    program_id: str
    documents: Sequence[Campaign]
    campaign_ids: Sequence[str]
    country: str
    segments: Sequence[str] = ()
    steps: Sequence[TimedStep]


class Statement(Struct, frozen=True):
    """The steps as they went, under a version of the program, and all credits, as they were granted."""

    version: str
    steps: Sequence[PlayedStep]
    credits: Sequence[NewCredit]


async def run_simulation(services: Services, request: SimulationRequest) -> Statement:
    """Raises DocumentError with the problems of the request; Unavailable."""
    check_program(services, request.program_id)
    documents = [(f"documents[{n}]", document) for n, document in enumerate(request.documents)]
    campaigns = await check_documents(services, request.program_id, documents)
    if request.campaign_ids:
        async with snapshot(services.db) as conn:
            stored = await read_campaigns(conn, request.program_id, request.campaign_ids)
        ids = {each.newest.id for each in campaigns}
        campaigns += [each for each in stored if each.newest.id not in ids]
    program = _check_steps(services, request, campaigns)
    published = [version for each in campaigns for version in each.versions]
    member = simulate(program, request.country, published, GivenFacts(segments=frozenset(request.segments)))
    # A thread of its own: requests of others go on between its steps.
    steps = await asyncio.to_thread(_play, member, request.steps)
    credits = [credit.new for credit in member.account.credits.values()]
    return Statement(program.version, steps, credits)


def _check_steps(
    services: Services, request: SimulationRequest, campaigns: Sequence[CampaignLookedAt]
) -> Program:
    """The version of the program that decides. Raises DocumentError."""
    activities = sum(step.days for step in request.steps)
    if activities > ACTIVITIES:
        raise DocumentError(
            "", [Problem("steps", f"at most {ACTIVITIES} activities in all", str(activities))]
        )
    programs = services.programs.versions(request.program_id)
    country, steps = request.country, request.steps
    program = starting_version(programs, country, steps, "")
    if isinstance(program, Problem):
        raise DocumentError("", [program])
    context = context_of(program, [each.newest.campaign for each in campaigns])
    problems = [
        problem for n, step in enumerate(steps) for problem in action_problems(step, f"steps[{n}]", context)
    ]
    wrong = list(time_problems(program, country, steps, "steps"))
    problems += wrong or version_problems(program, programs, country, steps, "steps")
    if problems:
        raise DocumentError("", problems)
    return program


def _play(member: SimulatedMember, steps: Sequence[TimedStep]) -> list[PlayedStep]:
    """Raises DocumentError at the step at which it takes too long."""
    end, played = time.monotonic() + PLAYED_WITHIN_S, []
    for step in play_steps(member, steps):
        played.append(step)
        if time.monotonic() > end:
            expected = f"steps that are played within {PLAYED_WITHIN_S:g} s"
            raise DocumentError("", [Problem(f"steps[{step.index}]", expected, f"longer at {step.at}")])
    return played
