"""Who is a member, kept in memory: what decisions need of a member does not change once it is read."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from engage.domain.refusal import Refusal
from engage.flows.transaction import transaction
from engage.store.members import Member, read_members

MEMBERS_KEPT = 200_000


class MemberBook:
    def __init__(self) -> None:
        self._members: dict[tuple[str, str], Member] = {}

    def add(self, member: Member) -> None:
        if len(self._members) >= MEMBERS_KEPT:
            self._members.clear()
        self._members[member.program_id, member.member_id] = member

    async def find(self, db: AsyncEngine, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Member]:
        """By (program, member), in one query for all that are not in memory. Raises Unavailable."""
        found = {key: self._members[key] for key in keys if key in self._members}
        missing = list({key for key in keys if key not in found})
        if missing:
            async with transaction(db) as conn:
                read = await read_members(conn, missing)
            for member in read.values():
                self.add(member)
            found |= read
        return found


def unknown_member() -> Refusal:
    return Refusal("unknown_member", status=404)
