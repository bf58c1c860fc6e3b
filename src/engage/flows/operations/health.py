"""The health check of the database."""

from sqlalchemy import text

from engage.runtime.database import one_statement
from engage.runtime.services import Services


async def database_answers(services: Services) -> None:
    """Query the database. Raises Unavailable if it does not answer."""
    async with one_statement(services.db) as conn:
        await conn.execute(text("SELECT 1"))
