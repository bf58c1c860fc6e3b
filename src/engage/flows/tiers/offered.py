"""The groups of tiers that concern a member."""

from datetime import datetime

from engage.domain.refusals import Refusal
from engage.domain.tiers.definition import TierGroup
from engage.runtime.services import Services
from engage.store.members.members import Member


def offered_groups(services: Services, member: Member, *, at: datetime) -> tuple[list[TierGroup], str] | None:
    """(groups, the zone of their years) of the version in force for a member; None while none is."""
    try:
        program, market = services.programs.in_force(member.program_id, at=at, country=member.country)
    except Refusal:
        return None
    return program.tier_groups, market.zone
