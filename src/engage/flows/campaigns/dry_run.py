"""Dry runs: what one activity would earn a member, or somebody like them. Read, and never written."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.activity import RuleActivity
from engage.domain.calendar import instant
from engage.domain.campaigns import dry_run as domain
from engage.domain.campaigns.audience import Facts
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.explanation import Considered
from engage.domain.campaigns.simulated import GivenFacts, SimulatedCampaigns, simulate
from engage.domain.definitions.definition import moment_problems
from engage.domain.document.errors import DocumentError, Problem, nearest, one_of, shown
from engage.domain.market import Market
from engage.domain.program.program import Program
from engage.domain.refusals import Refusal
from engage.domain.simulation.member import SimulatedMember
from engage.flows.campaigns.looked_at import (
    CampaignLookedAt,
    check_documents,
    read_campaigns,
    read_published,
)
from engage.flows.campaigns.member_state import read_state, read_use
from engage.runtime.database import snapshot
from engage.runtime.services import Services
from engage.store.members.members import Member


class MadeUpMember(Struct, frozen=True, kw_only=True):
    """The facts of somebody. Times without an offset are local times of the country."""

    country: str
    tier: str | None = None
    tiers: Sequence[str] = ()
    segments: Sequence[str] = ()
    joined_at: datetime | None = None
    last_order_at: datetime | None = None
    held_out: bool = False


class DryRunRequest(Struct, frozen=True, kw_only=True):
    """Either a `document`, stored campaigns by id, or both together; without them, all that are published,
    which `with_published` adds to the document and the ids. Either a member, or somebody made up. Without
    `at` it is now.
    """

    program_id: str
    document: Campaign | None
    campaign_ids: Sequence[str] | None
    with_published: bool = False
    member_id: str | None
    made_up: MadeUpMember | None
    activity: RuleActivity
    at: datetime | None


class DryRunResult(Struct, frozen=True, kw_only=True):
    """`facts` are those of the member before the activity, as far as a campaign asks for them."""

    at: datetime
    version: str
    facts: Facts
    outcome: domain.DryRun


async def dry_run(services: Services, request: DryRunRequest) -> DryRunResult:
    """Raises DocumentError with the problems of the request; Refusal unknown_member; Unavailable."""
    check_program(services, request.program_id)
    documents = [] if request.document is None else [("document", request.document)]
    drafts = await check_documents(services, request.program_id, documents)
    member = await _member(services, request)
    country = _country(services, request, member)
    at = _instant(services, request, country)
    program, market = _in_force(services, request, country, at)
    async with snapshot(services.db) as conn:
        considered = await _considered(conn, request, drafts, at, market.zone)
        if member is not None:
            simulated = await read_state(services, conn, member, program, considered, request.activity, at)
        else:
            simulated = await _made_up(conn, request, program, country, considered)
    facts = simulated.feature(SimulatedCampaigns).facts(at)
    outcome = domain.dry_run(simulated, considered, request.activity, at)
    return DryRunResult(at=at, version=program.version, facts=facts, outcome=outcome)


def check_program(services: Services, program_id: str) -> None:
    """Raises DocumentError for a program that there is not."""
    known = services.programs.ids()
    if program_id not in known:
        found = shown(program_id) + nearest(program_id, known)
        raise DocumentError("", [Problem("program", "the id of a program", found)])


async def _member(services: Services, request: DryRunRequest) -> Member | None:
    """Raises DocumentError where there is neither a member nor facts; Refusal unknown_member."""
    if (request.member_id is None) == (request.made_up is None):
        found = "neither" if request.member_id is None else "both"
        raise DocumentError("", [Problem("facts", "either member_id or facts", found)])
    if request.member_id is None:
        return None
    return await services.members.get(services.db, request.program_id, request.member_id)


def _country(services: Services, request: DryRunRequest, member: Member | None) -> str:
    """Raises DocumentError for facts of a country in which the program has never run."""
    if request.made_up is None:
        assert member is not None
        return member.country
    programs = services.programs.versions(request.program_id)
    known = dict.fromkeys(country for program in programs for country in program.countries)
    if request.made_up.country not in known:
        raise DocumentError("", [Problem("facts.country", one_of(known), shown(request.made_up.country))])
    return request.made_up.country


def _instant(services: Services, request: DryRunRequest, country: str) -> datetime:
    """Raises DocumentError for a time that is out of range, or that the country's clocks skip."""
    if request.at is None:
        return services.clock.now()
    zone = zone_of(services, request.program_id, country)
    problems = list(moment_problems("at", request.at, [zone]))
    if problems:
        raise DocumentError("", problems)
    return instant(request.at, zone)


