"""A member as whoever helps them needs to see them: who they are, what they have, and what is under way."""

from typing import Final

from msgspec import Struct

from engage.flows.members.profile import MemberProfile, read_profile
from engage.flows.reads.home import Home, read_home
from engage.ledger.holds import Hold, read_open_holds
from engage.runtime.database import snapshot
from engage.runtime.services import Services
from engage.store.members.corrections import Correction, read_requested

# Of holds and of corrections: nobody has more but by a mistake.
SHOWN: Final = 50


class MemberOverview(Struct, frozen=True, kw_only=True):
    """A member with the home screen that their app shows, their open holds, and the corrections that wait for
    a second operator. `home` is null for a member who was merged: everything is the survivor's.
    """

    profile: MemberProfile
    home: Home | None
    holds: list[Hold]
    corrections: list[Correction]


async def read_member_overview(
    services: Services, program_id: str, member_id: str, *, language: str
) -> MemberOverview:
    """Raises Refusal unknown_member, member_erased; Unavailable."""
    profile = await read_profile(services, member_id, [program_id])
    if profile.state == "merged":
        return MemberOverview(profile=profile, home=None, holds=[], corrections=[])
    home = await read_home(services, program_id, member_id, language=language)
    async with snapshot(services.db) as conn:
        holds = await read_open_holds(conn, (program_id, member_id), limit=SHOWN)
        corrections = await read_requested(conn, (program_id, member_id), limit=SHOWN)
    return MemberOverview(profile=profile, home=home, holds=holds, corrections=corrections)
