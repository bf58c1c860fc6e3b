"""Find members by what operators know of them: an id, a card number or a phone number."""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Final, Literal

from msgspec import Struct

from engage.domain.members.phone import InvalidPhoneNumber, masked, normalized
from engage.flows.members.cards import members_of_cards
from engage.runtime.database import snapshot
from engage.runtime.member_cache import is_member_id
from engage.runtime.services import Services
from engage.store.members.members import Profile, read_profiles_of

# One number can be that of a family. Whoever searches for it wants to see them all.
FOUND_AT_MOST: Final = 50


class FoundMember(Struct, frozen=True, kw_only=True):
    """A member who was found. Of a phone number only the end is shown."""

    program: str
    member_id: str
    state: Literal["active", "merged", "erased"]
    country: str
    joined_at: datetime
    phone: str | None


async def search_members(services: Services, wanted: str, programs: Collection[str]) -> list[FoundMember]:
    """Find the members of these programs with this id, this card or this phone number, in any notation.

    Raises Unavailable.
    """
    keys = {(program, wanted) for program in programs} if is_member_id(wanted) else set()
    cards = await members_of_cards(services, [(program, wanted) for program in programs])
    keys |= {(program, member_id) for (program, _), member_id in cards.items()}
    phones = {(program, phone) for program in programs for phone in _phones(services, program, wanted)}
    async with snapshot(services.db) as conn:
        found = await read_profiles_of(conn, keys, phones, limit=FOUND_AT_MOST)
    return [_view(profile) for profile in found]


def _phones(services: Services, program_id: str, wanted: str) -> Iterator[str]:
    """Every number that the text may mean: the countries of a program have prefixes of their own."""
    versions = services.programs.versions(program_id)
    for country in sorted({country for version in versions for country in version.countries}):
        try:
            yield normalized(wanted, country)
        except InvalidPhoneNumber:
            continue


def _view(profile: Profile) -> FoundMember:
    state: Literal["active", "merged", "erased"] = "active"
    if profile.erased_at is not None:
        state = "erased"
    elif profile.merged_into is not None:
        state = "merged"
    return FoundMember(
        program=profile.program_id,
        member_id=profile.member_id,
        state=state,
        country=profile.country,
        joined_at=profile.joined_at,
        phone=None if profile.phone is None else masked(profile.phone),
    )
