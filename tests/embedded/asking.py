"""Questions that several tests ask of an installation."""

import psutil
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from engage.settings import Settings


async def ask(settings: Settings, question: str) -> object:
    """The first value of the answer, if the statement has one."""
    engine = create_async_engine(settings.database_url)
    try:
        async with engine.begin() as connection:
            result = await connection.execute(text(question))
            return result.scalar() if result.returns_rows else None
    finally:
        await engine.dispose()


def is_running(pid: int) -> bool:
    """An ended program that nobody has asked about yet does not run."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
