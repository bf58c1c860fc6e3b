"""The offset of the sandbox's clock from the machine's, shared by all processes."""

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.schema.sandbox_clock import sandbox_clock


async def read(conn: AsyncConnection) -> timedelta:
    ahead: timedelta | None = (await conn.execute(select(sandbox_clock.c.ahead))).scalar()
    return ahead or timedelta()


async def begin(conn: AsyncConnection) -> None:
    """Mark the installation as a sandbox: outside one there is no row. A clock that is ahead stays so."""
    await conn.execute(insert(sandbox_clock).values(ahead=timedelta()).on_conflict_do_nothing())


async def set_ahead(conn: AsyncConnection, ahead: timedelta) -> None:
    await conn.execute(
        insert(sandbox_clock)
        .values(ahead=ahead)
        .on_conflict_do_update(index_elements=["one"], set_={"ahead": ahead})
    )
