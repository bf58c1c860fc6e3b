"""Definitions in memory: those of program documents, those that operators added, and those of campaigns.

A definition counts what happens while it is in force. What began under a version goes on under it.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.domain.calendar import start_of_day
from engage.domain.campaigns.definitions import begins_for_all, definitions_of
from engage.domain.campaigns.index import PublishedCampaign
from engage.domain.definitions.definition import Definition
from engage.domain.definitions.kind import DefinitionKind
from engage.domain.program import sections, versions
from engage.domain.program.kinds import KINDS
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.runtime.campaign_cache import CampaignCache
from engage.runtime.database import one_statement
from engage.runtime.program_cache import ProgramCache
from engage.store import definitions as store
from engage.store.members.members import Member

D = TypeVar("D", bound=Definition)

# No program version has such a name.
_NUMBERED = "#"
OPERATORS_VERSION = _NUMBERED + "{}"

State = tuple[tuple[int, int], int, int]


class Versioned(Struct, Generic[D], frozen=True):
    """A definition in one version, which is in force from `since`. `version` is that of the program, `#1`,
    `#2` of an operator's definition, or `spring#1` of the first version of a campaign.
    """

    definition: D
    version: str
    since: datetime
    campaign: PublishedCampaign | None = None

    @property
    def id(self) -> str:
        return self.definition.id


def number_of(version: Versioned[Any]) -> int | None:
    """The number of a version of an operator's definition; None for that of a program document."""
    return version_number(version.version)


def version_number(version: str) -> int | None:
    """The same of the name of a version."""
    number = version.removeprefix(_NUMBERED)
    return int(number) if number != version else None


def is_of_campaign(version: str) -> bool:
    """True for a version of a campaign's definition: only members for whom it is can begin anything."""
    return _NUMBERED in version.removeprefix(_NUMBERED)


def of_documents(published: Iterable[Program], kind: DefinitionKind[Any]) -> dict[str, str]:
    """The ids of the definitions of program documents, with the newest version that has each."""
    return {definition.id: program.version for program in published for definition in kind.of(program)}


