"""The sandbox's clock moves forward, and all work that falls due on the way is done, in order."""

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

# One traveller at a time: two would do each other's work out of order.
_travelling = asyncio.Lock()

# A worker may have some of what is due in hand; it is waited for.
LOOK_AGAIN_S = 0.01
WAIT_AT_MOST_S = 10.0


async def advance_clock(
    services: Services, *, to: datetime | None = None, by: timedelta | None = None
) -> datetime:
    """The time it is then. Raises Refusal clock_backwards, Unavailable.

    What falls due on the way is done in the order of its time, as of that very time, and before the clock
    shows a later one.
    """
    async with _travelling:
        now = services.clock.now()
        target = to if to is not None else now + (by or timedelta())
        if target < now:
            raise Refusal(Code.CLOCK_BACKWARDS, now=now)
        await _travel(services, now, target)
        await _show(services, target)
        now = services.clock.now()
        # The clock runs on meanwhile, and so did whoever tapped.
        await _do_the_rest(services, now)
        await _ring_for_the_rest(services, now)
        await services.post_commit.drain()
        return now


async def _travel(services: Services, start: datetime, target: datetime) -> None:
    """From stop to stop. Between two of them what is due may be done kind by kind."""
    at = start
    await run_due_work(services, now=at, on_time=True)
    while at < target:
        at = await _next_stop(services, at, target)
        await run_due_work(services, now=at, on_time=True)


async def _next_stop(services: Services, after: datetime, target: datetime) -> datetime:
    async with transaction(services.db) as conn:
        times = [await work.next_at(conn, after=after) for work in DUE_WORK if not work.any_order]
        stop = min([at for at in times if at is not None] + [target])
        return await next_stop(conn, after=after, until=stop) or stop


async def _do_the_rest(services: Services, now: datetime) -> None:
    """Returns when nothing that is due is left, whoever did it."""
    try:
        async with asyncio.timeout(WAIT_AT_MOST_S):
            while True:
                await run_due_work(services, now=now, on_time=True)
                async with transaction(services.db) as conn:
                    if not await is_work_left(conn, now=now):
                        return
                await asyncio.sleep(LOOK_AGAIN_S)
    except TimeoutError as error:
        raise Unavailable("worker") from error


async def _show(services: Services, at: datetime) -> None:
    ahead = max(at - services.clock.wall(), services.clock.offset)
    async with transaction(services.db) as conn:
        await sandbox_clock.set_ahead(conn, ahead)
    services.clock.offset = ahead


async def _ring_for_the_rest(services: Services, now: datetime) -> None:
    """What was rung for before the clock moved is due sooner now, by the wall."""
    async with transaction(services.db) as conn:
        due = await next_settlement(conn, after=now)
    if due is not None:
        with suppress(Unavailable):  # The clock has moved; the sweep goes after what is not rung for.
            await services.doorbell.ring([due])
