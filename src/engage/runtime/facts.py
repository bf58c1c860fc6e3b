"""The facts of members: those that are in memory, and with them those that were read."""

from msgspec.structs import replace

from engage.domain.campaigns.audience import Facts, FactsRead
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


def with_read(facts: Facts, read: FactsRead) -> Facts:
    """Facts with those that were read."""
    return replace(facts, levels=read.levels, segments=read.segments, last_order_at=read.last_order_at)
