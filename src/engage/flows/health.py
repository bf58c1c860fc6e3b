"""Whether the database answers."""

from sqlalchemy import text

from engage.flows.parts import Parts
from engage.flows.transaction import one_statement


async def database_answers(parts: Parts) -> None:
    """Raises Unavailable."""
    async with one_statement(parts.db) as conn:
        await conn.execute(text("SELECT 1"))
