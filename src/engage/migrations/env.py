"""Run migrations over the connection that `engage.flows.operations.install.migrate` hands in.

Alembic's own command line hands in none. It gets one to ENGAGE_DATABASE_URL, as in the docstring of this
package.
"""

import asyncio
import os

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from engage.schema import metadata


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_server_default=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def run_alone() -> None:
    db = create_async_engine(os.environ["ENGAGE_DATABASE_URL"])
    async with db.connect() as conn:
        await conn.run_sync(run)
        await conn.commit()
    await db.dispose()


given: Connection | None = context.config.attributes.get("connection")
if given is None:
    asyncio.run(run_alone())
else:
    run(given)