def zone_of(services: Services, program_id: str, country: str) -> str:
    """The zone of a country in the newest version that has it."""
    programs = services.programs.versions(program_id)
    return next(each.countries[country].zone for each in reversed(programs) if country in each.countries)


def _in_force(
    services: Services, request: DryRunRequest, country: str, at: datetime
) -> tuple[Program, Market]:
    """Raises DocumentError where the program does not run (yet)."""
    try:
        return services.programs.in_force(request.program_id, at=at, country=country)
    except Refusal:
        expected = f"a time at which the program is in force in {country}"
        raise DocumentError("", [Problem("at", expected, shown(at))]) from None


async def _considered(
    conn: AsyncConnection,
    request: DryRunRequest,
    drafts: Sequence[CampaignLookedAt],
    at: datetime,
    zone: str,
) -> list[Considered]:
    """The draft takes the place of the stored campaign of its id."""
    program_id, ids = request.program_id, request.campaign_ids
    looked_at = list(drafts)
    if ids is not None:
        looked_at += await read_campaigns(conn, program_id, ids)
    if request.with_published or (ids is None and not drafts):
        looked_at += await read_published(conn, program_id, at=at, zone=zone)
    first = {each.newest.id: each for each in reversed(looked_at)}
    return [each.at(at, zone) for each in looked_at if first[each.newest.id] is each]


async def _made_up(
    conn: AsyncConnection,
    request: DryRunRequest,
    program: Program,
    country: str,
    considered: Sequence[Considered],
) -> SimulatedMember:
    facts = request.made_up
    assert facts is not None
    zone = program.countries[country].zone
    _check_facts(facts, program, zone)
    campaigns = [each.published.campaign for each in considered]
    uses = {each.id: await read_use(conn, each, None) for each in campaigns if each.budget is not None}
    given = GivenFacts(
        joined_at=None if facts.joined_at is None else instant(facts.joined_at, zone),
        levels=frozenset(tier for _, tier in _tiers(facts)),
        segments=frozenset(facts.segments),
        last_order_at=None if facts.last_order_at is None else instant(facts.last_order_at, zone),
        held_out=facts.held_out,
        budgets=uses,
    )
    return simulate(program, country, [each.published for each in considered], given)


def _tiers(facts: MadeUpMember) -> list[tuple[str, str]]:
    """(path, level) of each level that somebody has."""
    several = [(f"facts.tiers[{n}]", tier) for n, tier in enumerate(facts.tiers)]
    return several if facts.tier is None else [("facts.tier", facts.tier), *several]


def _check_facts(facts: MadeUpMember, program: Program, zone: str) -> None:
    """Raises DocumentError for levels that the program does not have, and for impossible times."""
    levels = [level.id for group in program.tier_groups for level in group.levels]
    problems = [
        Problem(path, "the id of a level of the program", shown(tier) + nearest(tier, levels))
        for path, tier in _tiers(facts)
        if tier not in levels
    ]
    for name, moment in (("joined_at", facts.joined_at), ("last_order_at", facts.last_order_at)):
        problems += moment_problems(f"facts.{name}", moment, [zone])
    if problems:
        raise DocumentError("", problems)
