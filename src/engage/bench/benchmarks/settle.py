"""`settle`: sets of credits against one transaction a credit, and a backlog against two workers."""

import asyncio
import time
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.bench.baselines import settle_singly as one_by_one
from engage.bench.figures import Figure, median, spread
from engage.bench.setup import members as crowd
from engage.bench.setup.constants import PROGRAM
from engage.bench.setup.environment import Ground, running
from engage.bench.setup.workers import crew, until_alive
from engage.domain.program.program import Program
from engage.flows.scheduled.settle import settle_due
from engage.programs import preset
from engage.runtime.database import transaction
from engage.runtime.services import Services, open_services

AT_LEAST = 50
EXPECTED = 20_000
AT_ONCE = 10  # As many jobs as an arq worker has under way.
SPARE_S = 1.0  # Between the last credit of the backlog and its due time, and more where adding took long.
LONGEST_S = 300.0
LOOK_S = 0.05

_LEFT = text("""
SELECT EXISTS (SELECT FROM credits WHERE state = 'pending' AND due_at <= :at) OR EXISTS (SELECT FROM outbox)
""")

_SUMS = text("""
SELECT (SELECT count(*) FROM entries), (SELECT count(*) FROM lots),
       (SELECT count(*) FROM credits WHERE state = 'active'),
       (SELECT sum(points) FROM credits WHERE state = 'active'), (SELECT sum(active) FROM balances)
""")


async def run(ground: Ground) -> list[Figure]:
    async with open_services(ground.settings) as services:
        await services.programs.refresh(services.db)
        program = preset(PROGRAM)
        compared = await _compare(ground, services, program)
        backlog = await _backlog(ground, services, program)
        await _prove(services.db)
        return [compared, backlog]


async def _compare(ground: Ground, services: Services, program: Program) -> Figure:
    """Everything falls due at an instant of its own, in the order in which it is settled here."""
    sizes = ground.sizes
    falls_due = services.clock.now() - timedelta(hours=1)
    sets: list[float] = []
    singles: list[float] = []
    together: list[float] = []
    for turn in range(sizes.rounds):
        ground.say(f"settle: round {turn + 1} of {sizes.rounds}")
        for at_once, rates in ((1, singles), (AT_ONCE, together)):
            falls_due += timedelta(minutes=1)
            await _add(services, program, f"single-{turn}-{at_once}-", sizes.singles, falls_due)
            rates.append(await _one_by_one(services, sizes.singles, now=falls_due, at_once=at_once))
        falls_due += timedelta(minutes=1)
        await _add(services, program, f"set-{turn}-", sizes.credits, falls_due)
        sets.append(await _in_sets(services, sizes.credits, now=falls_due))
    rate = median(sets)
    return Figure(
        benchmark="settle",
        what="credits a second in sets, told",
        value=rate,
        unit="credits/s",
        over=f"a transaction a credit: {median(singles):,.0f}/s",
        ratio=rate / median(singles),
        at_least=AT_LEAST,
        note=f"{spread(sets)}; {AT_ONCE} such transactions at once: {median(together):,.0f}/s",
    )


async def _add(services: Services, program: Program, prefix: str, count: int, falls_due: datetime) -> None:
    at = falls_due - timedelta(minutes=5)
    await crowd.add_members(services.db, program, prefix, count, now=at)
    await crowd.add_pending(services.db, program, prefix, count, at=at, due_at=falls_due)
    await crowd.tidy(services.db)


async def _one_by_one(services: Services, count: int, *, now: datetime, at_once: int) -> float:
    due = await one_by_one.due_keys(services.db, now=now, limit=count)
    assert len(due) == count
    remaining = iter(due)

    async def settle_next() -> None:
        for key in remaining:
            await one_by_one.settle_credit(services, key, now=now)

    began = time.perf_counter()
    await asyncio.gather(*(settle_next() for _ in range(at_once)))
    return count / (time.perf_counter() - began)


async def _in_sets(services: Services, count: int, *, now: datetime) -> float:
    """Through the flow that workers run, one set at a time, until the last balance is told."""
    began = time.perf_counter()
    settled = await settle_due(services, now=now)
    await services.post_commit.drain()
    took = time.perf_counter() - began
    assert settled == count, f"{settled} of {count} became active"
    return count / took


async def _backlog(ground: Ground, services: Services, program: Program) -> Figure:
    """All due at one instant, rung for once, settled by real workers that have been waiting."""
    count, workers = ground.sizes.backlog, ground.sizes.workers
    ground.say(f"settle: adding a backlog of {count:,}")
    began = time.perf_counter()
    await _add(
        services, program, "rehearsal-", min(count, crowd.ROWS_PER_STATEMENT), _future(services, 3600.0)
    )
    a_span_s = time.perf_counter() - began
    spans = -(-count // crowd.ROWS_PER_STATEMENT)
    async with running(*crew(ground)):
        await until_alive(services, workers)
        falls_due = _future(services, SPARE_S + 2 * spans * a_span_s)
        await _add(services, program, "backlog-", count, falls_due)
        await services.doorbell.ring([falls_due])
        took = await _until_settled(ground, services, falls_due)
    rate = count / took
    return Figure(
        benchmark="settle",
        what=f"credits a second, a backlog of {count:,}, {workers} workers",
        value=rate,
        unit="credits/s",
        at_least=EXPECTED,
        note=f"{took:.2f} s from the due time until the last was told",
    )


def _future(services: Services, seconds: float) -> datetime:
    return services.clock.now() + timedelta(seconds=seconds)


async def _until_settled(ground: Ground, services: Services, falls_due: datetime) -> float:
    """Seconds from the due time until nothing is pending and nothing untold."""
    wait_s = (falls_due - services.clock.now()).total_seconds()
    ground.say(f"settle: the backlog falls due in {wait_s:.0f} s")
    assert wait_s > 0, "the backlog fell due before it was there: this machine is too busy"
    await asyncio.sleep(wait_s)
    began = time.perf_counter()
    ground.say("settle: the backlog is being settled")
    async with asyncio.timeout(LONGEST_S):
        while True:
            async with transaction(services.db) as conn:
                if not (await conn.execute(_LEFT, {"at": falls_due})).scalar_one():
                    return time.perf_counter() - began
            await asyncio.sleep(LOOK_S)


async def _prove(db: AsyncEngine) -> None:
    """A benchmark that were fast and wrong would be worth nothing."""
    async with transaction(db) as conn:
        entries, lots, credits, points, active = (await conn.execute(_SUMS)).one()
    assert entries == lots == credits, f"{entries} entries, {lots} lots, {credits} credits"
    assert points == active, f"{points} points became active, balances say {active}"
