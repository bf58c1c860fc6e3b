"""`engage migrate` waits for its database, and may run twice, one after the other or at once."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, STDOUT

import pytest
from alembic import command
from msgspec.structs import replace
from sqlalchemy import text

from engage.cli.migrate import migrate_within
from engage.connections.schema_version import newest_version
from engage.runtime.database import one_statement, open_database
from engage.settings import Settings, SettingsError, to_environment
from tests.support.eventually import WITHIN_S, eventually
from tests.support.migrations import move
from tests.support.ports import server_port
from tests.support.proxy import proxy_to_postgres


async def _downgrade(settings: Settings) -> None:
    """Take the newest migration back."""
    db = open_database(settings.database_url, pool_size=1, any_schema=True)
    try:
        await move(db, command.downgrade, "-1")
    finally:
        await db.dispose()


async def _version(settings: Settings) -> str:
    """Return the version that a process of this release finds, which refuses any other one."""
    db = open_database(settings.database_url, pool_size=1)
    try:
        async with one_statement(db) as conn:
            return str((await conn.execute(text("SELECT version_num FROM alembic_version"))).scalar_one())
    finally:
        await db.dispose()


async def test_it_waits_until_the_database_can_be_reached(own_database: Settings) -> None:
    await _downgrade(own_database)
    async with proxy_to_postgres(own_database) as (proxy, url):
        with proxy.refusing():
            migrating = asyncio.create_task(migrate_within(replace(own_database, database_url=url), WITHIN_S))
            await eventually(lambda: proxy.opened >= 2 or migrating.done())
            assert not migrating.done(), "it goes on after the first try"
        await migrating
    assert await _version(own_database) == newest_version()


async def test_it_gives_up_when_its_time_is_over(settings: Settings) -> None:
    nobody = f"postgresql+asyncpg://engage@127.0.0.1:{server_port()}/engage"
    with pytest.raises(SettingsError, match=r"^ENGAGE_DATABASE_URL: "):
        await migrate_within(replace(settings, database_url=nobody), 0)


async def test_two_at_once_migrate_once(own_database: Settings) -> None:
    await _downgrade(own_database)
    command_line = [sys.executable, "-m", "engage.cli", "migrate", "--wait", str(10 * WITHIN_S)]
    environment = {**os.environ, **to_environment(own_database)}
    migrating = [
        await asyncio.create_subprocess_exec(*command_line, env=environment, stdout=PIPE, stderr=STDOUT)
        for _ in range(2)
    ]
    for process in migrating:
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
    assert await _version(own_database) == newest_version()


async def test_it_does_not_wait_where_a_newer_release_has_migrated(own_database: Settings) -> None:
    db = open_database(own_database.database_url, pool_size=1, any_schema=True)
    async with db.begin() as conn:
        await conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await db.dispose()
    async with asyncio.timeout(WITHIN_S):
        with pytest.raises(SettingsError, match="newer release"):
            await migrate_within(own_database, 100 * WITHIN_S)
