"""`settle`: settlement in sets compared with a transaction for each credit, and a backlog with workers."""

import asyncio
import time
from datetime import datetime, timedelta

from sqlalchemy import text

from engage.bench.baselines.settle_singly import due_credits, settle_credit
from engage.bench.figures import Figure, compare, median, spread
from engage.bench.setup import processes
from engage.bench.setup.constants import PRESET
from engage.bench.setup.environment import Environment
from engage.bench.setup.members import ROWS_PER_STATEMENT, add_members, add_pending_credits, spans, vacuum
from engage.bench.setup.queries import fetch_row, wait_until_zero
from engage.domain.program.program import Program
from engage.flows.scheduled.settle import settle_due
from engage.programs import preset
from engage.runtime.services import Services, open_services

MIN_RATIO = 50
MIN_BACKLOG_RATE = 20_000
CONCURRENT = 10  # As many jobs as an arq worker runs at once.
SPARE_S = 1.0  # From the last credit of the backlog to its due time, at least.
LIMIT_S = 300.0

_UNSETTLED = text("""
SELECT EXISTS (SELECT FROM credits WHERE state = 'pending' AND due_at <= :at) OR EXISTS (SELECT FROM outbox)
""")

_TOTALS = text("""
SELECT (SELECT count(*) FROM entries), (SELECT count(*) FROM lots),
       (SELECT count(*) FROM credits WHERE state = 'active'),
       (SELECT sum(points) FROM credits WHERE state = 'active'), (SELECT sum(active) FROM balances)
""")


async def run(env: Environment) -> list[Figure]:
    async with open_services(env.settings) as services:
        await services.programs.refresh(services.db)
        program = preset(PRESET)
        figures = [await _compare(env, services, program), await _backlog(env, services, program)]
        await _verify(services)
        return figures


async def _compare(env: Environment, services: Services, program: Program) -> Figure:
    """Settle credits in sets and singly. Due times differ, so that each run settles only its credits."""
    sizes = env.sizes
    due_at = services.clock.now() - timedelta(hours=1)
    sets: list[float] = []
    singly: list[float] = []
    concurrently: list[float] = []
    for number in env.rounds("settle"):
        for concurrency, rates in ((1, singly), (CONCURRENT, concurrently)):
            due_at += timedelta(minutes=1)
            await _add(services, program, f"single-{number}-{concurrency}-", sizes.singles, due_at)
            rates.append(await _settle_singly(services, sizes.singles, now=due_at, concurrency=concurrency))
        due_at += timedelta(minutes=1)
        await _add(services, program, f"set-{number}-", sizes.credits, due_at)
        sets.append(await _settle_in_sets(services, sizes.credits, now=due_at))
    return compare(
        "settle",
        "credits a second in sets, published",
        "credits/s",
        sets,
        baseline="a transaction a credit",
        baseline_rates=singly,
        at_least=MIN_RATIO,
        note=f"{spread(sets)}; {CONCURRENT} such transactions at once: {median(concurrently):,.0f}/s",
    )


async def _add(services: Services, program: Program, prefix: str, count: int, due_at: datetime) -> None:
    at = due_at - timedelta(minutes=5)
    await add_members(services.db, program, prefix, count, now=at)
    await add_pending_credits(services.db, program, prefix, count, at=at, due_at=due_at)
    await vacuum(services.db)


async def _settle_singly(services: Services, count: int, *, now: datetime, concurrency: int) -> float:
    """Return credits a second."""
    due = await due_credits(services.db, now=now, limit=count)
    assert len(due) == count
    remaining = iter(due)

    async def settle_next() -> None:
        for key in remaining:
            await settle_credit(services, key, now=now)

    started = time.perf_counter()
    await asyncio.gather(*(settle_next() for _ in range(concurrency)))
    return count / (time.perf_counter() - started)


async def _settle_in_sets(services: Services, count: int, *, now: datetime) -> float:
    """Settle with the flow of the workers until the last balance is published. Return credits a second."""
    started = time.perf_counter()
    settled = await settle_due(services, now=now)
    await services.post_commit.drain()
    seconds = time.perf_counter() - started
    assert settled == count, f"{settled} of {count} became active"
    return count / seconds


async def _backlog(env: Environment, services: Services, program: Program) -> Figure:
    """Let waiting workers settle credits that are all due at one instant, after one doorbell."""
    count, workers = env.sizes.backlog, env.sizes.workers
    env.report(f"settle: adding a backlog of {count:,}")
    started = time.perf_counter()
    # A rehearsal, to learn how long adding the backlog takes.
    await _add(services, program, "rehearsal-", min(count, ROWS_PER_STATEMENT), _after(services, 3600.0))
    span_s = time.perf_counter() - started
    async with processes.running(*processes.workers(env)):
        await processes.wait_for_workers(services, workers)
        due_at = _after(services, SPARE_S + 2 * span_s * len(spans(count)))
        await _add(services, program, "backlog-", count, due_at)
        await services.doorbell.ring([due_at])
        await env.sleep_until(due_at, "settle: the backlog is due", clock=services.clock)
        env.report("settle: settling the backlog")
        seconds = await wait_until_zero(services.db, _UNSETTLED, limit_s=LIMIT_S, at=due_at)
    return Figure(
        benchmark="settle",
        what=f"credits a second, a backlog of {count:,}, {workers} workers",
        value=count / seconds,
        unit="credits/s",
        at_least=MIN_BACKLOG_RATE,
        note=f"{seconds:.2f} s from the due time until the last was published",
    )


def _after(services: Services, seconds: float) -> datetime:
    return services.clock.now() + timedelta(seconds=seconds)


async def _verify(services: Services) -> None:
    """Check that entries, lots, credits and balances agree: a fast but wrong run is worthless."""
    entries, lots, credits, points, active = await fetch_row(services.db, _TOTALS)
    assert entries == lots == credits, f"{entries} entries, {lots} lots, {credits} credits"
    assert points == active, f"{points} points became active, {active} are in balances"
