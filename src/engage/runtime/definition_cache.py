"""Definitions in memory: those of program documents, and those that operators added.

A definition counts what happens while it is in force. What began under a version goes on under it.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.domain.calendar import start_of_day
from engage.domain.definitions.definition import Definition
from engage.domain.definitions.kind import DefinitionKind
from engage.domain.program import sections, versions
from engage.domain.program.kinds import KINDS
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.runtime.database import one_statement
from engage.runtime.program_cache import ProgramCache
from engage.store import definitions as store

D = TypeVar("D", bound=Definition)

# No program version has such a name.
_NUMBERED = "#"
OPERATORS_VERSION = _NUMBERED + "{}"


class Versioned(Struct, Generic[D], frozen=True):
    """A definition in one version, which is in force from `since`. `version` is that of the program, or
    `#1`, `#2` of an operator's definition.
    """

    definition: D
    version: str
    since: datetime

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


def of_documents(published: Iterable[Program], kind: DefinitionKind[Any]) -> dict[str, str]:
    """The ids of the definitions of program documents, with the newest version that has each."""
    return {definition.id: program.version for program in published for definition in kind.of(program)}


class DefinitionCache:
    """All definitions in all versions. A version never changes, so a refresh reads them only when there are
    more.
    """

    def __init__(self, programs: ProgramCache) -> None:
        self._programs = programs
        self._added: dict[tuple[str, str], dict[str, list[Versioned[Any]]]] = {}  # By (program, kind) and id.
        self._count = 0
        self._reacting: tuple[tuple[int, int], frozenset[str]] | None = None

    async def refresh(self, db: AsyncEngine) -> None:
        """Raises Unavailable."""
        async with one_statement(db) as conn:
            if await store.count(conn) == self._count:
                return
            stored = await store.read_all(conn)
        kinds = {kind.name: kind for kind in KINDS}
        added: dict[tuple[str, str], dict[str, list[Versioned[Any]]]] = {}
        for row in stored:
            if row.kind in kinds:
                definition = msgspec.convert(row.document, kinds[row.kind].struct)
                version = Versioned(definition, OPERATORS_VERSION.format(row.version), row.created_at)
                added.setdefault((row.program_id, row.kind), {}).setdefault(row.id, []).append(version)
        self._added, self._count = added, len(stored)

    def in_force(
        self, kind: DefinitionKind[D], program_id: str, *, at: datetime, country: str
    ) -> list[Versioned[D]]:
        """The definitions in force for a country; none while the program offers nothing there."""
        try:
            program, market = self._programs.in_force(program_id, at=at, country=country)
        except Refusal:
            return []
        own = _of_program(kind, program, [market.zone])
        return [*own, *self._newest_added(kind, program_id, at)]

    def find(
        self, kind: DefinitionKind[D], program_id: str, id_: str, *, at: datetime, country: str
    ) -> Versioned[D]:
        """Raises Refusal not_found."""
        for found in self.in_force(kind, program_id, at=at, country=country):
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
        return list(found.values())

    def every(self, kind: DefinitionKind[D], program_id: str) -> list[Versioned[D]]:
        """All definitions in all versions, oldest first: for what goes on under an earlier version."""
        published = self._programs.versions(program_id)
        own = [each for program in published for each in _of_program(kind, program, _zones(program))]
        added = self._added.get((program_id, kind.name), {})
        return [*own, *(version for versions_ in added.values() for version in versions_)]

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
        raise AssertionError(f"version {version} of {kind.name} {id_} decided, and is not published")

    @property
    def state(self) -> tuple[int, int]:
        """A value that is another one whenever there are more definitions or program versions."""
        return self._programs.count, self._count

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
            if program_id in added or any(map(sections.react, self._programs.versions(program_id))):
                yield program_id

    def _newest_added(self, kind: DefinitionKind[D], program_id: str, at: datetime) -> Iterator[Versioned[D]]:
        for added in self._added.get((program_id, kind.name), {}).values():
            newest = _newest(added, at)
            if newest is not None:
                yield newest


def _newest(added: Sequence[Versioned[D]], at: datetime) -> Versioned[D] | None:
    """The newest version that is in force at an instant."""
    return next((version for version in reversed(added) if version.since <= at), None)


def _of_program(kind: DefinitionKind[D], program: Program, zones: Iterable[str]) -> list[Versioned[D]]:
    since = min(start_of_day(program.in_force_from, zone) for zone in zones)
    return [Versioned(definition, program.version, since) for definition in kind.of(program)]


def _zones(program: Program) -> list[str]:
    return sorted({market.zone for market in program.countries.values()})
