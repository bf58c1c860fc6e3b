"""The terms of referrals that apply to a member, and those that decided earlier."""

from collections.abc import Iterable
from datetime import datetime

from engage.domain.market import Market
from engage.domain.program.program import Program
from engage.domain.referrals.definition import ReferralTerms
from engage.domain.referrals.referral import Referral, Trait
from engage.domain.refusals import Code, Refusal
from engage.runtime.services import Services
from engage.store.members.members import Member


def terms_for(services: Services, member: Member, *, now: datetime) -> tuple[Program, Market, ReferralTerms]:
    """The version in force for a member. Raises Refusal not_offered where it has no referrals, or not yet."""
    program, market = services.programs.in_force(member.program_id, at=now, country=member.country)
    if program.referral is None or not program.referral.is_open(now, market.zone):
        raise Refusal(Code.NOT_OFFERED)
    return program, market, program.referral


def traits_to_keep(
    services: Services, program_id: str, traits: Iterable[tuple[Trait, str]]
) -> list[tuple[Trait, str]]:
    """Devices, which budgets of campaigns limit; and in programs with referrals all that members may have in
    common.
    """
    if any(version.referral is not None for version in services.programs.versions(program_id)):
        return list(traits)
    return [trait for trait in traits if trait[0] == "device"]


async def terms_of(services: Services, referral: Referral) -> tuple[Program, ReferralTerms]:
    """The version that decides about a referral for ever. Raises Unavailable."""
    program = await services.programs.version(services.db, referral.program_id, referral.program_version)
    assert program.referral is not None, f"version {program.version} of {program.id} has referrals"
    return program, program.referral


def zone_in(program: Program, country: str) -> str:
    """The zone of a member's country; after a merger it may be one that the version does not know."""
    market = program.countries.get(country)
    return next(iter(program.countries.values())).zone if market is None else market.zone
