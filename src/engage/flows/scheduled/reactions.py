"""All reactions to changed facts of members, and the work of running them.

A feature adds its line to `REACTIONS`.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from weakref import WeakKeyDictionary

import structlog

from engage.domain.keys import MemberKey
from engage.domain.refusals import Unavailable
from engage.flows.challenges.react import CHALLENGES
from engage.flows.leaderboards.count import LEADERBOARDS
from engage.flows.orders.first_orders import FIRST_ORDERS
from engage.flows.referrals.settle import REFERRALS
from engage.flows.tiers.react import TIERS
from engage.runtime.database import transaction
from engage.runtime.definition_cache import DefinitionCache
from engage.runtime.due_work import DueWork
from engage.runtime.reactions import Reaction
from engage.runtime.services import Services
from engage.store import member_changes

log = structlog.get_logger()

# In this order for the members of a batch: what lifts a tier or completes a challenge comes before what
# follows from it.
REACTIONS: Final[tuple[Reaction, ...]] = (FIRST_ORDERS, TIERS, REFERRALS, CHALLENGES, LEADERBOARDS)

ROWS_PER_BATCH: Final = 50  # A row has the members of one statement, some dozens under load.

# A job with a large backlog ends in time, and the sweep goes on.
TURN_S: Final = 10.0

# With a large backlog a worker rests for so many times what a batch took: members who wait for an answer come
# before what follows from earlier ones.
REST: Final = 1.5

# What follows from a reaction is done in the same call. But members who go on acting note more for ever.
ROUNDS: Final = 5

# A bug that one member causes does not hold up the others. The audit names what has failed several times.
AGAIN_AFTER: Final = timedelta(minutes=1)


async def react_once(services: Services, *, now: datetime) -> int:
    """Run all reactions for a batch of members whose facts have changed; how many rows. Raises Unavailable.

    The rows stay locked meanwhile, so nobody else takes them. After a crash they are found again.
    """
    async with transaction(services.db) as conn:
        changes = await member_changes.lock(conn, now=now, limit=ROWS_PER_BATCH)
        if not changes:
            return 0
        # Those who noted them may know definitions that this process has not read yet.
        await services.programs.refresh(services.db)
        await services.definitions.refresh(services.db)
        failed = []
        if not await _react(services, changes, now=now):
            failed = [change for change in changes if not await _react(services, [change], now=now)]
            await member_changes.postpone(conn, [c.id for c in failed], until=now + AGAIN_AFTER)
        await member_changes.delete(conn, [change.id for change in changes if change not in failed])
    return len(changes)


class _Turns:
    """One loop of reactions at a time in a process, and one that waits for it: each holds a connection while
    it needs others, and all that come meanwhile find nothing left that the waiting one would not do.
    """

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = False


_turns: Final[WeakKeyDictionary[DefinitionCache, _Turns]] = WeakKeyDictionary()


async def react_due(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Run reactions until nothing is left to do, for TURN_S and ROUNDS at most; how many rows.

    Without `on_time` it leaves what is noted to a call that waits for its turn, and rests between full
    batches. Raises Unavailable.
    """
    turns = _turns.setdefault(services.definitions, _Turns())
    if turns.waiting and not on_time:
        return 0
    turns.waiting = True
    try:
        await turns.lock.acquire()
    finally:
        turns.waiting = False
    try:
        return await _react_in_turn(services, now=now, on_time=on_time)
    finally:
        turns.lock.release()


async def _react_in_turn(services: Services, *, now: datetime, on_time: bool) -> int:
    loop = asyncio.get_running_loop()
    until, total, rounds = loop.time() + TURN_S, 0, 0
    began = loop.time()
    # Changes are noted by the clock, which runs on while `now` stays, or `now` is ahead of it.
    while done := await react_once(services, now=max(now, services.clock.now())):
        total += done
        ended = loop.time()
        if done < ROWS_PER_BATCH:
            rounds += 1
        elif not on_time:
            await asyncio.sleep((ended - began) * REST)
        if ended > until or rounds == ROUNDS:
            break
        began = loop.time()
    return total


async def _react(
    services: Services, changes: Sequence[member_changes.MemberChange], *, now: datetime
) -> bool:
    """Return whether all reactions were done. Raises Unavailable."""
    noted = sorted({key for change in changes for key in change.members})
    try:
        current = await _survivors(services, noted)
        for reaction in REACTIONS:
            await reaction.react(services, current, now=now)
    except Unavailable:
        raise
    except Exception:
        log.exception("a reaction failed", changes=len(changes))
        return False
    return True


async def _survivors(services: Services, noted: Sequence[MemberKey]) -> list[MemberKey]:
    """The members that these are by now, each once, in order of their keys."""
    found = await services.members.find(services.db, noted)
    return sorted({found[key].key if key in found else key for key in noted})


# None lies ahead of the clock but what has failed, so a clock that is advanced does not stop at them.
REACT: Final = DueWork(name="react", next_at=member_changes.next_at, do=react_due, any_order=True)
