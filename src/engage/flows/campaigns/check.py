"""Validate the document of a campaign beside its program, and play its examples."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.partial import partial_campaign
from engage.domain.campaigns.surroundings import Surroundings
from engage.domain.campaigns.validation import problems
from engage.domain.campaigns.zones import zones_of
from engage.domain.document.decoding import Notation
from engage.domain.document.errors import DocumentError, Problem, nearest, shown
from engage.domain.playback import campaign_examples
from engage.domain.program.kinds import KINDS
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.runtime.database import transaction
from engage.runtime.program_cache import ProgramCache, parsed
from engage.runtime.services import Services
from engage.store import definitions
from engage.store import programs as programs_store
from engage.store.campaigns import versions
from engage.store.segments.segments import read_ids


async def check_document(services: Services, campaign: Campaign) -> None:
    """Raises DocumentError, also for a program that there is not; Unavailable."""
    async with transaction(services.db) as conn:
        await check_within(services.programs, conn, campaign)


async def check_within(programs: ProgramCache, conn: AsyncConnection, campaign: Campaign) -> None:
    """The same in a transaction, which sees what others have added so far."""
    _check_program(programs, campaign)
    found = problems(campaign, await _surroundings(programs, conn, campaign))
    if found:
        raise DocumentError("", found)


async def check_rest(
    services: Services, document: object, mismatches: Sequence[Problem], *, notation: Notation
) -> list[Problem]:
    """All problems of a document with mismatches: also those of what is valid of it. Raises Unavailable."""
    partial = partial_campaign(document, notation=notation)
    if partial is None:
        return [*mismatches]
    try:
        await check_document(services, partial.campaign)
    except DocumentError as error:
        return [*mismatches, *partial.shown(error.problems)]
    return [*mismatches]


def check_examples(campaign: Campaign, programs: Sequence[Program]) -> None:
    """Play the examples of a valid document. Raises Refusal example_failed."""
    failures = campaign_examples.check(campaign, programs)
    if failures:
        raise Refusal(Code.EXAMPLE_FAILED, problems=[str(failure) for failure in failures])


def check_is_to_come(services: Services, campaign: Campaign, now: datetime) -> None:
    """Raises DocumentError for a campaign whose time is over."""
    zones = zones_of(campaign, services.programs.versions(campaign.program))
    if campaign.last_instant(zones) <= now:
        expected = "a time to come: this campaign would never be in force"
        raise DocumentError("", [Problem("until", expected, shown(campaign.until))])


async def lock_ids(conn: AsyncConnection) -> None:
    """Keep others from taking ids of rules and definitions until the transaction ends, by publishing a
    program version, adding a definition, or writing a campaign.
    """
    await programs_store.lock(conn)
    await definitions.lock(conn)


def _check_program(programs: ProgramCache, campaign: Campaign) -> None:
    known = programs.ids()
    if campaign.program not in known:
        found = shown(campaign.program) + nearest(campaign.program, known)
        raise DocumentError("", [Problem("program", "the id of a program", found)])


async def _surroundings(programs: ProgramCache, conn: AsyncConnection, campaign: Campaign) -> Surroundings:
    program_id = campaign.program
    plurals = {kind.name: kind.plural for kind in KINDS}
    others, earlier = [], {}
    for row in await versions.read_with_parts(conn, program_id, ["rules", *plurals.values()]):
        document = msgspec.convert(row.document, Campaign)
        if row.campaign_id != campaign.id:
            others.append(document)
        elif row.approved:
            earlier[str(row.version)] = document
    added: dict[str, list[str]] = {}
    for kind, id_ in await definitions.read_ids(conn, program_id):
        added.setdefault(plurals[kind], []).append(id_)
    return Surroundings(
        programs=await _versions(programs, conn, program_id),
        campaigns=others,
        earlier=earlier,
        definitions=added,
        segments=await read_ids(conn, program_id),
    )


async def _versions(programs: ProgramCache, conn: AsyncConnection, program_id: str) -> Sequence[Program]:
    if await programs_store.count(conn) == programs.count:
        return programs.versions(program_id)
    return parsed(await programs_store.read_all(conn))[program_id]
