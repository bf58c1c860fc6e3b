"""The published programs in memory: which version decides for a country at an instant."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from engage.domain.market import Market
from engage.domain.program import parse, versions
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.runtime.database import transaction
from engage.store import programs as store

IN_FORCE_CAPACITY = 10_000


class ProgramCache:
    """All published versions. A version never changes, so a refresh reads them only when there are more."""

    def __init__(self) -> None:
        self._programs: dict[str, list[Program]] = {}
        self._in_force: dict[tuple[str, str, int], Program | None] = {}
        self._boosting: frozenset[str] = frozenset()
        self._count = 0

    async def refresh(self, db: AsyncEngine) -> None:
        """Raises Unavailable, and DocumentError if a published version cannot be read."""
        async with transaction(db) as conn:
            if await store.count(conn) == self._count:
                return
            published = await store.read_all(conn)
        self._programs, self._in_force, self._count = parsed(published), {}, len(published)
        self._boosting = frozenset(
            program_id
            for program_id, versions in self._programs.items()
            if any(group.multiplies for version in versions for group in version.tier_groups)
        )

    @property
    def count(self) -> int:
        """The number of versions that are known."""
        return self._count

    def boosts(self, program_id: str) -> bool:
        """True if a version of the program boosts what members earn."""
        return program_id in self._boosting

    def ids(self) -> list[str]:
        return sorted(self._programs)

    def versions(self, program_id: str) -> list[Program]:
        """Oldest first; empty when there is no such program."""
        return self._programs.get(program_id, [])

    def get(self, program_id: str) -> list[Program]:
        """The versions of a program that exists, oldest first. Raises Refusal unknown_program."""
        versions = self.versions(program_id)
        if not versions:
            raise Refusal(Code.UNKNOWN_PROGRAM, program=program_id)
        return versions

    async def version(self, db: AsyncEngine, program_id: str, name: str) -> Program:
        """The version that decided something, which another process may have known before this one does.

        Raises Unavailable.
        """
        for _ in range(2):
            for version in self.versions(program_id):
                if version.version == name:
                    return version
            await self.refresh(db)
        raise AssertionError(f"version {name} of {program_id} decided, and is not published")

    def in_force(self, program_id: str, *, at: datetime, country: str) -> tuple[Program, Market]:
        """The version that decides, and its market. Raises Refusal not_offered if no version is in force."""
        # Versions begin at local midnights, and each of these is at a quarter of an hour of UTC.
        quarter = (program_id, country, int(at.timestamp()) // 900)
        if quarter not in self._in_force:
            if len(self._in_force) >= IN_FORCE_CAPACITY:
                self._in_force.clear()
            self._in_force[quarter] = versions.in_force(self.versions(program_id), at, country)
        program = self._in_force[quarter]
        if program is None:
            raise Refusal(Code.NOT_OFFERED)
        return program, program.countries[country]

    def latest(self, program_id: str, *, at: datetime, country: str) -> Program:
        """The version in force, or else the newest: a program may have left the country.

        Raises Refusal unknown_program.
        """
        versions = self.get(program_id)
        try:
            return self.in_force(program_id, at=at, country=country)[0]
        except Refusal:
            return versions[-1]


def parsed(published: Sequence[store.PublishedVersion]) -> dict[str, list[Program]]:
    """The versions by program, in order. Raises DocumentError if one cannot be read."""
    programs: dict[str, list[Program]] = {}
    for version in published:
        source = f"{version.program_id} {version.version}"
        programs.setdefault(version.program_id, []).append(parse.read(version.document, source=source))
    return programs
