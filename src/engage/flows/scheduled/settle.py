"""What has fallen due becomes active, never early, by any number of workers at once."""

import asyncio
from datetime import datetime

from engage.ledger.settle import CREDITS_PER_BATCH, settle_batch
from engage.runtime.posting import open_posting
from engage.runtime.services import Services
from engage.signals.doorbell import SETTLE_JOB

# A job that settles a great backlog ends in time and rings for another to go on.
TURN_S = 10.0


async def settle_once(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Activates one batch of what is due at `now`; how many. Raises Unavailable."""
    async with open_posting(services, cause="active", autocommit=True) as posting:
        return await settle_batch(posting.conn, posting.outbox_row(), now=now, on_time=on_time)


async def settle_due(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Activates all that is due at `now` and that no other worker holds, in order of due time; how many.

    `on_time`: from its own due time each, not from now. Raises Unavailable.
    """
    total = 0
    while True:
        settled = await settle_once(services, now=now, on_time=on_time)
        total += settled
        if settled < CREDITS_PER_BATCH:
            return total


async def settle_together(services: Services, *, tick: int, settlers: int) -> int:
    """Activates what is due by now; when that is more than a batch, `settlers` workers are asked to join in.

    Ends after a turn at most, and asks for another when there is more. How many. Raises Unavailable.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + TURN_S
    total = 0
    while True:
        settled = await settle_once(services, now=services.clock.now())
        if settled == CREDITS_PER_BATCH and total == 0 and settlers:
            await services.doorbell.request_workers(SETTLE_JOB, tick, settlers)
        total += settled
        if settled < CREDITS_PER_BATCH:
            return total
        if loop.time() > until:
            await services.doorbell.request_workers(SETTLE_JOB, tick + 1, settlers)
            return total