class DefinitionCache:
    """All definitions in all versions. A version never changes, so a refresh reads them only when there are
    more.
    """

    def __init__(self, programs: ProgramCache, campaigns: CampaignCache) -> None:
        self._programs = programs
        self._campaigns = campaigns
        self._added: dict[tuple[str, str], dict[str, list[Versioned[Any]]]] = {}  # By (program, kind) and id.
        self._count = 0
        self._is_forgotten = False
        self._reacting: tuple[State, frozenset[str]] | None = None

    def forget(self) -> None:
        """Read all definitions anew: the database may have lost some."""
        self._is_forgotten = True

    async def refresh(self, db: AsyncEngine) -> None:
        """Raises Unavailable."""
        async with one_statement(db) as conn:
            if await store.count(conn) == self._count and not self._is_forgotten:
                return
            stored = await store.read_all(conn)
        self._is_forgotten = False
        kinds = {kind.name: kind for kind in KINDS}
        added: dict[tuple[str, str], dict[str, list[Versioned[Any]]]] = {}
        for row in stored:
            if row.kind in kinds:
                definition = msgspec.convert(row.document, kinds[row.kind].struct)
                version = Versioned(definition, OPERATORS_VERSION.format(row.version), row.created_at)
                added.setdefault((row.program_id, row.kind), {}).setdefault(row.id, []).append(version)
        self._added, self._count = added, len(stored)

    def in_force(
        self,
        kind: DefinitionKind[D],
        program_id: str,
        *,
        at: datetime,
        country: str,
        campaigns: Collection[str] = (),
    ) -> list[Versioned[D]]:
        """The definitions in force for a country; none while the program offers nothing there. Those of
        `campaigns` too, which are for a member (`engage.runtime.offered`).
        """
        try:
            program, market = self._programs.in_force(program_id, at=at, country=country)
        except Refusal:
            return []
        own = _of_program(kind, program, [market.zone])
        added = [*own, *self._newest_added(kind, program_id, at)]
        if not campaigns:
            return added
        index = self._campaigns.of(program_id)
        bringing = index.bringing(kind, at, country=country, zone=market.zone)
        return [
            *added,
            *(one for each in bringing if each.id in campaigns for one in _of_campaign(kind, each)),
        ]

    def find(
        self, kind: DefinitionKind[D], id_: str, *, at: datetime, member: Member, campaigns: Collection[str]
    ) -> Versioned[D]:
        """The definition in force for a member, for whom these campaigns are. Raises Refusal not_found."""
        offered = self.in_force(kind, member.program_id, at=at, country=member.country, campaigns=campaigns)
        for found in offered:
            if found.id == id_:
                return found
        raise Refusal(Code.NOT_FOUND)

    def of_program(self, kind: DefinitionKind[D], program_id: str, *, at: datetime) -> list[Versioned[D]]:
        """The definitions in force in any country, each id once: that of the newest program version."""
        found: dict[str, Versioned[D]] = {}
        published = self._programs.versions(program_id)
        countries = {country for program in published for country in program.countries}
        in_force = {
            program.version: program
            for country in sorted(countries)
            if (program := versions.in_force(published, at, country)) is not None
        }
        for program in reversed(published):
            if program.version in in_force:
                for each in _of_program(kind, program, _zones(program)):
                    found.setdefault(each.id, each)
        for each in self._newest_added(kind, program_id, at):
            found[each.id] = each
        zones = {market.zone for program in published for market in program.countries.values()}
        for published_campaign in self._campaigns.of(program_id).published:
            if any(published_campaign.is_in_force(at, zone) for zone in zones):
                found |= {each.id: each for each in _of_campaign(kind, published_campaign)}
        return list(found.values())

    def every(self, kind: DefinitionKind[D], program_id: str) -> list[Versioned[D]]:
        """All definitions in all versions, oldest first: for what goes on under an earlier version."""
        published = self._programs.versions(program_id)
        own = [each for program in published for each in _of_program(kind, program, _zones(program))]
        added = self._added.get((program_id, kind.name), {})
        campaigns = self._campaigns.of(program_id).published
        return [
            *own,
            *(version for versions_ in added.values() for version in versions_),
            *(version for each in campaigns for version in _of_campaign(kind, each)),
        ]

    async def version(
        self, db: AsyncEngine, kind: DefinitionKind[D], program_id: str, id_: str, version: str
    ) -> D:
        """The version that decided something, which another process may have known before this one does.

        Raises Unavailable.
        """
        for _ in range(2):
            for each in self.every(kind, program_id):
                if (each.id, each.version) == (id_, version):
                    return each.definition
            await self._programs.refresh(db)
            await self.refresh(db)
            await self._campaigns.refresh(db)
        raise AssertionError(f"version {version} of {kind.name} {id_} decided, and is not published")

    @property
    def state(self) -> State:
        """A value that is another one whenever there are more definitions, program versions, or actions on
        campaigns.
        """
        return self._programs.state, self._count, self._campaigns.count

    def reacting_programs(self) -> frozenset[str]:
        """The programs in which something follows from what the ledger and the orders say."""
        known = self.state
        if self._reacting is None or self._reacting[0] != known:
            self._reacting = known, frozenset(self._read_reacting())
        return self._reacting[1]

    def _read_reacting(self) -> Iterator[str]:
        kinds = {kind.name for kind in KINDS if kind.reacts}
        added = {program_id for program_id, kind in self._added if kind in kinds}
        for program_id in self._programs.ids():
            campaigns = self._campaigns.of(program_id).published
            if (
                program_id in added
                or any(map(sections.react, self._programs.versions(program_id)))
                or any(kind.of(each.campaign) for each in campaigns for kind in KINDS if kind.reacts)
            ):
                yield program_id

    def _newest_added(self, kind: DefinitionKind[D], program_id: str, at: datetime) -> Iterator[Versioned[D]]:
        for added in self._added.get((program_id, kind.name), {}).values():
            newest = _newest(added, at)
            if newest is not None:
                yield newest


def _of_campaign(kind: DefinitionKind[D], published: PublishedCampaign) -> Iterator[Versioned[D]]:
    since = begins_for_all(published)
    for definition in definitions_of(published, kind):
        yield Versioned(definition, published.name, since, published)


def _newest(added: Sequence[Versioned[D]], at: datetime) -> Versioned[D] | None:
    """The newest version that is in force at an instant."""
    return next((version for version in reversed(added) if version.since <= at), None)


def _of_program(kind: DefinitionKind[D], program: Program, zones: Iterable[str]) -> list[Versioned[D]]:
    since = min(start_of_day(program.in_force_from, zone) for zone in zones)
    return [Versioned(definition, program.version, since) for definition in kind.of(program)]


def _zones(program: Program) -> list[str]:
    return sorted({market.zone for market in program.countries.values()})
