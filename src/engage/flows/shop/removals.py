"""Take back the points of reviews and shares that were removed."""

from collections.abc import Sequence
from datetime import datetime

from engage.domain.keys import review_reference, share_reference
from engage.domain.refusals import Code, Refusal
from engage.flows.shop.events import (
    MemberEvent,
    ReviewReference,
    ReviewRemovedEvent,
    ShareReference,
    ShareRemovedEvent,
    Taken,
)
from engage.ledger.clawback import Removal, claw_back
from engage.runtime.batch import decide_each, not_refused
from engage.runtime.posting import open_posting
from engage.runtime.services import Services
from engage.store.shop.events import add_events


async def take_removals(services: Services, events: Sequence[MemberEvent], *, now: datetime) -> Taken:
    """Takes back what the activities earned, in one transaction. An event may be refused as not_offered.

    Raises Unavailable or IdsTaken, and nothing is done then.
    """
    removals = decide_each(events, lambda event: _removal(services, event))
    answers: list[MemberEvent | Refusal] = [
        removal if isinstance(removal, Refusal) else event
        for event, removal in zip(events, removals, strict=True)
    ]
    done = not_refused(answers)
    if not done:
        return Taken(answers, 0)
    async with open_posting(services, cause="clawback") as posting:
        await posting.post(await claw_back(posting.conn, not_refused(removals), now=now))
        return Taken(answers, await add_events(posting.conn, [event.row for event in done], now=now))


def _removal(services: Services, event: MemberEvent) -> Removal:
    """Raises Refusal not_offered if no version of the program ever paid for such an activity."""
    match event.event:
        case ReviewRemovedEvent(data=ReviewReference(review_id=review_id)):
            kind, reference = "review", review_reference(review_id)
        case ShareRemovedEvent(data=ShareReference(share_id=share_id)):
            kind, reference = "share", share_reference(share_id)
        case _:
            raise AssertionError(f"{event.event.id} is not a removal")
    versions = services.programs.versions(event.member.program_id)
    rules = {rule_id for version in versions for rule_id in version.earning.rules.about(kind)}
    if not rules:
        raise Refusal(Code.NOT_OFFERED)
    return Removal(*event.member.key, reference, tuple(sorted(rules)), versions[-1].version, event.event.time)
