"""The database itself keeps approved campaigns and the deeds of operators from being changed."""

from collections.abc import AsyncIterator

import pytest
from alembic import command
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.runtime.database import open_database
from engage.settings import Settings
from tests.support.database import rows
from tests.support.migrations import move

VERSIONS = """
INSERT INTO campaign_versions (program_id, campaign_id, version, revision, document, authors, author_ids,
                               approved)
VALUES ('p', 'spring', 1, 1, '{}', '{anna}', '{k-1}', true),
       ('p', 'spring', 2, 1, '{}', '{anna}', '{k-1}', false)
"""
ACTIONS = """
INSERT INTO campaign_actions (program_id, campaign_id, number, kind, version, at, effective_at, operator)
VALUES ('p', 'spring', 1, 'created', 1, now(), now(), 'anna'),
       ('p', 'spring', 2, 'approved', 1, now(), now(), 'ben')
"""
READ = """
SELECT to_jsonb(v) FROM campaign_versions v UNION ALL SELECT to_jsonb(a) FROM campaign_actions a
"""


@pytest.fixture
async def db(database: Settings) -> AsyncIterator[AsyncEngine]:
    opened = open_database(database.database_url, pool_size=1)
    async with opened.begin() as conn:
        for statement in (VERSIONS, ACTIONS):
            await conn.execute(text(statement))
    yield opened
    await opened.dispose()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE campaign_actions SET effective_at = now()",
        "DELETE FROM campaign_actions WHERE number = 2",
        "TRUNCATE campaign_actions",
        "UPDATE campaign_versions SET approved = false",
        "UPDATE campaign_versions SET document = '{\"until\": 1}' WHERE version = 1",
        "DELETE FROM campaign_versions WHERE version = 1",
        "TRUNCATE campaign_versions",
        "TRUNCATE campaign_versions, campaign_actions CASCADE",
    ],
)
@pytest.mark.parametrize(
    "role", ["origin", "replica"]
)  # In a replica's session, ordinary triggers do not run.
async def test_the_database_refuses_to_change_what_was_done(db: AsyncEngine, role: str, change: str) -> None:
    before = await rows(db, READ)
    async with db.connect() as conn:
        await conn.execute(text(f"SET LOCAL session_replication_role = {role}"))
        with pytest.raises(IntegrityError):
            await conn.execute(text(change))
    assert await rows(db, READ) == before


async def test_a_version_that_nobody_has_approved_may_change(db: AsyncEngine) -> None:
    async with db.begin() as conn:
        for statement in ("UPDATE campaign_versions SET revision = 2", "DELETE FROM campaign_versions"):
            assert (await conn.execute(text(f"{statement} WHERE version = 2"))).rowcount == 1


async def test_authors_of_before_are_told_apart_by_each_key_of_their_name(own_database: Settings) -> None:
    db = open_database(own_database.database_url, pool_size=1)
    try:
        await move(db, command.downgrade, "0029")
        async with db.begin() as conn:
            for statement in (
                """
                INSERT INTO api_keys (id, name, secret_hash, scopes, created_at)
                SELECT id, name, '', '{admin}', now()
                FROM (VALUES ('k-1', 'anna'), ('k-2', 'anna'), ('k-3', 'ben')) k (id, name)
                """,
                """
                INSERT INTO campaign_versions (program_id, campaign_id, version, revision, document, authors,
                                               approved)
                VALUES ('p', 'spring', 1, 1, '{}', '{anna}', true),
                       ('p', 'spring', 2, 1, '{}', '{"command line"}', false)
                """,
            ):
                await conn.execute(text(statement))
        await move(db, command.upgrade, "head")
        found = await rows(db, "SELECT author_ids FROM campaign_versions ORDER BY version")
        assert found == [(["anna", "k-1", "k-2"],), (["command line"],)]
    finally:
        await db.dispose()
