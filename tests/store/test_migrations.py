"""Each migration can be reverted exactly."""

from alembic import command

from engage.runtime.database import open_database
from engage.settings import Settings
from tests.support.database import rows
from tests.support.migrations import move

# Sorted, because a column that was dropped and added again stands last in its table.
DESCRIPTION = """
SELECT table_name::text, concat_ws(' ', column_name, data_type, is_nullable, column_default, collation_name)
FROM information_schema.columns WHERE table_schema = 'public'
UNION SELECT tablename::text, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION SELECT conrelid::regclass::text, conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace
ORDER BY 1, 2
"""


async def test_migrations_can_be_reverted_and_repeated(own_database: Settings) -> None:
    db = open_database(own_database.database_url, pool_size=1)
    try:
        newest = await rows(db, DESCRIPTION)
        await move(db, command.downgrade, "0001")
        back = await rows(db, DESCRIPTION)
        await move(db, command.downgrade, "base")
        await move(db, command.upgrade, "0001")
        assert back == await rows(db, DESCRIPTION)
        await move(db, command.upgrade, "head")
        assert newest == await rows(db, DESCRIPTION)
    finally:
        await db.dispose()
