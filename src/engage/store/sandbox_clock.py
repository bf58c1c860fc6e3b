"""How far the sandbox's clock is ahead of the machine's: one row, shared by all parts."""

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_READ = text("SELECT ahead FROM sandbox_clock")

_SET = text("""
INSERT INTO sandbox_clock (ahead) VALUES (:ahead) ON CONFLICT (one) DO UPDATE SET ahead = excluded.ahead
""")


async def read(conn: AsyncConnection) -> timedelta:
    found: timedelta | None = (await conn.execute(_READ)).scalar()
    return found or timedelta()


async def set_ahead(conn: AsyncConnection, ahead: timedelta) -> None:
    await conn.execute(_SET, {"ahead": ahead})
