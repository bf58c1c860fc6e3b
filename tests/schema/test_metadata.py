"""The metadata and the migrations describe the same database."""

from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, Connection, MetaData, Table, Text, text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.runtime.database import open_database
from engage.schema import VIEWS, metadata
from engage.settings import Settings
from tests.support import raw_rows

# Tables and views as PostgreSQL's catalogue describes them, so that two spellings of one constraint are
# equal. The order of columns does not matter.
CATALOGUE = r"""
SELECT relation, what, definition FROM (
    SELECT attrelid AS id, attrelid::regclass::text AS relation, 'column ' || attname AS what,
           concat_ws(' ', format_type(atttypid, atttypmod), collname,
                     CASE WHEN attnotnull THEN 'not null' END, pg_get_expr(adbin, adrelid)) AS definition
    FROM pg_attribute
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    LEFT JOIN pg_collation c ON c.oid = attcollation
    WHERE attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT conrelid, conrelid::regclass::text, 'constraint ' || conname, pg_get_constraintdef(oid)
    FROM pg_constraint
    UNION ALL
    SELECT indrelid, indrelid::regclass::text, 'index ' || indexrelid::regclass::text,
           pg_get_indexdef(indexrelid)
    FROM pg_index
    UNION ALL
    SELECT oid, oid::regclass::text, 'storage', reloptions::text FROM pg_class WHERE reloptions IS NOT NULL
    UNION ALL
    SELECT tgrelid, tgrelid::regclass::text, 'trigger ' || tgname,
           concat_ws(' ', pg_get_triggerdef(t.oid), tgenabled, regexp_replace(prosrc, '\s+', ' ', 'g'))
    FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid
    WHERE NOT tgisinternal
    UNION ALL
    SELECT oid, oid::regclass::text, 'view', pg_get_viewdef(oid) FROM pg_class WHERE relkind = 'v'
) d
JOIN pg_class r ON r.oid = d.id
WHERE r.relnamespace = 'public'::regnamespace AND r.relkind IN ('r', 'v') AND relation <> 'alembic_version'
ORDER BY 1, 2
"""


async def read_catalogue(conn: AsyncConnection) -> dict[tuple[str, str], str]:
    rows = await conn.execute(text(CATALOGUE))
    return {(relation, what): definition for relation, what, definition in rows}


async def compare(settings: Settings, tables: MetaData) -> list[Any]:
    """Return the differences that `alembic revision --autogenerate` finds."""

    def run(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return list(compare_metadata(context, tables))

    db = open_database(settings.database_url, pool_size=1)
    try:
        async with db.connect() as conn:
            return await conn.run_sync(run)
    finally:
        await db.dispose()


async def test_alembic_finds_no_difference(database: Settings) -> None:
    assert await compare(database, metadata) == []


async def test_alembic_finds_a_new_table_and_a_new_column(database: Settings) -> None:
    tables = MetaData()
    for table in metadata.tables.values():
        table.to_metadata(tables)
    tables.tables["members"].append_column(Column("nickname", Text))
    Table("quizzes", tables, Column("id", Text, primary_key=True))
    found = await compare(database, tables)
    assert [difference[0] for difference in found] == ["add_table", "add_column"]
    assert found[0][1].name == "quizzes"


async def test_the_database_that_the_metadata_makes_is_the_migrated_one(own_database: Settings) -> None:
    """Alembic does not compare checks, collations, predicates of indexes, storage, triggers and views."""
    db = open_database(own_database.database_url, pool_size=1)
    try:
        async with db.begin() as conn:
            await conn.execute(text(raw_rows.REMOVE))
            migrated = await read_catalogue(conn)
            await conn.execute(text("DROP SCHEMA public CASCADE"))
            await conn.execute(text("CREATE SCHEMA public"))
            await conn.run_sync(metadata.create_all)
            for name, query in VIEWS.items():
                await conn.execute(text(f"CREATE VIEW {name} AS {query}"))
            made = await read_catalogue(conn)
    finally:
        await db.dispose()
    assert made == migrated
    assert ("legs", "view") in made
    assert ("audit_log", "trigger audit_log_stays") in made
