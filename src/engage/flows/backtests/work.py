"""The work on backtests: each worker takes the next step that nobody has, so any number of them share one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, Never

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.refusals import Unavailable
from engage.flows.backtests.decide import Stopped, decide_part
from engage.flows.backtests.finish import close_part, end, plan
from engage.flows.backtests.give import give_some
from engage.flows.backtests.job import job_of
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.backtests import jobs, parts
from engage.store.backtests.jobs import BacktestKey

log = structlog.get_logger()

# How long a worker that finds nothing to do waits before it looks again.
IDLE_S: Final = 0.5


async def work_always(services: Services, turned: Callable[[], None]) -> Never:
    """Take one step after the other, and report each, or that there is none. Raises Unavailable."""
    while True:
        services.clock.check()
        found = await take_step(services)
        turned()
        if not found:
            await asyncio.sleep(IDLE_S)


async def take_step(services: Services) -> bool:
    """Divide members into parts, decide or close a part, end a backtest, or give some of a grant; False where
    there is nothing to do that nobody else does. Raises Unavailable.
    """
    for step in (_plan, _do_part, _end, give_some):
        if await step(services):
            return True
    return False


async def _plan(services: Services) -> bool:
    async with _step(services) as (conn, step):
        backtest = await jobs.lock_unplanned(conn)
        if backtest is not None:
            step.backtest = backtest.key
            await plan(conn, backtest)
    return step.backtest is not None


async def _do_part(services: Services) -> bool:
    async with _step(services) as (conn, step):
        part = await parts.lock_open(conn)
        if part is not None:
            step.backtest = part.backtest
            job = await job_of(services, await jobs.read(conn, part.backtest))
            if part.state == "waiting":
                await decide_part(services, conn, job, part)
            else:
                await close_part(conn, job, part)
    return step.backtest is not None


async def _end(services: Services) -> bool:
    async with _step(services) as (conn, step):
        backtest = await jobs.lock_finished(conn)
        if backtest is not None:
            step.backtest = backtest.key
            await end(services, conn, await job_of(services, backtest))
    return step.backtest is not None


class _Step:
    """A step in its transaction, and the backtest that it is about."""

    backtest: BacktestKey | None = None


@asynccontextmanager
async def _step(services: Services) -> AsyncIterator[tuple[AsyncConnection, _Step]]:
    """Open the transaction of a step. With an error the backtest fails: it would be the same once more.

    Raises Unavailable.
    """
    step = _Step()
    try:
        async with transaction(services.db) as conn:
            yield conn, step
    except Stopped:
        log.info("a backtest was stopped", backtest=str(step.backtest))
    except Unavailable:
        raise
    except Exception as error:
        if step.backtest is None:
            raise
        log.exception("a backtest failed", backtest=str(step.backtest))
        reason = f"{type(error).__name__}: see the log of the worker"
        async with transaction(services.db) as conn:
            await jobs.end(conn, step.backtest, "failed", now=services.clock.now(), reason=reason)
