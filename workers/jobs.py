"""The jobs. Each may run twice, late, or not at all: PostgreSQL knows what is due, and a sweep finds it."""

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import wraps
from typing import Any

import structlog
from arq import Retry
from arq.typing import WorkerCoroutine

from engage import tracing
from engage.domain.refusals import Unavailable
from engage.flows.scheduled import sweep as sweeping
from engage.flows.scheduled.expire import expire_together
from engage.flows.scheduled.reactions import react_due
from engage.flows.scheduled.settle import settle_together
from engage.flows.withdrawals.reconcile import reconcile_in_turn
from engage.runtime.due_work import DueWork
from engage.runtime.services import Services
from engage.signals.doorbell import time_of

log = structlog.get_logger()

# Workers that join a settlement which finds more than a batch.
SETTLERS = 4


def job(run: Callable[..., Awaitable[int]]) -> WorkerCoroutine:
    """Makes a job for arq. When a service is away, the job ends, and a later sweep does its work."""

    @wraps(run)
    async def run_job(ctx: dict[str, Any], *args: Any, **kwargs: Any) -> int:
        services: Services = ctx["services"]
        numbers, name = services.metrics.worker, run.__name__
        structlog.contextvars.bind_contextvars(job=name, job_id=ctx.get("job_id", ""))
        began, outcome = time.perf_counter(), "failed"
        try:
            await services.follow_clock()
            services.clock.check()
            if services.programs.is_out_of_date:
                await services.programs.refresh(services.db)
            with tracing.span("job", job=run.__name__, job_id=ctx.get("job_id", "")):
                count = await run(services, *args, **kwargs)
            outcome = "done"
            numbers.work_done.add(name, by=count)
            return count
        except Unavailable as error:
            outcome = "unavailable"
            log.warning("a service is away", part=error.facts["part"])
            return 0
        except Retry:
            outcome = "early"
            raise
        finally:
            numbers.jobs.add(name, outcome)
            numbers.job_seconds.observe(time.perf_counter() - began, name)

    return run_job


@job
async def settle(services: Services, tick: int, settler: int = 0) -> int:
    """The doorbell's job: activate credits that are due; how many.

    Raises Retry where the queue, which goes by this machine's clock, rang before the tick.
    """
    early = time_of(tick) - services.clock.wall()
    if early > timedelta():
        raise Retry(defer=early)
    return await settle_together(services, tick=tick, settlers=0 if settler else SETTLERS)


@job
async def react(services: Services) -> int:
    """The doorbell's job: do what follows from facts of members that have changed; how many changes."""
    return await react_due(services, now=services.clock.now())


@job
async def expire(services: Services, tick: int, other: int) -> int:
    """Join a sweep that found many points to expire; how many lots this worker did."""
    return await expire_together(services, others=0)


def sweep(work: DueWork) -> WorkerCoroutine:
    """A job for one kind of due work. Kinds do not wait for each other, however much there is."""

    async def run(services: Services) -> int:
        count = await sweeping.sweep(services, work)
        await services.topics.note_done(work.name)
        return count

    run.__name__ = run.__qualname__ = f"sweep_{work.name}"
    return job(run)


@job
async def publish_outbox(services: Services) -> int:
    """Publish changes that are still in the outbox; how many rows."""
    return await sweeping.publish_outbox(services)


@job
async def delete_old_responses(services: Services) -> int:
    """Delete stored responses of old Idempotency-Keys; how many."""
    return await sweeping.delete_old_responses(services)


@job
async def reconcile_payouts(services: Services) -> int:
    """Compare our withdrawals with the provider's payouts; how many."""
    return (await reconcile_in_turn(services)).compared
