"""Programs and their versions, as operators see them, and the one that is in force for a member."""

from contextlib import suppress
from datetime import date

from msgspec import Struct

from engage.domain.market import Market
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.runtime.database import one_statement
from engage.runtime.services import Services
from engage.store import programs as store


class ProgramView(Struct, frozen=True, kw_only=True):
    """A program. `newest` is the version with the latest start, also if that is in the future."""

    id: str
    title: str
    newest: str
    versions: int
    countries: list[str]


class VersionView(Struct, frozen=True, kw_only=True):
    """A version, in force from the start of `in_force_from` in each member's zone, until the next one is."""

    program: str
    version: str
    title: str
    in_force_from: date
    source: str | None
    countries: list[str]
    rules: list[str]
    rewards: list[str]


class VersionDocument(Struct, frozen=True):
    """The TOML document as published, comments included."""

    program: str
    version: str
    document: str


def list_programs(services: Services) -> list[ProgramView]:
    found = []
    for program_id in services.programs.ids():
        versions = services.programs.versions(program_id)
        newest = versions[-1]
        found.append(
            ProgramView(
                id=program_id,
                title=newest.title,
                newest=newest.version,
                versions=len(versions),
                countries=sorted({country for version in versions for country in version.countries}),
            )
        )
    return found


def list_versions(services: Services, program_id: str) -> list[VersionView]:
    """List versions, oldest first. Raises Refusal unknown_program."""
    return [view_of(version) for version in services.programs.get(program_id)]


async def read_document(services: Services, program_id: str, version: str) -> VersionDocument:
    """Read a document. Raises Refusal unknown_program, not_found; Unavailable."""
    services.programs.get(program_id)
    async with one_statement(services.db) as conn:
        published = await store.read_all(conn)
    for stored in published:
        if (stored.program_id, stored.version) == (program_id, version):
            return VersionDocument(program_id, version, stored.document)
    raise Refusal(Code.NOT_FOUND)


def versions_in_force(services: Services, program_id: str) -> dict[str, str]:
    """The version that is in force now, by country. A country without one is left out.

    Raises Refusal unknown_program.
    """
    now = services.clock.now()
    versions = services.programs.get(program_id)
    found = {}
    for country in sorted({country for version in versions for country in version.countries}):
        with suppress(Refusal):
            found[country] = services.programs.in_force(program_id, at=now, country=country)[0].version
    return found


async def read_in_force(services: Services, program_id: str, member_id: str) -> tuple[Program, Market]:
    """Read the version in force for a member, and its market. Raises Refusal unknown_member, not_offered."""
    member = await services.members.get(services.db, program_id, member_id)
    now = services.clock.now()
    return services.programs.in_force(program_id, at=now, country=member.country)


def view_of(version: Program) -> VersionView:
    return VersionView(
        program=version.id,
        version=version.version,
        title=version.title,
        in_force_from=version.in_force_from,
        source=version.source,
        countries=sorted(version.countries),
        rules=[rule.id for rule in version.rules],
        rewards=[reward.id for reward in version.rewards],
    )
