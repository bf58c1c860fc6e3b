"""The health check of the database."""

from sqlalchemy import text

from engage.runtime.database import one_statement
from engage.runtime.services import Services

# Commits a record of the write-ahead log, and changes no row: a full disk, or a standby that a synchronous
# commit waits for, stops it as it stops all others. The DELETE is refused by a database that is read-only.
_WRITE = text(
    "WITH nothing AS (DELETE FROM outbox WHERE false)"
    " SELECT pg_logical_emit_message(true, 'engage', 'health')"
)


async def check_database(services: Services) -> None:
    """Write to the database. Raises Unavailable if it does not answer or cannot be written."""
    async with one_statement(services.db) as conn:
        await conn.execute(_WRITE)
