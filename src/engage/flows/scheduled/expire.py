"""Expire points whose time has come, never early, by any number of workers at once."""

import asyncio
from datetime import datetime

from engage.ledger.expire import LOTS_PER_BATCH, expire_lots, lock_expiring
from engage.runtime.posting import open_posting
from engage.runtime.services import Services
from engage.signals.doorbell import EXPIRE_JOB, tick_of

# A job ends when the next sweep begins one, so each sweep does a part of a large backlog, together with the
# workers that it asks: enough to be in time, and few enough not to slow down what members do.
TURN_S = 5.0
OTHERS = 1


async def expire_once(services: Services, *, now: datetime, on_time: bool = False) -> tuple[int, bool]:
    """Expires a batch of lots that end by `now`. Returns (how many, more to do?). Raises Unavailable."""
    async with open_posting(services, cause="expired") as posting:
        ahead = services.clock.ahead
        found, members = await lock_expiring(posting.conn, now=now, ahead=ahead, on_time=on_time)
        if not found:
            return 0, False
        ended = await expire_lots(
            posting.conn, members, posting.outbox_row(), now=now, ahead=ahead, on_time=on_time
        )
    return ended, found == LOTS_PER_BATCH


async def expire_due(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Expires all lots that end by `now` and are not locked by another worker; how many.

    `on_time`: each at its own time, not now. Raises Unavailable.
    """
    total, more = 0, True
    while more:
        ended, more = await expire_once(services, now=now, on_time=on_time)
        total += ended
    return total


async def expire_together(services: Services, *, others: int = OTHERS) -> int:
    """Expires lots whose time has come, for TURN_S at most; how many. Raises Unavailable.

    Asks `others` workers to join when there is more than a batch.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + TURN_S
    total, more = await expire_once(services, now=services.clock.now())
    if more and others:
        await services.doorbell.request_workers(EXPIRE_JOB, tick_of(services.clock.wall()), others)
    while more and loop.time() < until:
        ended, more = await expire_once(services, now=services.clock.now())
        total += ended
    return total
