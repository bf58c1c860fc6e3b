"""Workers are killed in the middle of a backtest or a grant: the result is the same, and each gain is
given once.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from engage.flows.backtests import finish
from engage.flows.backtests.grant import grant_backtest
from engage.flows.backtests.start import show_backtest
from engage.runtime.services import Services
from engage.settings import Settings, to_environment
from tests.durability.try_backtests import WAIT_FOR
from tests.support.audit import assert_audit_is_clean
from tests.support.backtests import backtest, done, start
from tests.support.campaigns import approve, boost, document, operator
from tests.support.database import rows
from tests.support.tiers import join, services_with_tiers, tap

ROOT = Path(__file__).parents[2]
PATIENCE_S = 100.0
MEMBERS = 20
PER_PART = 2

BLOCKED = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with_tiers(settings) as opened:
        for number in range(MEMBERS):
            await join(opened, f"m-{number}")
            await tap(opened, f"m-{number}")
        yield opened
        await assert_audit_is_clean(opened)


@asynccontextmanager
async def worker(services: Services) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.durability.try_backtests"),
        *(services.clock.now().isoformat(), str(PER_PART)),
        cwd=ROOT,
        env={**os.environ, **to_environment(services.settings)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def until_blocked(services: Services, count: int) -> None:
    """Wait until statements of so many connections wait for a lock."""
    async with asyncio.timeout(PATIENCE_S):
        while len(await rows(services.db, BLOCKED)) < count:
            await asyncio.sleep(0.05)


async def kill(*processes: asyncio.subprocess.Process) -> None:
    for process in processes:
        process.kill()
        assert await process.wait() != 0


@pytest.mark.parametrize("budget", [None, {"points": 25}])
async def test_killed_workers_leave_their_parts_to_others(
    services: Services, monkeypatch: pytest.MonkeyPatch, budget: Any
) -> None:
    monkeypatch.setattr(finish, "MEMBERS_PER_PART", PER_PART)
    draft = document(boosts=[boost("fuel", multiply=2)], budget=budget)
    alone = await backtest(services, draft)
    async with services.db.connect() as locking, worker(services) as first, worker(services) as second:
        # Each worker writes a part, and waits with the next one decided.
        await locking.execute(text(f"SELECT pg_advisory_xact_lock({WAIT_FOR})"))
        id_ = await start(services, draft)
        await until_blocked(services, 2)
        await kill(first, second)
        await locking.rollback()
    half = await show_backtest(services, id_)
    assert half.progress == pytest.approx(2 * PER_PART / MEMBERS * (1 if budget is None else 0.9))
    async with worker(services), asyncio.timeout(PATIENCE_S):
        while (shown := await show_backtest(services, id_)).state == "running":
            assert shown.progress >= half.progress
            await asyncio.sleep(0.05)
    assert shown.result == alone
    counted = "SELECT count(*), sum(members) FROM backtest_parts WHERE backtest_id = :id AND state = 'closed'"
    assert await rows(services.db, counted, id=id_) == [(MEMBERS // PER_PART, MEMBERS)]


async def test_killed_workers_give_each_gain_once(services: Services) -> None:
    draft = document(boosts=[boost("fuel", multiply=2)], budget={"points": 3 * MEMBERS})
    id_ = await start(services, draft)
    await done(services, id_)
    await approve(services, draft)
    async with services.db.connect() as locking, worker(services) as first, worker(services) as second:
        # A worker gives to a batch, and waits with the next one given. The other one waits too, perhaps for
        # the budget.
        await locking.execute(text(f"SELECT pg_advisory_xact_lock({WAIT_FOR})"))
        await grant_backtest(services, id_, operator=operator("finance"))
        await until_blocked(services, 2)
        await kill(first, second)
        await locking.rollback()
    half = await show_backtest(services, id_)
    assert half.grant is not None
    assert half.grant.members in (PER_PART, 2 * PER_PART)
    async with worker(services), asyncio.timeout(PATIENCE_S):
        while (shown := (await show_backtest(services, id_)).grant) is not None and not shown.done:
            await asyncio.sleep(0.05)
    given = "SELECT member_id, points FROM credits WHERE rule_id = 'adjustment' ORDER BY member_id"
    expected = [(member, 3) for member in sorted(f"m-{number}" for number in range(MEMBERS))]
    assert await rows(services.db, given) == expected
