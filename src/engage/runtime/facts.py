"""The facts of members that are in memory."""

from engage.domain.campaigns.audience import Facts
from engage.store.members.members import Member


def facts_of(member: Member, zone: str) -> Facts:
    """The facts of a member that are in memory."""
    return Facts(
        program=member.program_id,
        member_id=member.member_id,
        country=member.country,
        zone=zone,
        joined_at=member.joined_at,
    )
