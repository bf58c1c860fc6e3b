"""The reaction of challenges to facts: steps that are reached are paid, and what is not reached any more is
taken back.

Everything is computed anew from what the ledger and the orders say, and compared with what was paid. First
without locks, for a batch of members by three statements: most changes reach no step. Then again under the
locks of the members who have a difference, which is posted. So repeats, crashes and two workers at once do no
harm: a step has one credit for each time that it was reached, under a key of its own.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import MemberKey
from engage.domain.refusals import AccountFull, Refusal
from engage.flows.challenges.audiences import for_members
from engage.flows.challenges.differences import Differences, differences
from engage.flows.challenges.member_progress import Participant, participants, read_progress
from engage.flows.challenges.posting import post_differences
from engage.runtime.batch import in_parts
from engage.runtime.database import transaction
from engage.runtime.posting import open_posting
from engage.runtime.reactions import Reaction
from engage.runtime.services import Services
from engage.store.challenges.paid import Gift, PaidCredit, lock_members, read_credits, read_gifts

log = structlog.get_logger()

# What is taken back after a period has ended lowers it for so long. After that the period stays as it is.
KEPT_OPEN: Final = timedelta(days=120)

MEMBERS_PER_BATCH: Final = 500


async def react(services: Services, members: Sequence[MemberKey], *, now: datetime) -> None:
    """Pay and take back what follows from the members' facts. Raises Unavailable."""
    reacting = services.definitions.reacting_programs()
    keys = [key for key in members if key[0] in reacting]
    for first in range(0, len(keys), MEMBERS_PER_BATCH):
        found = await services.members.find(services.db, keys[first : first + MEMBERS_PER_BATCH])
        taking_part = participants(services, found.values(), now=now, horizon=now - KEPT_OPEN)
        if not taking_part:
            continue
        async with transaction(services.db) as conn:
            changing = await _read_differences(services, conn, taking_part, now=now)
        if changing:
            differing = {each.participant.key for each in changing}
            rest = [each for each in taking_part if each.key in differing]
            for answer in await in_parts(rest, partial(_post, services)):
                if isinstance(answer, AccountFull):
                    log.warning("an account is too full for what a challenge pays")


async def _post(services: Services, found: Sequence[Participant]) -> list[Refusal | None]:
    """Post the differences of these members, in one transaction. Raises AccountFull, Unavailable."""
    async with open_posting(services, cause="challenge") as posting:
        still_open = await lock_members(posting.conn, [each.key for each in found])
        locked = [each for each in found if each.key in still_open]
        if locked:
            now = services.clock.now()
            changing = await _read_differences(services, posting.conn, locked, now=now)
            if changing:
                await post_differences(services, posting, changing)
    return [None] * len(found)


async def _read_differences(
    services: Services, conn: AsyncConnection, found: Sequence[Participant], *, now: datetime
) -> list[Differences]:
    """The differences between what should be and what is, of those members who have one."""
    progress = await read_progress(conn, found)
    queries = [each.query for each in found]
    credits: dict[MemberKey, list[PaidCredit]] = {}
    for credit in await read_credits(conn, queries):
        credits.setdefault(credit.key, []).append(credit)
    gifts: dict[MemberKey, list[Gift]] = {}
    for gift in await read_gifts(conn, queries):
        gifts.setdefault(gift.key, []).append(gift)
    compared = [
        differences(
            each,
            progress[each.key],
            credits.get(each.key, ()),
            gifts.get(each.key, ()),
            horizon=now - KEPT_OPEN,
        )
        for each in found
    ]
    changing = [each for each in compared if each.is_any]
    return [each for each in await for_members(services, conn, changing, now=now) if each.is_any]


CHALLENGES: Final = Reaction("challenges", react)
