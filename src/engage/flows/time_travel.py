"""The sandbox's clock moves forward, and all work that falls due on the way is done, in order."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

from engage.domain.refusal import Refusal, Unavailable
from engage.flows.parts import Parts
from engage.flows.settle import settle_due
from engage.flows.transaction import one_statement, transaction
from engage.ledger.settle import is_due, next_due
from engage.store import sandbox_clock

# One traveller at a time: two would do each other's work out of order.
_travelling = asyncio.Lock()

# A worker may have some of what is due in hand; it is waited for.
LOOK_AGAIN_S = 0.01
WAIT_AT_MOST_S = 10.0


async def move_clock(parts: Parts, *, to: datetime | None = None, by: timedelta | None = None) -> datetime:
    """The time it is then. Raises Refusal clock_backwards, Unavailable.

    What falls due on the way becomes active at the very instant at which it is due, and before the
    clock shows a later time.
    """
    async with _travelling:
        now = parts.clock.now()
        target = to if to is not None else now + (by or timedelta())
        if target < now:
            raise Refusal("clock_backwards", status=409, now=now)
        await settle_due(parts, now=target, on_time=True)
        await _show(parts, target)
        now = parts.clock.now()
        # The clock runs on meanwhile, and so did whoever tapped.
        await _settle_all(parts, now)
        await _ring_for_the_rest(parts, now)
        await parts.after.drain()
        return now


async def _settle_all(parts: Parts, now: datetime) -> None:
    """Returns when nothing that is due is pending, whoever settled it."""
    try:
        async with asyncio.timeout(WAIT_AT_MOST_S):
            while True:
                await settle_due(parts, now=now, on_time=True)
                async with one_statement(parts.db) as conn:
                    if not await is_due(conn, now=now):
                        return
                await asyncio.sleep(LOOK_AGAIN_S)
    except TimeoutError as error:
        raise Unavailable("worker") from error


async def _show(parts: Parts, at: datetime) -> None:
    ahead = max(at - parts.clock.wall(), parts.clock.offset)
    async with transaction(parts.db) as conn:
        await sandbox_clock.set_ahead(conn, ahead)
    parts.clock.offset = ahead


async def _ring_for_the_rest(parts: Parts, now: datetime) -> None:
    """What was rung for before the clock moved is due sooner now, by the wall."""
    async with transaction(parts.db) as conn:
        due = await next_due(conn, after=now)
    if due is not None:
        with suppress(Unavailable):  # The clock has moved; the sweep goes after what is not rung for.
            await parts.doorbell.ring([due])
