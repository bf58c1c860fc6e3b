"""The review or share that an event is about, which may not have come yet."""

from msgspec import Struct

from engage.domain.keys import review_reference, share_reference
from engage.domain.refusals import Code, Refusal
from engage.flows.shop.events import MemberEvent, ReviewReference, ShareReference
from engage.runtime.services import Services


class NamedActivity(Struct, frozen=True):
    """An activity by its reference, and the rules of all versions that ever paid for such a one."""

    event: MemberEvent
    reference: str
    rules: tuple[str, ...]


def named_activity(services: Services, event: MemberEvent) -> NamedActivity:
    """Raises Refusal not_offered if no version of the program ever paid for such an activity."""
    match event.event.data:
        case ReviewReference(review_id=review_id):
            kind, reference = "review", review_reference(review_id)
        case ShareReference(share_id=share_id):
            kind, reference = "share", share_reference(share_id)
        case _:
            raise AssertionError(f"{event.event.id} is about no review and no share")
    versions = services.programs.versions(event.member.program_id)
    rules = {rule_id for version in versions for rule_id in version.earning.rules.about(kind)}
    if not rules:
        raise Refusal(Code.NOT_OFFERED)
    return NamedActivity(event, reference, tuple(sorted(rules)))
