"""A process of another release does not write: not after a migration, and not while it is running."""

import asyncio
from collections.abc import AsyncIterator
from importlib import resources

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from engage.connections.schema_version import begin_migration, end_migration, newest_version
from engage.domain.refusals import Unavailable
from engage.flows.operations.install import migrate
from engage.runtime.database import check_schema, one_statement, open_database, transaction
from engage.settings import Settings
from tests.support.eventually import eventually
from tests.support.migrations import move

OLD = "0002"
WRITE = text("INSERT INTO outbox VALUES (gen_random_uuid(), now(), 'tap', '{}', '{}')")

# What every change of a balance wrote before processes compared versions.
WRITE_UNCOMPARED = text(
    "INSERT INTO outbox (id, created_at, cause, program_ids, member_ids)"
    " VALUES (gen_random_uuid(), now(), 'tap', '{}', '{}')"
)


@pytest.fixture
async def migrating(own_database: Settings) -> AsyncIterator[AsyncEngine]:
    db = open_database(own_database.database_url, pool_size=1, any_schema=True)
    yield db
    await db.dispose()


@pytest.fixture
async def working(own_database: Settings) -> AsyncIterator[AsyncEngine]:
    db = open_database(own_database.database_url, pool_size=3)
    yield db
    await db.dispose()


async def set_version(db: AsyncEngine, version: str) -> None:
    async with transaction(db) as conn:
        await conn.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})


async def is_refused(db: AsyncEngine) -> bool:
    try:
        async with transaction(db) as conn:
            await conn.execute(WRITE)
    except Unavailable as error:
        return bool(error.facts["part"] == "schema")
    return False


def test_the_newest_version_is_that_of_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(resources.files("engage") / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == newest_version()


@pytest.mark.parametrize("version", [OLD, "9999"])
async def test_a_connection_to_tables_of_another_version_is_refused(
    migrating: AsyncEngine, working: AsyncEngine, version: str
) -> None:
    await set_version(migrating, version)
    assert await is_refused(working)
    await set_version(migrating, newest_version())
    assert not await is_refused(working)


async def test_tables_that_were_not_made_yet_are_refused(
    migrating: AsyncEngine, working: AsyncEngine
) -> None:
    async with transaction(migrating) as conn:
        await conn.execute(text("DROP TABLE alembic_version"))
    assert await is_refused(working)


async def test_a_running_process_notices_that_the_version_has_changed(
    migrating: AsyncEngine, working: AsyncEngine
) -> None:
    assert not await is_refused(working)
    await check_schema(working)
    await set_version(migrating, "9999")
    assert not await is_refused(working), "its connection was compared when it was made"
    with pytest.raises(Unavailable):
        await check_schema(working)
    assert await is_refused(working)


async def test_no_older_process_writes_once_a_migration_has_begun(
    own_database: Settings, migrating: AsyncEngine
) -> None:
    """The migration changes the version alone, so that the tables stay what both releases could work on."""
    older = open_database(own_database.database_url, pool_size=4)
    writes: list[str] = []
    done = asyncio.Event()
    migrated = False

    async def keep_writing() -> None:
        while not done.is_set():
            try:
                async with transaction(older) as conn:
                    await conn.execute(WRITE)
                    await asyncio.sleep(0)
                    await conn.execute(WRITE)
                writes.append("after" if migrated else "before")
            except Unavailable:
                await asyncio.sleep(0.001)

    writing = [asyncio.create_task(keep_writing()) for _ in range(4)]
    try:
        await eventually(lambda: len(writes) > 20)
        async with migrating.connect() as conn:
            await conn.run_sync(begin_migration)
            migrated = True
            count = (await conn.execute(text("SELECT count(*) FROM outbox"))).scalar_one()
            await asyncio.sleep(0.2)
            assert (await conn.execute(text("SELECT count(*) FROM outbox"))).scalar_one() == count
            await conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
            await conn.commit()
            await conn.run_sync(end_migration)
        assert await is_refused(older)
        assert "after" not in writes
    finally:
        done.set()
        await asyncio.gather(*writing)
        await older.dispose()


async def test_each_migration_ends_the_connections_of_running_processes(
    migrating: AsyncEngine, working: AsyncEngine
) -> None:
    assert not await is_refused(working)
    await move(migrating, command.downgrade, OLD)
    assert await is_refused(working)
    await move(migrating, command.upgrade, "head")
    assert not await is_refused(working)


async def test_a_release_that_compares_no_versions_changes_no_balance(
    own_database: Settings, migrating: AsyncEngine
) -> None:
    """It keeps its connections through the migration, and opens new ones."""
    await move(migrating, command.downgrade, OLD)
    uncompared = create_async_engine(own_database.database_url)
    try:
        async with uncompared.connect() as kept:
            await kept.execute(WRITE_UNCOMPARED)
            await kept.commit()
            await move(migrating, command.upgrade, "head")
            with pytest.raises(ProgrammingError, match="created_at"):
                await kept.execute(WRITE_UNCOMPARED)
        async with uncompared.connect() as opened:
            with pytest.raises(ProgrammingError, match="created_at"):
                await opened.execute(WRITE_UNCOMPARED)
    finally:
        await uncompared.dispose()


async def test_a_migration_with_nothing_to_do_disturbs_nobody(own_database: Settings) -> None:
    db = open_database(own_database.database_url, pool_size=1)
    async with one_statement(db) as conn:
        pid = (await conn.execute(text("SELECT pg_backend_pid()"))).scalar_one()
    await migrate(own_database)
    async with one_statement(db) as conn:
        assert (await conn.execute(text("SELECT pg_backend_pid()"))).scalar_one() == pid
    await db.dispose()


async def test_an_older_release_does_not_migrate_back(own_database: Settings, migrating: AsyncEngine) -> None:
    await set_version(migrating, "9999")
    with pytest.raises(Unavailable) as refused:
        await migrate(own_database)
    assert refused.value.facts["part"] == "schema"
