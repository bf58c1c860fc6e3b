"""The shop's word about reviews and shares: those that wait for it become due."""

from collections.abc import Sequence
from datetime import datetime

from engage.domain.keys import ReferenceKey
from engage.domain.refusals import Refusal
from engage.flows.activities.confirmations import confirm
from engage.flows.shop.events import MemberEvent, Taken
from engage.flows.shop.named_activity import named_activities
from engage.runtime.batch import not_refused
from engage.runtime.posting import open_posting
from engage.runtime.services import Services
from engage.store.members.members import lock_open
from engage.store.shop.events import add_events


async def take_confirmations(services: Services, events: Sequence[MemberEvent], *, now: datetime) -> Taken:
    """Confirms activities, those that have not come yet too, in one transaction. An event may be refused as
    not_offered.

    Raises Unavailable, AccountClosed or IdsTaken, and nothing is done then.
    """
    activities = await named_activities(services, events, now=now)
    done = not_refused(activities)
    answers = [named if isinstance(named, Refusal) else named.event for named in activities]
    if not done:
        return Taken(answers, 0)
    times: dict[ReferenceKey, datetime] = {}
    for named in done:
        key, at = (*named.event.member.key, named.reference), named.event.event.time
        times[key] = min(at, times.get(key, at))
    async with open_posting(services, cause="confirmed") as posting:
        await lock_open(posting.conn, [named.event.member.key for named in done])
        await confirm(services, posting, times)
        return Taken(answers, await add_events(posting.conn, [named.event.row for named in done], now=now))
