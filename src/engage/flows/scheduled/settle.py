"""Activate credits that are due, never early, by any number of workers at once."""

import asyncio
from datetime import datetime

from engage import tracing
from engage.ledger.settle import CREDITS_PER_BATCH, settle_batch
from engage.runtime.posting import open_posting
from engage.runtime.services import Services
from engage.signals.doorbell import SETTLE_JOB

# A job with a large backlog ends in time, and rings for another job to go on.
TURN_S = 10.0


async def settle_once(
    services: Services, *, now: datetime, on_time: bool = False, swept: bool = False
) -> int:
    """Activates a batch of credits that are due at `now`; how many. `swept`: no doorbell has rung for it.

    Raises Unavailable.
    """
    settled = await _settle(services, now=now, on_time=on_time, swept=swept)
    if settled < CREDITS_PER_BATCH:
        # The rest may be of members who are busy.
        settled += await _settle(services, now=now, on_time=on_time, swept=swept, waits=True)
    return settled


async def _settle(
    services: Services, *, now: datetime, on_time: bool, swept: bool, waits: bool = False
) -> int:
    with tracing.span("settlement"):
        return await _settle_batch(services, now=now, on_time=on_time, swept=swept, waits=waits)


async def _settle_batch(services: Services, *, now: datetime, on_time: bool, swept: bool, waits: bool) -> int:
    async with open_posting(services, cause="active") as posting:
        ahead = services.clock.ahead
        settled = await settle_batch(
            posting.conn, posting.outbox_row(), now=now, ahead=ahead, on_time=on_time, waits=waits
        )
    services.metrics.ledger.settled(settled.lags, swept=swept)
    return settled.count


async def settle_due(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Activates all credits that are due at `now` and not locked by another worker, in order of due time; how
    many.

    `on_time`: each from its own due time, not from now. Raises Unavailable.
    """
    total = 0
    while True:
        settled = await settle_once(services, now=now, on_time=on_time, swept=True)
        total += settled
        if settled < CREDITS_PER_BATCH:
            return total


async def settle_together(services: Services, *, tick: int, settlers: int) -> int:
    """Activates credits that are due, for TURN_S at most; how many. Raises Unavailable.

    Asks `settlers` other workers to join when there is more than a batch, and again when time is up.
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
