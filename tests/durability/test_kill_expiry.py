"""A worker is killed while points expire: each expires once, and none is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from sqlalchemy import text

from engage.embedded.child_process import ChildProcess, ProcessSpec, engage_command, start
from engage.flows.operations.audit import audit
from engage.runtime.services import Services
from engage.settings import Settings, to_environment
from tests.support.activities import PROGRAM, services_with_activities
from tests.support.clock import running_clock
from tests.support.database import rows
from tests.support.locks import locked_account

MEMBERS = 9_000
PATIENCE_S = 120.0
LOOK_AGAIN_S = 0.005

# Members who joined a year ago, and whose points ended an hour ago.
MEMBERS_WITH_POINTS = [
    """
    INSERT INTO members (program_id, member_id, country, kind, joined_at)
    SELECT :program, 'm-' || n, 'ES', 'person', :at FROM generate_series(1, :members) n
    """,
    """
    INSERT INTO balances (program_id, member_id, active, version)
    SELECT program_id, member_id, 50, 1 FROM members WHERE joined_at = :at
    """,
    """
    INSERT INTO credits (program_id, member_id, id, source_key, rule_id, program_version, points, state,
                         activity_at, accepted_at, due_at, active_at, expires_at, why)
    SELECT program_id, member_id, uuidv7(), 'registration', 'registration', 'first', 50, 'active',
           :at, :at, :at, :at, :ends_at, '{}'
    FROM members
    """,
    """
    INSERT INTO entries (program_id, member_id, seq, kind, at, active_delta, house_account, house_delta,
                         balance_after, credit_id)
    SELECT program_id, member_id, 1, 'earning', :at, 50, 'issued', -50, 50, id FROM credits
    """,
    """
    INSERT INTO lots (program_id, member_id, credit_id, entry_seq, points, remaining, active_at, expires_at)
    SELECT program_id, member_id, credit_id, 1, 50, 50, :at, :ends_at FROM entries
    """,
]


async def test_points_expire_once_when_a_worker_is_killed(settings: Settings, tmp_path: Path) -> None:
    async with services_with_activities(settings, running_clock()) as services:
        await _add_members(services)
        async with locked_account(settings, "m-1"), _worker(settings, tmp_path) as child:
            await _until_ended(services, 1)
            child.kill()
            await child.wait()
        ended, left = await _lots(services)
        assert ended > 0
        assert left > 0, "killed in the middle"
        assert ended + left == MEMBERS
        assert (await audit(settings)).broken == []
        async with _worker(settings, tmp_path):
            await _until_ended(services, MEMBERS)
        assert await rows(services.db, "SELECT DISTINCT active, version FROM balances") == [(0, 2)]
        found = await rows(services.db, "SELECT sum(house_delta) FROM entries WHERE kind = 'expiration'")
        assert found == [(50 * MEMBERS,)]
        assert (await audit(settings)).broken == []


async def _add_members(services: Services) -> None:
    values = {
        "program": PROGRAM,
        "members": MEMBERS,
        "at": services.clock.now() - timedelta(days=366),
        "ends_at": services.clock.now() - timedelta(hours=1),
    }
    async with services.db.begin() as conn:
        for statement in MEMBERS_WITH_POINTS:
            named = {name: value for name, value in values.items() if f":{name}" in statement}
            await conn.execute(text(statement), named)


@asynccontextmanager
async def _worker(settings: Settings, folder: Path) -> AsyncIterator[ChildProcess]:
    child = await start(
        ProcessSpec(
            name="worker",
            command=engage_command("worker"),
            log=folder / "worker.log",
            directory=folder,
            environment=to_environment(settings),
            ready=None,
        )
    )
    try:
        yield child
    finally:
        await child.stop()


async def _until_ended(services: Services, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await _lots(services))[0] < count:
            await asyncio.sleep(LOOK_AGAIN_S)


async def _lots(services: Services) -> tuple[int, int]:
    """Return (lots expired, lots left)."""
    ((ended, left),) = await rows(
        services.db,
        "SELECT count(*) FILTER (WHERE remaining = 0), count(*) FILTER (WHERE remaining > 0) FROM lots",
    )
    assert isinstance(ended, int)
    assert isinstance(left, int)
    return ended, left
