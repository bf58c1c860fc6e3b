"""Reading the tables directly, for what no flow shows."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine


async def rows(db: AsyncEngine, query: str, **values: object) -> list[tuple[object, ...]]:
    async with db.connect() as conn:
        return [tuple(row) for row in await conn.execute(text(query), values)]


async def logged(db: AsyncEngine, subject: str) -> list[tuple[object, ...]]:
    """Read (operator, action, before, after) from the audit log, oldest first."""
    query = "SELECT operator, action, before, after FROM audit_log WHERE subject = :subject ORDER BY seq"
    return await rows(db, query, subject=subject)
