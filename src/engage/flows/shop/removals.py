"""What was earned by a review or a share that is gone is taken back."""

from datetime import datetime

from engage.domain.keys import review_reference, share_reference
from engage.domain.refusals import Code
from engage.flows.shop.events import (
    MemberEvent,
    RefusedEvent,
    ReviewRemoved,
    ReviewRemovedEvent,
    ShareRemoved,
    ShareRemovedEvent,
)
from engage.ledger.clawback import Removal, claw_back
from engage.runtime.posting import open_posting
from engage.runtime.services import Services


async def take_removals(
    services: Services, known: list[MemberEvent], refused: list[RefusedEvent], *, now: datetime
) -> list[MemberEvent]:
    """Those that are done; the others are added to `refused`. Raises Unavailable."""
    removals, done = [], []
    for one in known:
        removal = _removal(services, one)
        if removal is None:
            refused.append(RefusedEvent(one.event.id, Code.NOT_OFFERED, {}))
        else:
            removals.append(removal)
            done.append(one)
    if removals:
        async with open_posting(services, cause="clawback") as posting:
            await posting.post(await claw_back(posting.conn, removals, now=now))
    return done


def _removal(services: Services, one: MemberEvent) -> Removal | None:
    """What to take back; None when no version of the program ever paid for such an activity."""
    match one.event:
        case ReviewRemovedEvent(data=ReviewRemoved(review_id=review_id)):
            kind, reference = "review", review_reference(review_id)
        case ShareRemovedEvent(data=ShareRemoved(share_id=share_id)):
            kind, reference = "share", share_reference(share_id)
        case _:
            return None
    versions = services.programs.versions(one.member.program_id)
    rules = {rule_id for version in versions for rule_id in version.earning.rules.about(kind)}
    if not rules:
        return None
    return Removal(
        one.member.program_id,
        one.member.member_id,
        reference,
        tuple(sorted(rules)),
        versions[-1].version,
        one.event.time,
    )
