"""A worker is killed while it pays the ranks of a leaderboard: each rank is paid once."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from engage.domain.leaderboards.definition import Leaderboard
from engage.domain.leaderboards.kind import LEADERBOARD
from engage.flows.definitions.change import add_definition
from engage.flows.leaderboards.close import close_due
from engage.flows.scheduled.reactions import react_due
from engage.runtime.services import Services
from engage.settings import Settings, to_environment
from tests.support.activities import PROGRAM, join, services_with_activities
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import advance, stopped_clock
from tests.support.database import rows

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0
RANKS, BATCH = 9, 3
CLOSES_AT = datetime(2026, 11, 23, 8, tzinfo=UTC)  # Monday in Los Angeles.


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with_activities(settings) as opened:
        yield opened
        await assert_audit_is_clean(opened)


async def paid(services: Services) -> list[tuple[object, ...]]:
    return await rows(
        services.db,
        "SELECT member_id, CAST(why -> 'inputs' ->> 'rank' AS int) FROM credits"
        " WHERE starts_with(rule_id, 'leaderboard:') ORDER BY 2",
    )


async def until_blocked(services: Services) -> None:
    """Wait until a statement of another process waits for a row."""
    waiting = (
        "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    async with asyncio.timeout(PATIENCE_S):
        while not await rows(services.db, waiting):
            await asyncio.sleep(0.05)


async def test_a_worker_killed_while_it_pays_ranks_pays_each_once(services: Services) -> None:
    board = {
        "id": "week",
        "program": PROGRAM,
        "title": {"en": "Week"},
        "score": "points_earned",
        "resets": "weekly",
        "prizes": [{"to_rank": RANKS, "points": 100}],
    }
    await add_definition(services, LEADERBOARD, msgspec.convert(board, Leaderboard), operator="test")
    members = [f"m-{n}" for n in range(1, RANKS + 1)]
    for member in members:
        await join(services, member)
        advance(services, timedelta(seconds=1))
    await services.post_commit.drain()
    await react_due(services, now=services.clock.now())
    stopped_clock(services).at = CLOSES_AT
    # The balance of a member of the second batch is locked: the worker stops there, its credits inserted.
    async with services.db.begin() as locking:
        await locking.execute(
            text("SELECT FROM balances WHERE program_id = :p AND member_id = :m FOR UPDATE"),
            {"p": PROGRAM, "m": members[BATCH + 1]},
        )
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.durability.close_boards_once", CLOSES_AT.isoformat(), str(BATCH)),
            cwd=ROOT,
            env={**os.environ, **to_environment(services.settings)},
        )
        await until_blocked(services)
        worker.kill()
        assert await worker.wait() != 0
    expected = [(member, rank) for rank, member in enumerate(members, start=1)]
    assert await paid(services) == expected[:BATCH]
    await close_due(services, now=CLOSES_AT)
    assert await paid(services) == expected
    assert await close_due(services, now=CLOSES_AT) == 0
