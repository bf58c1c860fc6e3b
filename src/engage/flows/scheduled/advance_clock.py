"""Advance the sandbox's clock, and do all work that falls due on the way, in order of time."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

from engage.domain.refusals import Code, Refusal, Unavailable
from engage.flows.scheduled.due_work import DUE_WORK, is_work_left, run_due_work
from engage.ledger.expire import next_stop
from engage.ledger.settle import next_settlement
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store import sandbox_clock

# One at a time: two would do each other's work out of order.
_advancing = asyncio.Lock()

# A worker may be doing some of the work that is due; its end is awaited.
RETRY_S = 0.01
WAIT_AT_MOST_S = 10.0


async def advance_clock(
    services: Services, *, to: datetime | None = None, by: timedelta | None = None
) -> datetime:
    """Advances the clock to an instant or by a time; returns what it shows then.

    Work that falls due on the way is done in order of its time, as of that very time, and before the clock
    shows a later one. Raises Refusal clock_backwards; Unavailable, on the way: the clock shows the last stop
    then, so that nothing was done ahead of it.
    """
    async with _advancing:
        now = services.clock.now()
        target = to if to is not None else now + (by or timedelta())
        if target < now:
            raise Refusal(Code.CLOCK_BACKWARDS, now=now)
        await _work_until(services, now, target)
        now = services.clock.now()
        # Meanwhile the clock has run on, and members have earned.
        await _finish(services, now)
        await _ring_next(services, now)
        await services.post_commit.drain()
        return now


async def _work_until(services: Services, start: datetime, target: datetime) -> None:
    """Does all work from stop to stop. Between two stops, the kinds of work may be done one after another.

    What is overdue at the start is late, as in a worker: a delivery that was reported late is due before
    entries that there are already.
    """
    at = start
    await run_due_work(services, now=at)
    while at < target:
        at = await _next_stop(services, at, target)
        await _set_clock(services, at)
        await run_due_work(services, now=at, on_time=True)


async def _next_stop(services: Services, after: datetime, target: datetime) -> datetime:
    async with transaction(services.db) as conn:
        times = [await work.next_at(conn, after=after) for work in DUE_WORK if not work.any_order]
        stop = min([at for at in times if at is not None] + [target])
        return await next_stop(conn, after=after, until=stop) or stop


async def _finish(services: Services, now: datetime) -> None:
    """Does work, or waits for workers, until no due work is left. Raises Unavailable if it takes too long."""
    try:
        async with asyncio.timeout(WAIT_AT_MOST_S):
            while True:
                await run_due_work(services, now=now, on_time=True)
                async with transaction(services.db) as conn:
                    if not await is_work_left(conn, now=now):
                        return
                await asyncio.sleep(RETRY_S)
    except TimeoutError as error:
        raise Unavailable("worker") from error


async def _set_clock(services: Services, at: datetime) -> None:
    ahead = max(at - services.clock.wall(), services.clock.offset)
    async with transaction(services.db) as conn:
        services.clock.offset = await sandbox_clock.advance_to(conn, ahead)


async def _ring_next(services: Services, now: datetime) -> None:
    """Rings for the next settlement: by wall time it is due sooner than before."""
    async with transaction(services.db) as conn:
        due = await next_settlement(conn, after=now)
    if due is not None:
        with suppress(Unavailable):  # The clock has moved. The sweep finds work for which nobody rang.
            await services.doorbell.ring([due])
