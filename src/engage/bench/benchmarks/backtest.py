"""`backtest`: a draft on what a population did in some days, decided by real workers."""

import asyncio
import time
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import text

from engage.bench.figures import Figure, median
from engage.bench.setup import processes
from engage.bench.setup.constants import PRESET, PROGRAM
from engage.bench.setup.environment import Environment
from engage.bench.setup.members import add_members, add_pending_credits, vacuum
from engage.bench.setup.past import ORDERS, TAPS, add_activities, add_campaign, window_of
from engage.bench.setup.queries import POLL_S
from engage.domain.backtests.result import BacktestResult
from engage.domain.campaigns.definition import Campaign
from engage.flows.backtests.start import show_backtest, start_backtest
from engage.programs import preset
from engage.runtime.database import transaction
from engage.runtime.services import Services, open_services

MAX_SECONDS: Final = 60.0
LIMIT_S: Final = 600.0
QUIET_S: Final = 4.0
PREFIX: Final = "past-"
CAMPAIGNS: Final = 20  # That were in force, beside the draft.


_LATENESS: Final = text("""
SELECT EXTRACT(EPOCH FROM active_at - due_at) FROM credits
WHERE program_id = :program_id AND starts_with(member_id, :prefix) AND state = 'active'
""")


async def run(env: Environment) -> list[Figure]:
    async with open_services(env.settings, command_timeout_s=None) as services:
        await services.programs.refresh(services.db)
        started_at = services.clock.now() - timedelta(days=60)
        await _add_past(env, services, started_at)
        async with processes.running(*processes.workers(env)):
            await processes.wait_for_workers(services, env.sizes.workers)
            quiet = await _settle(services, "quiet-", asyncio.create_task(asyncio.sleep(QUIET_S)))
            env.report(f"backtest: trying a draft on {env.sizes.activities:,} activities")
            trying = asyncio.create_task(_try(services, started_at))
            busy = await _settle(services, "busy-", trying)
            result, seconds = await trying
    _verify(env, result)
    return _figures(env, result, seconds, quiet, busy)


def _figures(
    env: Environment, result: BacktestResult, seconds: float, quiet: list[float], busy: list[float]
) -> list[Figure]:
    return [
        Figure(
            benchmark="backtest",
            what=f"seconds for {result.activities:,} activities, {env.sizes.workers} workers",
            value=seconds,
            unit="s",
            at_most=MAX_SECONDS,
            note=f"{result.activities / seconds:,.0f} activities/s; {CAMPAIGNS} campaigns were in force",
        ),
        Figure(
            benchmark="backtest",
            what="milliseconds that single points become active late meanwhile, median",
            value=median(busy) * 1_000,
            unit="ms",
            note=f"{median(quiet) * 1_000:.0f} ms before, {max(busy) * 1_000:.0f} ms at most",
        ),
    ]


async def _try(services: Services, started_at: datetime) -> tuple[BacktestResult, float]:
    """Return the result of a backtest, and its seconds."""
    begin, until = window_of(started_at)
    began = time.perf_counter()
    started = await start_backtest(services, _draft(), begin=begin, until=until, operator="bench")
    async with asyncio.timeout(LIMIT_S):
        while (  # noqa: ASYNC110 — Other processes work.
            shown := await show_backtest(services, started.backtest_id)
        ).state == "running":
            await asyncio.sleep(POLL_S)
    assert shown.result is not None, shown.reason
    return shown.result, time.perf_counter() - began


async def _settle(services: Services, prefix: str, meanwhile: asyncio.Task[Any]) -> list[float]:
    """Let points fall due one by one until a task ends. Return the seconds that each was late."""
    program, number = preset(PRESET), 0
    while not meanwhile.done():
        due_at = services.clock.now() + timedelta(seconds=0.5)
        due_at = due_at.replace(microsecond=due_at.microsecond // 250_000 * 250_000)  # A doorbell's tick.
        one = f"{prefix}{number}-"
        await add_members(services.db, program, one, 1, now=due_at)
        await add_pending_credits(
            services.db, program, one, 1, at=due_at - timedelta(minutes=5), due_at=due_at
        )
        await services.doorbell.ring([due_at])
        await asyncio.sleep(0.5)
        number += 1
    await asyncio.sleep(1.0)
    async with transaction(services.db) as conn:
        found = await conn.execute(_LATENESS, {"program_id": PROGRAM, "prefix": prefix})
        return [float(seconds) for seconds in found.scalars()]


async def _add_past(env: Environment, services: Services, started_at: datetime) -> None:
    program = preset(PRESET)
    members = max(env.sizes.activities // (TAPS + ORDERS), 1)
    env.report(f"backtest: adding {members:,} members with {TAPS + ORDERS} activities each")
    await add_members(services.db, program, PREFIX, members, now=started_at)
    await add_activities(services.db, program, PREFIX, members, start=started_at)
    for number in range(CAMPAIGNS):
        await add_campaign(services.db, _campaign(number), at=started_at)
    await vacuum(services.db)


def _campaign(number: int) -> dict[str, Any]:
    """A campaign that was in force meanwhile."""
    return {
        "id": f"other-{number}",
        "program": PROGRAM,
        "title": {"en": "Benchmark"},
        "from": "2020-01-01T00:00:00",
        "until": "2040-01-01T00:00:00",
        "audience": {"percent": 1 + number},
        "boosts": [
            {"id": "fuel", "rules": ["fuel"], "add": 1 + number, "hours": ["10:00", "14:00"]},
            {"id": "buy", "rules": ["purchase"], "multiply": 1.5, "products": [f"p-{number}"]},
        ],
    }


def _draft() -> Campaign:
    document = {
        "id": "draft",
        "program": PROGRAM,
        "title": {"en": "Benchmark"},
        "from": "2040-01-01T00:00:00",
        "until": "2040-02-01T00:00:00",
        "holdout_percent": 10,
        "boosts": [
            {"id": "fuel", "rules": ["fuel"], "multiply": 2, "weekdays": ["mon", "tue", "wed", "sat"]},
            {"id": "buy", "rules": ["purchase"], "multiply": 2, "products": ["p-1", "p-2", "p-3", "p-4"]},
        ],
        "stacking": {"max_multiplier": 5},
        "budget": {"points": 1_000_000},
    }
    return msgspec.convert(document, Campaign)


def _verify(env: Environment, result: BacktestResult) -> None:
    """Check that every activity was decided once: a fast but wrong run is worthless."""
    members = max(env.sizes.activities // (TAPS + ORDERS), 1)
    assert result.activities == members * (TAPS + ORDERS), result.activities
    assert result.gaining + result.losing + result.unchanged == members
    assert sum(day.difference_points for day in result.by_day) == result.difference_points > 0
