"""A friend uses the code of an invitation.

The friend and the advocate are locked, so of any number of claims at once each sees the others: a friend is
referred once, and an advocate has no more friends than the limit.
"""

from datetime import datetime

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain import codes
from engage.domain.program.program import Program
from engage.domain.referrals.claim import ClaimFacts, check_claim, counts_since
from engage.domain.referrals.definition import LONGEST_CODE, SHORTEST_CODE, ReferralTerms
from engage.domain.referrals.referral import Facts, Referral, State, Trait, observe
from engage.domain.refusals import AccountClosed, Code, Refusal
from engage.flows.referrals.terms import terms_for, zone_in
from engage.runtime.database import transaction
from engage.runtime.idempotency import Keyed, claim, keep
from engage.runtime.ids import new_id
from engage.runtime.services import Services
from engage.store.members.members import Member, lock_profiles
from engage.store.referrals.codes import read_owner
from engage.store.referrals.referrals import add_referral, is_in_circle, read_known
from engage.store.referrals.traits import add_traits, shared_traits

LENGTHS = range(SHORTEST_CODE, LONGEST_CODE + 1)


class ClaimedReferral(Struct, frozen=True):
    """A code that was used. A `flagged` referral waits for an operator."""

    state: State


async def claim_referral(
    services: Services,
    program_id: str,
    member_id: str,
    typed: str,
    *,
    device_id: str | None = None,
    keyed: Keyed[ClaimedReferral] | None = None,
) -> ClaimedReferral:
    """Use a code as a member who has been invited by another one.

    Raises Refusal unknown_member, not_offered, request_in_flight, and those of `use_code`; Unavailable.
    """
    member = await services.members.get(services.db, program_id, member_id)
    now = services.clock.now()
    program, _, terms = terms_for(services, member, now=now)
    async with transaction(services.db) as conn:
        await claim(conn, keyed)
        referral = await use_code(services, conn, member, program, terms, typed, device_id=device_id, now=now)
        claimed = ClaimedReferral(referral.state)
        await keep(conn, keyed, claimed)
    return claimed


async def use_code(
    services: Services,
    conn: AsyncConnection,
    friend: Member,
    program: Program,
    terms: ReferralTerms,
    typed: str,
    *,
    device_id: str | None = None,
    now: datetime,
) -> Referral:
    """Store that a friend was invited, in the caller's transaction, which can go on after a refusal: of the
    referral nothing is written then. Locks both members, before any lock of the ledger.

    Raises Refusal unknown_code, already_referred, self_referral, circular_referral, too_late, limit_reached;
    AccountClosed.
    """
    advocate = await _lock_advocate(conn, friend, typed)
    if device_id is not None:
        peppers = services.settings.peppers
        await add_traits(conn, friend.key, [("device", device_id)], peppers=peppers, now=now)
    zone = zone_in(program, advocate.country)
    facts = await _read_facts(services, conn, friend, advocate.member_id, terms, now=now, zone=zone)
    flags = check_claim(terms, facts, version=program.version, at=now, zone=zone)
    referral = Referral(
        program_id=program.id,
        id=new_id(),
        member_id=friend.member_id,
        advocate_id=advocate.member_id,
        program_version=program.version,
        state="pending",
        claimed_at=now,
    )
    referral = observe(referral, terms, Facts(shared=flags), now)
    await add_referral(conn, referral)
    return referral


async def _lock_advocate(conn: AsyncConnection, friend: Member, typed: str) -> Member:
    """Raises Refusal unknown_code; AccountClosed where one of both was just merged or erased."""
    code = codes.read(typed, LENGTHS)
    owner = None if code is None else await read_owner(conn, friend.program_id, code)
    if owner is None:
        raise Refusal(Code.UNKNOWN_CODE)
    profiles = await lock_profiles(conn, friend.program_id, [owner, friend.member_id])
    if any(profile.merged_into or profile.erased_at for profile in profiles.values()):
        raise AccountClosed
    profile = profiles[owner]
    return Member(profile.program_id, profile.member_id, profile.country, profile.joined_at)


async def _read_facts(
    services: Services,
    conn: AsyncConnection,
    friend: Member,
    advocate_id: str,
    terms: ReferralTerms,
    *,
    now: datetime,
    zone: str,
) -> ClaimFacts:
    program_id, friend_id = friend.key
    since = counts_since(terms, at=now, zone=zone)
    known = await read_known(conn, program_id, friend=friend_id, advocate=advocate_id, since=since)
    is_one = advocate_id == friend_id
    shared: set[Trait] = set()
    if not is_one:
        peppers = services.settings.peppers
        shared = await shared_traits(conn, program_id, [friend_id, advocate_id], peppers=peppers)
    return ClaimFacts(
        is_referred=known.is_referred,
        is_one_member=is_one,
        in_circle=known.advocate_is_referred
        and await is_in_circle(conn, program_id, friend=friend_id, advocate=advocate_id),
        is_survivor=known.is_survivor,
        has_delivery=known.has_delivery,
        joined_at=friend.joined_at,
        used=known.used,
        shared=shared,
    )
