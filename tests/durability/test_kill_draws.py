"""A worker is killed while it pays the prizes of a draw: each winner is paid once."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from engage.flows.draws.drawing import draw_due
from engage.flows.draws.prizes import pay_due
from engage.runtime.services import Services
from engage.settings import Settings, to_environment
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import stopped_clock
from tests.support.database import rows
from tests.support.draws import (
    CLOSES_AT,
    PROGRAM,
    ROUND_AT,
    advance_to,
    entered,
    join,
    prizes,
    services_with_draws,
)

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0
WINNERS, BATCH = 12, 4


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with_draws(settings, winners=WINNERS) as opened:
        yield opened
        await assert_audit_is_clean(opened)


async def until_blocked(services: Services) -> None:
    """Wait until a statement of another process waits for a row."""
    waiting = """
        SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()
    """
    async with asyncio.timeout(PATIENCE_S):
        while not await rows(services.db, waiting):
            await asyncio.sleep(0.05)


async def test_a_worker_killed_while_it_pays_leaves_nobody_unpaid_and_nobody_paid_twice(
    services: Services,
) -> None:
    members = [f"m-{n:02}" for n in range(1, WINNERS + 1)]
    await join(services, *members)
    for member in members:
        await entered(services, member)
    await advance_to(services, CLOSES_AT)
    stopped_clock(services).at = ROUND_AT
    await draw_due(services, now=ROUND_AT)
    # The balance of a winner of the second batch is locked: the worker stops there, its credits inserted.
    async with services.db.begin() as locking:
        await locking.execute(
            text("SELECT FROM balances WHERE program_id = :p AND member_id = :m FOR UPDATE"),
            {"p": PROGRAM, "m": members[BATCH + 1]},
        )
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.durability.pay_prizes_once", ROUND_AT.isoformat(), str(BATCH)),
            cwd=ROOT,
            env={**os.environ, **to_environment(services.settings)},
        )
        await until_blocked(services)
        worker.kill()
        assert await worker.wait() != 0
    assert [row[1] for row in await prizes(services)] == list(range(1, BATCH + 1))
    await pay_due(services, now=ROUND_AT)
    assert [row[:3] for row in await prizes(services)] == [
        (member, number, 500) for number, member in enumerate(members, start=1)
    ]
    assert await pay_due(services, now=ROUND_AT) == 0
