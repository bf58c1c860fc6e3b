"""Members in memory. The part of a member that decisions need changes only by a merger or an erasure.

Every process looks for these every few seconds. In between, the ledger accepts nothing for a closed account:
the flow gets AccountClosed, refreshes the cache and tries again with the current member.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.domain.activity import MemberId
from engage.domain.keys import MemberKey
from engage.domain.refusals import AccountClosed, Code, Refusal
from engage.fifo_cache import FifoCache
from engage.runtime.database import one_statement
from engage.store.members.members import Member, read_closed_members, read_members

T = TypeVar("T")

MEMBERS_CACHED = 200_000

# `closed_at` is written before the commit: an account that was closed earlier may become visible later.
COMMITS_WITHIN = timedelta(minutes=1)


class MemberCache:
    def __init__(self) -> None:
        self._members: FifoCache[MemberKey, Member] = FifoCache(MEMBERS_CACHED)  # By the requested id.
        self._merged: dict[MemberKey, str] = {}
        self._since: datetime | None = None

    def add(self, member: Member) -> None:
        self._members.keep(member.key, member)

    def forget(self) -> None:
        """Forget everybody: the database may have lost members and mergers."""
        self._members.clear()
        self._merged.clear()
        self._since = None

    def current_id(self, program_id: str, member_id: str) -> str:
        """The id of the survivor if the member is known to be merged, or else the same id."""
        return self._merged.get((program_id, member_id), member_id)

    def known(self, keys: Iterable[MemberKey]) -> dict[MemberKey, Member]:
        """Those members who are in memory, by the requested keys."""
        return {key: self._members[key] for key in keys if key in self._members}

    async def find(self, db: AsyncEngine, keys: Sequence[MemberKey]) -> dict[MemberKey, Member]:
        """The members by the requested keys, with at most one query. A key that is no member's is absent.

        For a merged member it is the survivor, whose id differs from the key's. Raises Unavailable.
        """
        found = self.known(keys)
        missing = list({key for key in keys if key not in found and is_member_id(key[1])})
        if missing:
            async with one_statement(db) as conn:
                read = await read_members(conn, missing)
            for key, member in read.items():
                self._members.keep(key, member)
            found |= read
        return found

    async def get(self, db: AsyncEngine, program_id: str, member_id: str) -> Member:
        """Find one member, as `find` does. Raises Refusal unknown_member; Unavailable."""
        key = (program_id, member_id)
        member = (await self.find(db, [key])).get(key)
        if member is None:
            raise Refusal(Code.UNKNOWN_MEMBER)
        return member

    async def refresh(self, db: AsyncEngine) -> None:
        """Drops the members who were merged or erased since the last refresh. Raises Unavailable."""
        async with one_statement(db) as conn:
            closed = await read_closed_members(conn, self._since)
        for member in closed:
            key = (member.program_id, member.member_id)
            self._members.pop(key, None)
            if member.merged_into is None:
                self._merged.pop(key, None)
            else:
                self._merged[key] = member.merged_into
                # The survivor is a member since the earlier of the two joined.
                self._members.pop((member.program_id, member.merged_into), None)
        latest = max((member.closed_at for member in closed), default=None)
        if latest is not None:
            self._since = latest - COMMITS_WITHIN


async def with_current_members(members: MemberCache, db: AsyncEngine, run: Callable[[], Awaitable[T]]) -> T:
    """Run a flow, and once more with the current members where one of them was just merged or erased."""
    try:
        return await run()
    except AccountClosed:
        await members.refresh(db)
        return await run()


def is_member_id(member_id: str) -> bool:
    """True if a member can have this id. PostgreSQL cannot even read some strings, such as those with NUL."""
    try:
        msgspec.convert(member_id, MemberId)
    except msgspec.ValidationError:
        return False
    return True
