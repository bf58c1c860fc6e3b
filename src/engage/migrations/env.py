"""Run migrations over the connection that `engage.flows.operations.install.migrate` hands in.

Alembic's own command line hands in none. It gets one to ENGAGE_DATABASE_URL, as in the docstring of this
package.
"""

import asyncio
import os

from alembic import context
from alembic.runtime.migration import MigrationContext
from alembic.util import to_tuple
from sqlalchemy import Connection

from engage.connections.postgres import open_engine
from engage.connections.schema_version import begin_migration, end_migration
from engage.schema import metadata


def run(connection: Connection) -> None:
    """Migrate while no process works on the tables. A migration with nothing to do disturbs nobody."""
    changes = _will_change(connection)
    if changes:
        begin_migration(connection)
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_server_default=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
    if changes:
        end_migration(connection)


def _will_change(connection: Connection) -> bool:
    try:
        destination = context.get_revision_argument()
    except KeyError:
        return False  # A command that only reads, such as `alembic revision`.
    current = MigrationContext.configure(connection).get_current_heads()
    connection.commit()
    return set(current) != set(to_tuple(destination, default=()))


async def run_alone() -> None:
    url = os.environ["ENGAGE_DATABASE_URL"]
    db = open_engine(url, pool_size=1, command_timeout_s=None, any_schema=True)
    async with db.connect() as conn:
        await conn.run_sync(run)
        await conn.commit()
    await db.dispose()


given: Connection | None = context.config.attributes.get("connection")
if given is None:
    asyncio.run(run_alone())
else:
    run(given)
