"""The shop's word about reviews and shares: those that wait for it become due."""

from collections.abc import Sequence
from datetime import datetime

from engage.domain.keys import ReferenceKey, review_reference, share_reference
from engage.domain.refusals import Code, Refusal
from engage.flows.activities.confirmations import confirm
from engage.flows.shop.events import (
    MemberEvent,
    ReviewPublishedEvent,
    ReviewReference,
    ShareConfirmedEvent,
    ShareReference,
    Taken,
)
from engage.runtime.batch import decide_each, not_refused
from engage.runtime.posting import open_posting
from engage.runtime.services import Services
from engage.store.shop.events import add_events


async def take_confirmations(services: Services, events: Sequence[MemberEvent], *, now: datetime) -> Taken:
    """Confirms activities, those that have not come yet too, in one transaction. An event may be refused as
    not_offered.

    Raises Unavailable or IdsTaken, and nothing is done then.
    """
    answers = decide_each(events, lambda event: _offered(services, event))
    done = not_refused(answers)
    if not done:
        return Taken(answers, 0)
    times: dict[ReferenceKey, datetime] = {}
    for event in done:
        key = (*event.member.key, _reference(event)[1])
        times[key] = min(event.event.time, times.get(key, event.event.time))
    async with open_posting(services, cause="confirmed") as posting:
        await confirm(services, posting, times)
        return Taken(answers, await add_events(posting.conn, [event.row for event in done], now=now))


def _offered(services: Services, event: MemberEvent) -> MemberEvent:
    """Raises Refusal not_offered if no version of the program ever paid for such an activity."""
    kind, _ = _reference(event)
    versions = services.programs.versions(event.member.program_id)
    if not any(version.earning.rules.about(kind) for version in versions):
        raise Refusal(Code.NOT_OFFERED)
    return event


def _reference(event: MemberEvent) -> tuple[str, str]:
    """(activity, its reference)"""
    match event.event:
        case ReviewPublishedEvent(data=ReviewReference(review_id=review_id)):
            return "review", review_reference(review_id)
        case ShareConfirmedEvent(data=ShareReference(share_id=share_id)):
            return "share", share_reference(share_id)
        case _:
            raise AssertionError(f"{event.event.id} is not a confirmation")
