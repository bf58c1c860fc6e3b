"""Look into an installation: its database and its processes."""

import psutil
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from engage.settings import Settings


async def query(settings: Settings, statement: str) -> object:
    """Return the first value of the result, or None without one."""
    engine = create_async_engine(settings.database_url)
    try:
        async with engine.begin() as connection:
            result = await connection.execute(text(statement))
            return result.scalar() if result.returns_rows else None
    finally:
        await engine.dispose()


def is_running(pid: int) -> bool:
    """Return whether a process runs. A zombie does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
