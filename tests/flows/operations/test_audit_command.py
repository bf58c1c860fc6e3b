"""`engage audit` and `engage rebuild` as operators run them."""

from pathlib import Path

import msgspec
from redis.asyncio import Redis

from engage.flows.operations.audit import CHECKS
from engage.settings import Settings
from tests.support.activities import join, link, perform, services_with_activities, tap
from tests.support.clock import DAY, NOON, advance, set_sandbox_clock
from tests.support.command_line import run
from tests.support.database import rows


async def test_the_commands_audit_and_rebuild_an_installation(
    settings: Settings, valkey: Redis, tmp_path: Path
) -> None:
    async with services_with_activities(settings) as services:
        await join(services)
        await join(services, "m-2")
        await perform(services, tap())
        await perform(services, link())
        await services.post_commit.drain()
        await valkey.flushall()

        status, output = await run(settings, "rebuild", cwd=tmp_path)
        assert status == 0, output
        assert "2 of 2 members" in output
        assert len(await services.gate.read("playground", "m-1") or []) == 3

        await set_sandbox_clock(settings, NOON + DAY)
        status, output = await run(settings, "audit", cwd=tmp_path)
        assert status == 0, output
        assert "2 members, 7 credits, 0 entries; 0 points active, 123 pending" in output
        assert "every point is accounted for" in output
        assert "settled_in_time" in output, "credits due long ago are late, not broken"

        await rows(services.db, "SELECT 1")
        async with services.db.begin() as conn:
            await conn.exec_driver_sql("UPDATE balances SET active = 7 WHERE member_id = 'm-2'")
        status, output = await run(settings, "audit", cwd=tmp_path)
        assert status == 1
        assert "broken balances_are_sums: The active, held and debt balances" in output
        assert "m-2" in output
        assert f"2 of {len(CHECKS)} promises are broken" in output
        advance(services, DAY)


async def test_a_missing_server_is_reported_in_one_line(settings: Settings, tmp_path: Path) -> None:
    status, output = await run(None, "audit", "--data", "nowhere", cwd=tmp_path)
    assert status == 1
    assert "nowhere is not a data folder" in output
    away = msgspec.structs.replace(settings, database_url="postgresql+asyncpg://nobody@127.0.0.1:1/none")
    status, output = await run(away, "audit", cwd=tmp_path)
    assert status == 1
    assert "postgres does not answer" in output
    assert "Traceback" not in output
