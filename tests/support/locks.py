"""Locks that a test holds while processes work."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text

from engage.runtime.database import open_database, transaction
from engage.settings import Settings


@asynccontextmanager
async def locked_account(settings: Settings, member_id: str) -> AsyncIterator[None]:
    """Lock an account for as long as the block takes: nobody can change it meanwhile."""
    db = open_database(settings.database_url, pool_size=1, command_timeout_s=None)
    try:
        async with transaction(db) as conn:
            lock = text("SELECT FROM balances WHERE member_id = :id FOR UPDATE")
            await conn.execute(lock, {"id": member_id})
            yield
    finally:
        await db.dispose()
