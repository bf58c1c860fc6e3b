"""Who is a member, kept in memory: what decisions need of a member does not change once it is read, until
the member is merged or erased.

That is looked for every few seconds, in every process. In between, the ledger takes nothing for an account
that is closed: whoever is behind is told so (`AccountClosed`), looks, and finds where the member is now.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.domain.activity import MemberId
from engage.domain.keys import MemberKey
from engage.domain.refusals import Code, Refusal, Unavailable
from engage.runtime.database import one_statement, transaction
from engage.store.members.members import Member, read_closed_members, read_members

MEMBERS_KEPT = 200_000
REFRESH_S = 2.0

# Whoever closes an account writes the time, and commits later.
COMMITS_WITHIN = timedelta(minutes=1)


class MemberCache:
    def __init__(self) -> None:
        self._members: dict[MemberKey, Member] = {}  # By the id that was asked for.
        self._merged: dict[MemberKey, str] = {}
        self._since: datetime | None = None

    def add(self, member: Member) -> None:
        self._keep((member.program_id, member.member_id), member)

    def current_id(self, program_id: str, member_id: str) -> str:
        """The id of the member that this one was merged into, or their own."""
        return self._merged.get((program_id, member_id), member_id)

    async def find(self, db: AsyncEngine, keys: Sequence[MemberKey]) -> dict[MemberKey, Member]:
        """By (program, member), in one query for all that are not in memory; of one who was merged, the
        member they were merged into, so mind whose id it is. Raises Unavailable.
        """
        found = {key: self._members[key] for key in keys if key in self._members}
        missing = list({key for key in keys if key not in found and is_member_id(key[1])})
        if missing:
            async with transaction(db) as conn:
                read = await read_members(conn, missing)
            for key, member in read.items():
                self._keep(key, member)
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
        """Forgets those who were merged or erased since it last looked. Raises Unavailable."""
        async with one_statement(db) as conn:
            closed = await read_closed_members(conn, self._since)
        for one in closed:
            key = (one.program_id, one.member_id)
            self._members.pop(key, None)
            if one.merged_into is None:
                self._merged.pop(key, None)
            else:
                self._merged[key] = one.merged_into
        latest = max((one.closed_at for one in closed), default=None)
        if latest is not None:
            self._since = latest - COMMITS_WITHIN

    def _keep(self, key: MemberKey, member: Member) -> None:
        if len(self._members) >= MEMBERS_KEPT:
            self._members.clear()
        self._members[key] = member


async def keep_members_fresh(book: MemberCache, db: AsyncEngine) -> None:
    """Looks for members who are gone for as long as it runs; a database that is away is tried again."""
    while True:
        await asyncio.sleep(REFRESH_S)
        try:
            await book.refresh(db)
        except Unavailable:
            continue


def is_member_id(member_id: str) -> bool:
    """Whether a member may have this id; of what the database cannot even read it is not asked."""
    try:
        msgspec.convert(member_id, MemberId)
    except msgspec.ValidationError:
        return False
    return True
