"""Keys that rows are found by. A program's id stands first in each, so sorted keys are in lock order."""

from uuid import UUID

MemberKey = tuple[str, str]  # (program, member)
OrderKey = tuple[str, str, str]  # (program, member, order)
HoldKey = tuple[str, str, UUID]  # (program, member, hold)
ReferenceKey = tuple[str, str, str]  # (program, member, reference of an activity)
RewardKey = tuple[str, str]  # (program, reward)

# References of entries that are not about an activity of the member.
ERASURE = "erasure"
MERGE = "merge:"


def merge_reference(member_id: str) -> str:
    """The reference of entries by which points go to, or come from, another member's account."""
    return MERGE + member_id
