"""A member as operators see them: enough to help, and no more."""

from collections.abc import Collection
from datetime import datetime
from typing import Literal

from msgspec import Struct

from engage.domain.accounts.balance import Balance
from engage.domain.members.phone import masked
from engage.domain.refusals import Code, Refusal
from engage.ledger.balances import read_balances
from engage.runtime.database import snapshot
from engage.runtime.member_cache import is_member_id
from engage.runtime.services import Services
from engage.store.members.members import Profile, member_erased, read_cards, read_merged_into, read_profiles


class MemberProfile(Struct, frozen=True, kw_only=True):
    """A member as support sees them; only the end of a phone number is shown. `merged` lists the ids merged
    into this member. A merged member has nothing left: everything moved to `merged_into`.
    """

    program: str
    member_id: str
    state: Literal["active", "merged"]
    merged_into: str | None
    merged: list[str]
    country: str
    kind: str
    joined_at: datetime
    phone: str | None
    phone_changed_at: datetime | None
    card_numbers: list[str]
    balance: Balance


class SeveralPrograms(Exception):
    """Several programs have a member with this id."""


async def program_of(services: Services, member_id: str, programs: Collection[str]) -> str:
    """Find the program of a member among these. Raises Refusal unknown_member; SeveralPrograms."""
    return (await _find(services, member_id, programs)).program_id


async def read_profile(services: Services, member_id: str, programs: Collection[str]) -> MemberProfile:
    """Read a member of these programs. Raises Refusal unknown_member, member_erased; SeveralPrograms."""
    profile = await _find(services, member_id, programs)
    if profile.erased_at is not None:
        raise member_erased()
    async with snapshot(services.db) as conn:
        cards = await read_cards(conn, profile.key)
        merged = await read_merged_into(conn, profile.key)
        balance = (await read_balances(conn, [profile.key]))[profile.key]
    return MemberProfile(
        program=profile.program_id,
        member_id=member_id,
        state="active" if profile.merged_into is None else "merged",
        merged_into=profile.merged_into,
        merged=merged,
        country=profile.country,
        kind=profile.kind,
        joined_at=profile.joined_at,
        phone=None if profile.phone is None else masked(profile.phone),
        phone_changed_at=profile.phone_changed_at,
        card_numbers=[masked(card) if card == profile.phone else card for card in cards],
        balance=balance,
    )


async def _find(services: Services, member_id: str, programs: Collection[str]) -> Profile:
    if not is_member_id(member_id):
        raise Refusal(Code.UNKNOWN_MEMBER)
    async with snapshot(services.db) as conn:
        profiles = await read_profiles(conn, sorted(programs), member_id)
    if not profiles:
        raise Refusal(Code.UNKNOWN_MEMBER)
    if len(profiles) > 1:
        raise SeveralPrograms
    return profiles[0]
