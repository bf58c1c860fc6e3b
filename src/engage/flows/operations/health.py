"""Whether the database answers."""

from sqlalchemy import text

from engage.runtime.database import one_statement
from engage.runtime.services import Parts


async def database_answers(parts: Parts) -> None:
    """Raises Unavailable."""
    async with one_statement(parts.db) as conn:
        await conn.execute(text("SELECT 1"))
