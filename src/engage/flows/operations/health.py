"""Whether the database answers."""

from sqlalchemy import text

from engage.runtime.database import one_statement
from engage.runtime.services import Services


async def database_answers(services: Services) -> None:
    """Raises Unavailable."""
    async with one_statement(services.db) as conn:
        await conn.execute(text("SELECT 1"))
