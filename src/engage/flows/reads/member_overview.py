"""A member as whoever helps them needs to see them: who they are, what they have, and what is under way."""

from typing import Final

from msgspec import Struct

from engage.flows.members.profile import MemberProfile, read_profile
from engage.flows.reads.home import Home, read_home
from engage.ledger.holds import Hold, read_open_holds
from engage.runtime.database import one_statement
from engage.runtime.services import Services

HOLDS_SHOWN: Final = 50


class MemberOverview(Struct, frozen=True, kw_only=True):
    """A member with the home screen that their app shows, and their open holds. `home` is null for a member
    who was merged: everything is the survivor's.
    """

    profile: MemberProfile
    home: Home | None
    holds: list[Hold]


async def read_member_overview(
    services: Services, program_id: str, member_id: str, *, language: str
) -> MemberOverview:
    """Raises Refusal unknown_member, member_erased; Unavailable."""
    profile = await read_profile(services, member_id, [program_id])
    if profile.state == "merged":
        return MemberOverview(profile=profile, home=None, holds=[])
    home = await read_home(services, program_id, member_id, language=language)
    async with one_statement(services.db) as conn:
        holds = await read_open_holds(conn, (program_id, member_id), limit=HOLDS_SHOWN)
    return MemberOverview(profile=profile, home=home, holds=holds)
