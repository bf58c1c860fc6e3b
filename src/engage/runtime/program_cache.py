"""The published programs in memory: which version decides for a country at an instant.

A version is published some time before it begins. Whoever publishes it has to commit within a part of this
time, and a process that has not read the versions for the rest of it does not decide. So no process decides
by older rules, however long it was suspended.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from engage.clock import Clock
from engage.domain.campaigns.composition import version_in
from engage.domain.market import Market
from engage.domain.program import parse, versions
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal, Unavailable
from engage.runtime.database import transaction
from engage.store import programs as store

IN_FORCE_CAPACITY = 10_000

# A version begins more than PUBLISHED_AHEAD after the time at which it was found to begin in the future. The
# rest beyond the other two is for clocks.
PUBLISHED_AHEAD: Final = timedelta(minutes=1)
COMMITTED_WITHIN: Final = timedelta(seconds=20)
KNOWN_FOR: Final = timedelta(seconds=30)


class ProgramCache:
    """All published versions. A version never changes, so a refresh reads them only when there are more."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._read_at: int | None = None  # Microseconds of the monotonic clock.
        self._programs: dict[str, list[Program]] = {}
        self._in_force: dict[tuple[str, str, int], Program | None] = {}
        self._boosting: frozenset[str] = frozenset()
        self._protecting: frozenset[str] = frozenset()
        self._count = 0
        self._forgotten = 0

    def forget(self) -> None:
        """Read all versions anew, and decide nothing before: the database may have lost some."""
        self._forgotten += 1
        self._read_at = None
        self._in_force.clear()

    async def refresh(self, db: AsyncEngine) -> None:
        """Raises Unavailable, and DocumentError if a published version cannot be read."""
        began = self._clock.steady()
        async with transaction(db) as conn:
            # Not before: the connection may be the first one to another server.
            forgotten = self._forgotten
            unchanged = await store.count(conn) == self._count and self._read_at is not None
            published = [] if unchanged else await store.read_all(conn)
        if forgotten != self._forgotten:
            return
        if not unchanged:
            self._take(published)
        self._read_at = began

    @property
    def is_out_of_date(self) -> bool:
        """True if a version could be in force that this process does not know."""
        known_for_us = KNOWN_FOR // timedelta(microseconds=1)
        return self._read_at is None or self._clock.steady() - self._read_at > known_for_us

    def check(self) -> None:
        """Raises Unavailable where the versions are out of date."""
        if self.is_out_of_date:
            raise Unavailable("postgres")

    def _take(self, published: Sequence[store.PublishedVersion]) -> None:
        self._programs, self._in_force, self._count = parsed(published), {}, len(published)
        self._boosting = frozenset(
            program_id
            for program_id, versions in self._programs.items()
            if any(group.multiplies for version in versions for group in version.tier_groups)
        )
        self._protecting = frozenset(
            program_id
            for program_id, versions in self._programs.items()
            if any(version.protection is not None for version in versions)
        )

    @property
    def count(self) -> int:
        """The number of versions that are known."""
        return self._count

    @property
    def state(self) -> tuple[int, int]:
        """A value that is another one whenever other versions are known."""
        return self._count, self._forgotten

    def boosts(self, program_id: str) -> bool:
        """True if a version of the program boosts what members earn."""
        return program_id in self._boosting

    def protects(self, program_id: str) -> bool:
        """True if a version of the program has velocity rules."""
        return program_id in self._protecting

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
        """The version that decided something, with the rules of campaigns or without, which another process
        may have known before this one does.

        Raises Unavailable.
        """
        wanted = version_in(name)
        for _ in range(2):
            for version in self.versions(program_id):
                if version.version == wanted:
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
