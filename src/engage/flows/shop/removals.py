"""Take back the points of reviews and shares that were removed."""

from collections.abc import Sequence
from datetime import datetime

from engage.domain.refusals import Refusal
from engage.flows.shop.events import MemberEvent, Taken
from engage.flows.shop.named_activity import NamedActivity, named_activities
from engage.ledger.clawback import Removal, claw_back
from engage.runtime.batch import not_refused
from engage.runtime.posting import open_posting
from engage.runtime.services import Services
from engage.store.members.members import lock_open
from engage.store.shop.events import add_events


async def take_removals(services: Services, events: Sequence[MemberEvent], *, now: datetime) -> Taken:
    """Takes back what the activities earned, in one transaction. An event may be refused as not_offered.

    Raises Unavailable, AccountClosed or IdsTaken, and nothing is done then.
    """
    activities = await named_activities(services, events, now=now)
    done = not_refused(activities)
    answers = [named if isinstance(named, Refusal) else named.event for named in activities]
    if not done:
        return Taken(answers, 0)
    async with open_posting(services, cause="clawback") as posting:
        await lock_open(posting.conn, [named.event.member.key for named in done])
        posting.note_changes(named.event.member.key for named in done)
        removals = [_removal(services, named) for named in done]
        await posting.post(await claw_back(posting.conn, removals, now=now))
        return Taken(answers, await add_events(posting.conn, [named.event.row for named in done], now=now))


def _removal(services: Services, named: NamedActivity) -> Removal:
    newest = services.programs.versions(named.event.member.program_id)[-1]
    return Removal(
        *named.event.member.key, named.reference, named.rules, newest.version, named.event.event.time
    )
