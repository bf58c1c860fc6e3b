"""The review or share that an event is about, which may not have come yet."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from engage.domain.campaigns.index import CampaignIndex
from engage.domain.keys import review_reference, share_reference
from engage.domain.refusals import Code, Refusal
from engage.flows.shop.events import MemberEvent, ReviewReference, ShareReference
from engage.runtime.batch import decide_each
from engage.runtime.services import Services


class NamedActivity(Struct, frozen=True):
    """An activity by its reference, and the rules of versions and campaigns that ever paid for such a one."""

    event: MemberEvent
    reference: str
    rules: tuple[str, ...]


async def named_activities(
    services: Services, events: Sequence[MemberEvent], *, now: datetime
) -> list[NamedActivity | Refusal]:
    """The activity of each event, or its Refusal not_offered. Raises Unavailable."""
    indexes = await services.campaigns.at(services.db, now)
    return decide_each(events, lambda event: _named(services, event, indexes.get(event.member.program_id)))


def _named(services: Services, event: MemberEvent, campaigns: CampaignIndex | None) -> NamedActivity:
    """Raises Refusal not_offered if nothing in the program ever paid for such an activity."""
    match event.event.data:
        case ReviewReference(review_id=review_id):
            kind, reference = "review", review_reference(review_id)
        case ShareReference(share_id=share_id):
            kind, reference = "share", share_reference(share_id)
        case _:
            raise AssertionError(f"{event.event.id} is about no review and no share")
    versions = services.programs.versions(event.member.program_id)
    rules = {rule_id for version in versions for rule_id in version.earning.rules.about(kind)}
    if campaigns is not None:
        rules |= campaigns.rules_about(kind)
    if not rules:
        raise Refusal(Code.NOT_OFFERED)
    return NamedActivity(event, reference, tuple(sorted(rules)))
