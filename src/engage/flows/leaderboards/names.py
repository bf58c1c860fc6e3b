"""Members choose the names that they have on leaderboards."""

from msgspec import Struct

from engage.domain.leaderboards.display_names import read_name
from engage.runtime.database import one_statement, transaction
from engage.runtime.services import Services
from engage.store.leaderboards.names import delete_name, read_names, write_name
from engage.store.members.members import lock_open


class DisplayName(Struct, frozen=True):
    """The name that others see; null for a member who has not chosen one."""

    name: str | None


async def choose_name(services: Services, program_id: str, member_id: str, text: str) -> DisplayName | None:
    """Choose a name; the one form of it, or None for a text that cannot be one. Repeating it changes nothing.

    Raises Refusal unknown_member; Unavailable.
    """
    name = read_name(text)
    if name is None:
        return None
    member = await services.members.get(services.db, program_id, member_id)
    async with transaction(services.db) as conn:
        await lock_open(conn, [member.key])
        await write_name(conn, member.key, name)
    return DisplayName(name)


async def drop_name(services: Services, program_id: str, member_id: str) -> None:
    """Go without a name again. Raises Refusal unknown_member; Unavailable."""
    member = await services.members.get(services.db, program_id, member_id)
    async with transaction(services.db) as conn:
        await delete_name(conn, member.key)


async def read_own_name(services: Services, program_id: str, member_id: str) -> DisplayName:
    """Read the name of a member. Raises Refusal unknown_member; Unavailable."""
    member = await services.members.get(services.db, program_id, member_id)
    async with one_statement(services.db) as conn:
        names = await read_names(conn, member.program_id, [member.member_id])
    return DisplayName(names.get(member.member_id))
