"""`growth`: what settlement costs when there are many credits, compared with when there are few."""

import time
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from engage.bench.figures import Figure, median, spread
from engage.bench.setup.constants import PRESET
from engage.bench.setup.cpu import cpu_times, used_s
from engage.bench.setup.environment import Environment
from engage.bench.setup.members import add_members, add_pending_credits, vacuum
from engage.bench.setup.points import add_settled_credits
from engage.domain.program.program import Program
from engage.flows.scheduled.settle import settle_due
from engage.programs import preset
from engage.runtime.services import Services, open_services

MOST_RATIO: Final = 1.2
PREFIX: Final = "member-"
CREDITS_EACH: Final = 2  # That a member has already.
# As many as the least of the two amounts has members for.
FEW: Final = 12_000
PER_ROUND: Final = 3_000


class Cost(Struct, frozen=True):
    """Microseconds of a settled credit in each round, and of CPU time among them."""

    elapsed: list[float]
    cpu: list[float]


async def run(env: Environment) -> list[Figure]:
    """Settle the same number of credits, of members all over the accounts, with few and with many stored."""
    many = env.sizes.stored // CREDITS_EACH
    few = min(FEW // CREDITS_EACH, many)
    async with open_services(env.settings) as services:
        await services.programs.refresh(services.db)
        program, now = preset(PRESET), services.clock.now()
        await _add(services, program, 0, few, now)
        before = await _settle(env, services, program, few, now)
        env.report(f"growth: adding {env.sizes.stored:,} credits")
        await _add(services, program, few, many, now)
        after = await _settle(env, services, program, many, now - timedelta(days=env.sizes.rounds))
    elapsed, cpu = median(after.elapsed), median(after.cpu)
    return [
        Figure(
            benchmark="growth",
            what=f"settlement of a credit with {env.sizes.stored:,} stored",
            value=elapsed,
            unit="µs",
            over=f"with {few * CREDITS_EACH:,}: {median(before.elapsed):,.0f} µs",
            ratio=elapsed / median(before.elapsed),
            at_most=MOST_RATIO,
            note=f"{spread(after.elapsed)}; CPU {cpu:,.0f} µs, {cpu / median(before.cpu):.2f} times as much",
        )
    ]


async def _add(services: Services, program: Program, first: int, end: int, now: datetime) -> None:
    """Add members from `first` on, with settled credits of days that are long over."""
    at = now - timedelta(days=100)
    await add_members(services.db, program, PREFIX, end, now=at, first=first)
    await add_settled_credits(services.db, program, PREFIX, first, end, credits=CREDITS_EACH, at=at)
    await vacuum(services.db)


async def _settle(
    env: Environment, services: Services, program: Program, members: int, now: datetime
) -> Cost:
    """Settle a credit of some members in each round, on a day for each."""
    count = min(PER_ROUND, members)
    cost = Cost([], [])
    for number in env.rounds("growth"):
        due_at = now - timedelta(days=number + 1)
        at = due_at - timedelta(minutes=5)
        every = members // count
        await add_pending_credits(
            services.db, program, PREFIX, count, at=at, due_at=due_at, every=every, first=number % every
        )
        cpu, started = cpu_times(), time.perf_counter()
        settled = await settle_due(services, now=due_at)
        await services.post_commit.drain()
        elapsed, used = time.perf_counter() - started, used_s(cpu, cpu_times())
        assert settled == count, f"{settled} of {count} became active"
        cost.elapsed.append(elapsed / count * 1e6)
        cost.cpu.append(used / count * 1e6)
    return cost
